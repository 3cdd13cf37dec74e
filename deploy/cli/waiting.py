"""Waiting until what was asked for is done: looks at the resource again and again, and says in one line where it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from deploy.cli.client import Client
from deploy.cli.errors import Failed
from deploy.cli.show import waiting
from deploy.cli.telling import duration

Json = dict[str, Any]

FIRST_LOOK, LONGEST_LOOK = 0.01, 0.5
"""Seconds between two looks, growing from the one to the other."""


class TookTooLong(Failed):
    """It goes on without us."""


def until_settled(client: Client, path: str, timeout: float, what: str) -> Json:
    """The document once nothing is under way any more. Raises TookTooLong."""
    return until(client, path, timeout, what, settled)


def settled(document: Json) -> bool:
    return document.get("transitioning") != "yes" and document.get("state") != "requested"


def until(client: Client, path: str, timeout: float, what: str, done: Callable[[Json], bool]) -> Json:
    began = time.monotonic()
    pause = FIRST_LOOK
    with waiting(what) as status:
        while True:
            document: Json = client.get(path)
            if done(document):
                return document
            elapsed = time.monotonic() - began
            message = document.get("transitioningMessage") or ""
            if elapsed >= timeout:
                raise TookTooLong(
                    f"{what}: it is still {document.get('state')} after {duration(elapsed)}, and goes on"
                    + (f". {message}" if message and message != "In Progress" else "")
                    + f". See `corral why {document['id']}`, or wait longer with --timeout"
                )
            status.update(f"{what}: {document.get('state')}{f', {message}' if message else ''} ({duration(elapsed)})")
            time.sleep(min(pause, max(0.0, timeout - elapsed)))
            pause = min(LONGEST_LOOK, pause * 1.3)

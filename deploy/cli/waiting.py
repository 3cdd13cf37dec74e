"""Waiting until what was asked for is done: looks at the resource again and again, and says in one line where it is."""

from __future__ import annotations

import time
from typing import Any

from rich.text import Text

from deploy.cli.client import Client
from deploy.cli.errors import Failed
from deploy.cli.pending import Pending
from deploy.cli.show import hint, waiting
from deploy.cli.telling import duration
from deploy.cli.things import Thing

Json = dict[str, Any]

FIRST_LOOK, LONGEST_LOOK = 0.01, 0.5
"""Seconds between two looks, growing from the one to the other."""

FIRST_REASON, NEXT_REASON = 2.0, 3.0
"""Seconds until it is asked what is waited for, and between two times."""


class TookTooLong(Failed):
    """It goes on without us."""


def until_settled(client: Client, found: Thing, timeout: float) -> Thing:
    """The thing once nothing is under way any more. Raises TookTooLong.

    What takes longer says whom it waits for: on a terminal in a line that moves, elsewhere in a line for each change of that.
    """
    began = time.monotonic()
    pause, next_look, reason, said = FIRST_LOOK, FIRST_REASON, "", ""
    pending = Pending(client, found.stream)
    with waiting(found.title) as status:
        while True:
            found = Thing(found.type, client.get(found.path))
            if settled(found.document):
                return found
            elapsed = time.monotonic() - began
            if elapsed >= min(next_look, timeout):
                reason, next_look = pending.told() or _message(found), elapsed + NEXT_REASON
            if elapsed >= timeout:
                raise TookTooLong(
                    f"{found.title}: it is still {found.state} after {duration(elapsed)}, and goes on"
                    + (f" ({reason})" if reason else "")
                    + f". See `corral why {found.id}`, or wait longer with --timeout"
                )
            line = f"{found.title}: {found.state} for {duration(elapsed)}{f', {reason}' if reason else ''}"
            status.update(Text(line, no_wrap=True, overflow="ellipsis"))
            if reason != said and not status.console.is_terminal:
                hint(line)
                said = reason
            time.sleep(min(pause, max(0.0, timeout - elapsed)))
            pause = min(LONGEST_LOOK, pause * 1.3)


def settled(document: Json) -> bool:
    return document.get("transitioning") != "yes" and document.get("state") != "requested"


def _message(found: Thing) -> str:
    message = str(found.document.get("transitioningMessage") or "")
    return "" if message == "In Progress" else message

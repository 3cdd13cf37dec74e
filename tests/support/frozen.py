"""Processes that hang: stopped in the middle of what they do, with their connections open, and continued at the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def frozen(pid: int, *, itself: bool = True) -> Iterator[None]:
    """The process and all those under it; or only these."""
    stopped: list[int] = []
    try:
        while fresh := [each for each in family(pid) if each not in stopped and (itself or each != pid)]:  # one that was just begun, too
            for each in fresh:
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGSTOP)
                stopped.append(each)
        yield
    finally:
        for each in reversed(stopped):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)


def family(pid: int) -> list[int]:
    """It and all that it began, directly or not."""
    found = [pid]
    for each in found:
        with suppress(OSError):
            found += [int(child) for task in Path(f"/proc/{each}/task").iterdir() for child in (task / "children").read_text().split()]
    return found

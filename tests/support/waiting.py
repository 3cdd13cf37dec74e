"""Waiting for a condition, with a deadline that a slow machine can keep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(look: Callable[[], T], right: Callable[[T], bool], seconds: float = 60.0) -> T:
    """What `look` saw when it was right for the first time; fails with the last that it saw."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if right(seen):
            return seen
        assert time.monotonic() < deadline, f"not so after {seconds:.0f} s: {seen}"
        time.sleep(0.05)


async def happens(true: Callable[[], object], seconds: float = 20.0) -> None:
    """The same for what goes on in this very event loop."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)

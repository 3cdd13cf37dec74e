"""Waiting for a condition, with a deadline that a slow machine can keep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def until(look: Callable[[], T], right: Callable[[T], bool], seconds: float = 60.0) -> T:
    """What `look` saw when it was right for the first time; fails with the last that it saw."""
    deadline = time.monotonic() + seconds
    while not right(seen := look()):
        assert time.monotonic() < deadline, f"not so after {seconds:.0f} s: {seen}"
        time.sleep(0.05)
    return seen


async def comes(look: Callable[[], Awaitable[T]], right: Callable[[T], bool], seconds: float = 60.0) -> T:
    """The same where to look is to await."""
    deadline = time.monotonic() + seconds
    while not right(seen := await look()):
        assert time.monotonic() < deadline, f"not so after {seconds:.0f} s: {seen}"
        await asyncio.sleep(0.05)
    return seen


async def happens(true: Callable[[], object], seconds: float = 20.0) -> None:
    """The same for what is true or not in this very event loop."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)

"""Waiting for a database that is away: an engine without its log has nothing better to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from eventstore import ArchiveAway, Unavailable

T = TypeVar("T")

PAUSE = 0.2
"""Seconds between two tries; each has the store's own patience before."""


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """The call's answer, once the database gives it. Raises ArchiveAway: people have to bring that back, so they must be told."""
    while True:
        try:
            return await call()
        except ArchiveAway:
            raise
        except Unavailable:
            await asyncio.sleep(PAUSE)

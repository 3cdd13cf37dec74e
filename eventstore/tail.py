"""The end of the log, read once for all who follow it in this process: follow() reads here, and this in the store.

    behind the tail --> read from the store, for this follower alone
    within it --------> answered from what another follower's read brought
    at its end -------> one reads on from the store, the others wait for that
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from eventstore.types import Recorded

KEPT = 4000
"""Events that followers may be apart and still share what is read."""


class Tail:
    """`read(after, limit)` is the store's read_all. Events are shared: whoever gets them leaves them as they are."""

    def __init__(self, read: Callable[[int, int], Awaitable[list[Recorded]]]) -> None:
        self._read = read
        self._events: list[Recorded] = []
        self._reading = asyncio.Lock()

    async def after(self, position: int, limit: int) -> list[Recorded]:
        """The log's events behind a position, in order; empty at its end."""
        if found := self._known(position, limit):
            return found
        if self._events and position < self._events[0].position - 1:
            return await self._read(position, limit)
        async with self._reading:
            if found := self._known(position, limit):
                return found
            events = await self._read(position, limit)
            self._keep(events)
            return events

    def _known(self, position: int, limit: int) -> list[Recorded]:
        if not self._events:
            return []
        first = position + 1 - self._events[0].position  # positions have no gaps
        return self._events[first : first + limit] if first >= 0 else []

    def _keep(self, events: list[Recorded]) -> None:
        if events and self._events and events[0].position != self._events[-1].position + 1:
            self._events.clear()
        self._events += events
        if len(self._events) > KEPT:
            del self._events[: len(self._events) - KEPT // 2]

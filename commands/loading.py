"""Roots on their way from the log into the engine's cache: those that are wanted at the same time are read in one query.

    read(root) -> wanted -> the next query takes all that are wanted (MOST at a time) -> each reader gets its own root's events
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from eventstore import Recorded, Store

MOST = 256
"""Roots in one query."""


class Loading:
    """Reads for one engine. One query is under way at a time; a root that is wanted alone is read alone."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wanted: dict[str, asyncio.Future[list[Recorded]]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def read(self, root: str) -> list[Recorded]:
        """All events of a root that were in the log when this was called, by position. Raises Unavailable."""
        wanted = self._wanted.setdefault(root, asyncio.get_running_loop().create_future())
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="roots' reader")
        return await asyncio.shield(wanted)

    async def close(self) -> None:
        """Whoever still waits is cancelled."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading}, timeout=5)
        for each in self._wanted.values():
            each.cancel()

    async def _read(self) -> None:
        try:
            while self._wanted:
                batch = {root: self._wanted.pop(root) for root in list(self._wanted)[:MOST]}
                try:
                    found = by_root(await self._store.read_roots(list(batch)))
                except asyncio.CancelledError:
                    for each in batch.values():
                        each.cancel()
                    raise
                except Exception as error:
                    for each in batch.values():
                        each.set_exception(error)
                        each.exception()  # a reader that was cancelled meanwhile does not ask for it
                else:
                    for root, each in batch.items():
                        each.set_result(found.get(root, []))
        finally:
            self._reading = None


def by_root(events: Iterable[Recorded]) -> dict[str, list[Recorded]]:
    """Each root's events, in the order given."""
    found: dict[str, list[Recorded]] = {}
    for event in events:
        found.setdefault(event.root, []).append(event)
    return found

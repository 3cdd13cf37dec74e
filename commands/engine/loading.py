"""Roots on their way from the log into the engine's cache: those that are wanted at the same time are read in one query.

    read(root) -> wanted -> the next query takes what is wanted, up to MOST -> each reader gets its own root
"""

from __future__ import annotations

import asyncio
from itertools import islice

from commands.snapshots import form
from eventstore import ArchiveAway, Resumed, Store, Unavailable

MOST = 256
"""Roots in one query."""

AT_ONCE = 2
"""Queries under way: while one's events are folded here, the database works on the next."""


class Loading:
    """Reads for one engine. A root that is wanted alone is read alone, at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wanted: dict[str, asyncio.Future[Resumed]] = {}
        self._reading: set[asyncio.Task[None]] = set()

    async def read(self, root: str) -> Resumed:
        """All of a root that was in the log when this was called. Raises Unavailable, and what is wrong with this root."""
        wanted = self._wanted.setdefault(root, asyncio.get_running_loop().create_future())
        if len(self._reading) < AT_ONCE:
            self._reading.add(asyncio.create_task(self._read(), name="roots' reader"))  # it takes itself out again
        return await asyncio.shield(wanted)

    async def close(self) -> None:
        """Whoever still waits is cancelled."""
        reading = list(self._reading)
        for task in reading:
            task.cancel()
        if reading:
            await asyncio.wait(reading, timeout=5)
        for each in self._wanted.values():
            each.cancel()

    async def _read(self) -> None:
        try:
            while self._wanted:
                await self._read_some({root: self._wanted.pop(root) for root in list(islice(self._wanted, MOST))})
        finally:  # in the same step as the last look at what is wanted: whoever comes after it begins a new one
            if (mine := asyncio.current_task()) is not None:
                self._reading.discard(mine)

    async def _read_some(self, batch: dict[str, asyncio.Future[Resumed]]) -> None:
        try:
            found = by_root(await self._store.resume_roots(list(batch), form()))
        except asyncio.CancelledError:
            for each in batch.values():
                each.cancel()
            raise
        except Exception as error:
            if len(batch) > 1 and (isinstance(error, ArchiveAway) or not isinstance(error, Unavailable)):
                await self._read_singly(batch)
                return
            for each in batch.values():
                each.set_exception(error)
                each.exception()  # a reader that was cancelled meanwhile does not ask for it
        else:
            for root, each in batch.items():
                each.set_result(found.get(root) or Resumed([], []))


    async def _read_singly(self, batch: dict[str, asyncio.Future[Resumed]]) -> None:
        """One of them can't be read: it alone is to have the error."""
        try:
            for root, each in batch.items():
                await self._read_some({root: each})
        finally:  # where that was cancelled: nobody waits for those that are left
            for each in batch.values():
                each.cancel()


def by_root(read: Resumed) -> dict[str, Resumed]:
    """Each root's own, in the order given."""
    found: dict[str, Resumed] = {}
    for snapshot in read.snapshots:
        found.setdefault(snapshot.state["root"], Resumed([], [])).snapshots.append(snapshot)
    for event in read.events:
        found.setdefault(event.root, Resumed([], [])).events.append(event)
    return found

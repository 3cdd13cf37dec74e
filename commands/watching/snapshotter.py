"""Writes snapshots of streams that grew long, beside everything else: nobody waits for it, and nothing is wrong without it.

One of all engines' processes does it at a time, by a lease. It starts from all streams, then looks at those written since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from commands.snapshots import form, frozen, latest
from commands.turns import handlers
from eventstore import Store, StoreError

log = structlog.get_logger("corral.snapshots")

EVERY = "snapshot.every.events"
"""The setting: by how many events a stream grows until it is worth another snapshot; 0 for none."""

LOOK_SECONDS = 10.0
LEASE = "snapshots"
AT_ONCE = 200
"""Streams folded between two looks at the lease."""


class Snapshotter:
    """`run` ends when it is cancelled."""

    def __init__(self, store: Store, settings: Mapping[str, Any], holder: str, *, pause: float = LOOK_SECONDS) -> None:
        self._store, self._settings, self._holder, self._pause = store, settings, holder, pause
        self._seen = 0
        """Up to here the log was looked through for streams that grew."""

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.info("Snapshots wait for the database", action="snapshots-wait", error=str(error))
            await asyncio.sleep(self._pause)

    async def look(self) -> int:
        """Once; -> how many snapshots were written. Another's turn is none of ours."""
        by = int(self._settings.get(EVERY, 0))
        if by <= 0 or not await self._store.acquire([LEASE], self._holder, 3 * self._pause):
            return 0
        head = await self._store.head()
        streams = await self._store.grown(by, form(), self._seen, AT_ONCE)
        written = 0
        for stream in streams:
            if stream.rpartition("-")[0] in handlers.ROWS:
                continue  # since when one is in force is told by its events, not by its row
            try:
                resource = await latest(self._store, stream)
            except (ValueError, KeyError, TypeError) as error:  # an event that can't be folded is for the projector to report
                log.warning("A stream can't be folded, and gets no snapshot", action="snapshot-failed", stream=stream, error=str(error))
                continue
            await self._store.snapshot([frozen(resource)])
            written += 1
        if written == 0 or len(streams) < AT_ONCE:
            self._seen = head  # else there are more of before
        return written

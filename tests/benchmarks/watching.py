"""What a load leads to, read off the log and the views' checkpoint as they grow: asked for nothing that a server must answer."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from projections.generations import generation

LOOK = 0.01
"""Seconds between two looks at the log."""

ARRIVALS = """
select position, stream, data ->> 'to', extract(epoch from at)::float8, data ->> 'error' from log.events
where position > $1 and type in ('process-succeeded', 'process-failed', 'transitioned')
    and stream like 'instance-%' and data ->> 'field' = 'state'
order by position"""

FOLDED = f'select position, extract(epoch from clock_timestamp())::float8 from "{generation()}".checkpoint'

COUNTS = """
select count(*), count(distinct (root, at)), count(distinct root) from (
    select at, coalesce(metadata ->> 'root', stream) as root from log.events where position > $1 and position <= $2
) e where root like 'instance-%'"""
"""Events, appends (a batch takes a root once, and all of a batch have one time) and roots."""


@dataclass(slots=True)
class Watch:
    """`arrived`: when each instance came to a state (the log's clock, which is this machine's)."""

    dsn: str
    arrived: dict[tuple[str, str], float] = field(default_factory=dict)
    folded: list[tuple[int, float]] = field(default_factory=list)
    """(position, when the views were seen to hold it)"""
    looking: list[asyncio.Task[None]] = field(default_factory=list)
    _waiting: dict[tuple[str, str], asyncio.Future[float]] = field(default_factory=dict)

    async def until(self, stream: str, state: str, timeout: float) -> float:
        """-> when it came to the state; at once if it has been there."""
        if (stream, state) in self.arrived:
            return self.arrived[stream, state]
        waiting = self._waiting.setdefault((stream, state), asyncio.get_running_loop().create_future())
        either: set[asyncio.Future[Any]] = {waiting, *self.looking}
        await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        for each in self.looking:
            if each.done():
                each.result()  # raises what ended it
        raise TimeoutError(f"{stream} is not {state} after {timeout:g} s")

    async def look(self, connection: asyncpg.Connection, after: int) -> None:
        while True:
            for position, stream, state, at, error in await connection.fetch(ARRIVALS, after):
                after = position
                if error is not None:
                    raise RuntimeError(f"{stream} failed: {error}")
                self.arrived[stream, state] = at
                if (waiting := self._waiting.pop((stream, state), None)) is not None and not waiting.done():
                    waiting.set_result(at)
            await asyncio.sleep(LOOK)

    async def look_at_the_views(self, connection: asyncpg.Connection, every: float) -> None:
        while True:
            [(position, at)] = await connection.fetch(FOLDED)
            if not self.folded or position > self.folded[-1][0]:
                self.folded.append((position, at))
            await asyncio.sleep(every)

    def lags(self, events: list[tuple[int, float]]) -> list[float]:
        """Of (position, when it was appended): seconds until each was seen in the views."""
        positions = [position for position, _ in self.folded]
        return [self.folded[bisect_left(positions, position)][1] - at for position, at in events]


@asynccontextmanager
async def watching(dsn: str, views_every: float = 0.0) -> AsyncIterator[Watch]:
    """`views_every`: seconds between two looks at the checkpoint; 0: none."""
    watch = Watch(dsn)
    connections = [await asyncpg.connect(dsn, timeout=10) for _ in range(2 if views_every else 1)]
    try:
        after = await head(connections[0])
        watch.looking.append(asyncio.create_task(watch.look(connections[0], after)))
        if views_every:
            watch.looking.append(asyncio.create_task(watch.look_at_the_views(connections[1], views_every)))
        yield watch
    finally:
        for each in watch.looking:
            each.cancel()
        await asyncio.gather(*watch.looking, return_exceptions=True)
        for connection in connections:
            await connection.close()


async def head(connection: asyncpg.Connection) -> int:
    return int(await connection.fetchval("select coalesce(max(position), 0) from log.events"))

"""Folds the log into the views for as long as it runs: follows the log from its checkpoint and applies batch after batch.

    standing by -> working -> (the database is away: again after a moment)
         ^            |
         +-- another projector has the lock, or has moved the checkpoint

One projector works at a time, by a lock of its connection; the checkpoint's compare-and-set holds even where that lock
was lost unnoticed.
"""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg
import structlog
from asyncpg.connection import Connection

from eventstore import Store, Unavailable
from projections import generations
from projections.apply import apply_all, checkpoint
from projections.errors import DATABASE_ERRORS, Superseded
from projections.generations import generation
from projections.known import Known
from projections.progress import Progress

log = structlog.get_logger(__name__)

STAND_BY = 1.0
"""Seconds between two looks whether the other projector is gone."""


class Projector:
    """`state`: starting, working, standing by, or what keeps it from working. `progress` is shared with the readers of this process."""

    def __init__(
        self, store: Store, dsn: str, progress: Progress, *, schema: str | None = None, stand_by: float = STAND_BY, timeout: float = 10.0
    ) -> None:
        self._store, self._dsn, self._progress = store, dsn, progress
        self._stand_by, self._timeout = stand_by, timeout
        self.schema = schema or generation()
        self.state = "starting"

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self._work()
            except Superseded as superseded:
                self.state = "standing by"
                log.info("Another projector is at work, standing by", action="projector-superseded", reason=str(superseded))
            except (*DATABASE_ERRORS, Unavailable) as error:
                # Never poison: the same batch is applied again once the database answers as it should.
                self.state = f"waiting for the database: {error}"
                log.warning("The views' database fails, trying again", action="projector-waits", error=str(error))
            await asyncio.sleep(self._stand_by)

    async def _work(self) -> None:
        connection = await generations.connect(self._dsn, self.schema, timeout=self._timeout, statement_timeout=60)
        try:
            await generations.ensure(connection, self.schema)
            while not await self._alone(connection):
                self.state = "standing by"
                await asyncio.sleep(self._stand_by)
            await self._follow(connection)
        finally:
            with contextlib.suppress(*DATABASE_ERRORS):
                await connection.close(timeout=self._timeout)

    async def _alone(self, connection: Connection) -> bool:
        """The lock is the session's: it falls with the connection."""
        return bool(await connection.fetchval("select pg_try_advisory_lock($1, $2)", *generations.projector_lock(self.schema)))

    async def _follow(self, connection: Connection) -> None:
        position, known = await checkpoint(connection), Known()
        self._progress.reached(position)
        self.state = "working"
        log.info("Folding the log into the views", action="projector-starts", schema=self.schema, position=position)
        others = True
        async with contextlib.aclosing(self._store.follow(position)) as batches:
            async for batch in batches:
                for each in await apply_all(connection, batch, position, known):
                    log.error("An event can't be folded: its stream is parked", action="poisoned", stream=each.stream, error=each.error)
                position = batch[-1].position
                self._progress.reached(position)
                if others and position >= await self._store.head():
                    others = False  # these views are complete: what nobody uses any more may go
                    await self._tidy(connection)

    async def _tidy(self, connection: Connection) -> None:
        try:
            dropped = await generations.tidy(connection, self._store, self.schema)
        except asyncpg.PostgresError as error:
            log.info("Old views stay for now", action="generation-stays", error=str(error))
            return
        for schema in dropped:
            log.info("Views of other code, which nobody has used for a day, are dropped", action="generation-dropped", schema=schema)

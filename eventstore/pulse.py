"""Does the database still answer? One small question at a time, on a connection of its own, for all that wait in this process.

    beating --asked, and no answer for `limit` seconds--> silent: who waits is told now, who comes is told at once
       ^------------------an answer------------------------'

A server that was stopped says so itself: connections break. One that hangs, or that the network lost, says nothing, and a slow query
looks the same; so it is a question that takes no time which tells the two apart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from asyncpg.connection import Connection
from asyncpg.pool import Pool, PoolConnectionProxy

from eventstore.queries import sql

log = logging.getLogger(__name__)

EVERY = 0.25
"""Seconds between an answer and the next question."""

TICK = 0.1


class Pulse:
    """`start` is for processes whose callers are to be told soon; before it, the database counts as answering."""

    def __init__(self) -> None:
        self.silent = False
        self.limit = float("inf")
        self._asked = False
        self._waited = 0.0
        """Seconds since the question that is open, less what this process itself slept through."""
        self._scopes: set[asyncio.Timeout] = set()
        self._used: set[Connection | PoolConnectionProxy] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, connect: Callable[[], Awaitable[Connection]], limit: float, timeout: float, heard: Callable[[datetime], None]) -> None:
        """`heard`: of the time by the database's clock. `timeout`: for a question, then it is asked again over another connection."""
        self.limit = limit
        self._tasks = [
            asyncio.create_task(self._ask(connect, timeout, heard), name="database's pulse"),
            asyncio.create_task(self._watch(), name="database's pulse, watched"),
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    @property
    def told(self) -> str:
        """What silence is called."""
        return f"the database has not answered for {self.limit:g} s"

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncGenerator[None, None]:
        """As asyncio.timeout, and over as soon as the database is silent. Raises TimeoutError."""
        if self.silent:
            raise TimeoutError(self.told)
        async with asyncio.timeout(seconds) as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)

    def ends(self, connection: Connection | PoolConnectionProxy) -> None:
        """Silence closes it from now on: whoever waits for it goes on as after any lost connection."""
        self._used.add(connection)

    def spares(self, connection: Connection | PoolConnectionProxy) -> None:
        """It is no longer used."""
        self._used.discard(connection)

    @asynccontextmanager
    async def lent(self, pool: Pool) -> AsyncGenerator[PoolConnectionProxy, None]:
        """A connection of the pool's. It is closed when the database falls silent, or who has it is cancelled: to give it back would mean
        to wait for its answer."""
        async with pool.acquire() as connection:
            self.ends(connection)
            try:
                yield connection
            except asyncio.CancelledError:
                connection.terminate()
                raise
            finally:
                self.spares(connection)

    async def _ask(self, connect: Callable[[], Awaitable[Connection]], timeout: float, heard: Callable[[datetime], None]) -> None:
        connection: Connection | None = None
        try:
            while True:
                self._asked = True
                try:
                    if connection is None:
                        connection = await connect()
                        self.ends(connection)
                    heard(await connection.fetchval(sql("clock"), timeout=timeout))
                except Exception as error:
                    if connection is not None:
                        self.spares(connection)
                        connection.terminate()
                        connection = None
                    if not self.silent and not isinstance(error, TimeoutError):
                        self._beats()  # what breaks or is refused is known to who waits for it; silence is ended by an answer alone
                else:
                    self._beats()
                await asyncio.sleep(EVERY)
        finally:
            if connection is not None:
                connection.terminate()

    def _beats(self) -> None:
        if self.silent:
            log.warning("the database answers again", extra={"action": "database-answers"})
        self._asked, self._waited, self.silent = False, 0.0, False

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(TICK)
            last, elapsed = loop.time(), loop.time() - last
            if self._asked:
                self._waited += min(elapsed, 2 * TICK)
            if self._waited >= self.limit and not self.silent:
                self.silent = True
                log.warning("%s: who waits for it is told to try later", self.told, extra={"action": "database-silent"})
                for connection in list(self._used):
                    connection.terminate()
                for scope in list(self._scopes):
                    scope.reschedule(loop.time())

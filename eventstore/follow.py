"""A committed batch -> bell -> here -> whoever follows the log: first what is there, then live.

    catching up --a short read--> waiting --bell, or the slow poll--> catching up

The bell only wakes: what a follower gets it always reads by position, so a lost or doubled wake-up changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from asyncpg.connection import Connection

from eventstore.errors import Unavailable
from eventstore.queries import sql
from eventstore.types import Recorded

log = logging.getLogger(__name__)

BATCH = 1000
CHANNEL = "corral_log"


class Bell:
    """Rings in this process when the log has grown. One of this process's writer and of its listener rings first."""

    def __init__(self) -> None:
        self.position = 0
        self.closed = False
        self._waiters: set[asyncio.Future[None]] = set()

    def ring(self, position: int) -> None:
        if position > self.position:
            self.position = position
            self._wake()

    async def wait(self, beyond: int, timeout: float) -> None:
        """Until the log is known to be longer than `beyond`, the bell is closed, or `timeout` is over."""
        if self.closed or self.position > beyond:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait({waiter}, timeout=timeout)
        finally:
            self._waiters.discard(waiter)
            waiter.cancel()

    def close(self) -> None:
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


async def follow(
    read: Callable[[int, int], Awaitable[list[Recorded]]], bell: Bell, after: int, poll: float
) -> AsyncGenerator[list[Recorded], None]:
    """Reads on from `after` for ever; `read(after, limit)` is the store's read_all."""
    while not bell.closed:
        rung = bell.position
        try:
            events = await read(after, BATCH)
        except Unavailable as error:
            if not bell.closed:
                log.warning("following waits for the database at position %d: %s", after, error, extra={"action": "follow"})
                await bell.wait(rung, poll)
            continue
        if events:
            after = events[-1].position
            yield events
        if not events:
            # Not `after` alone: a bell that promises more than a read can show must not make this loop spin.
            await bell.wait(max(after, rung), poll)
        elif len(events) < BATCH:
            # `after` alone: another follower may have read these before it rang (eventstore.tail). Only nothing is surely read anew.
            await bell.wait(after, poll)


class Listener:
    """Rings the bell for what other processes append: one connection that LISTENs, made again whenever it is lost."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], bell: Bell, check_every: float = 10.0) -> None:
        self._connect, self._bell, self._check_every = connect, bell, check_every
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """May be called again and again."""
        if self._task is None:
            self._task = asyncio.create_task(self._listen(), name="log listener")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=5)

    async def _listen(self) -> None:
        pause = 0.05
        while True:
            connection: Connection | None = None
            try:
                connection = await self._connect()
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
                await connection.add_listener(CHANNEL, self._heard)
                self._bell.ring(await connection.fetchval(sql("head")) or 0)  # what was said while nobody listened
                pause = 0.05
                while not lost.is_set():
                    try:
                        async with asyncio.timeout(self._check_every):  # wait_for forgets a cancel that meets the event (Python 3.11)
                            await lost.wait()
                    except TimeoutError:
                        await connection.fetchval("SELECT 1", timeout=self._check_every)  # a silent network says nothing by itself
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.warning("listening stopped (%s): starting again", error, extra={"action": "listen"})
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    def _heard(self, connection: Any, pid: int, channel: str, payload: object) -> None:
        self._bell.ring(int(str(payload)))

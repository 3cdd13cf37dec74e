"""Builds the views anew from the log beside those in use, compares the two, and switches in one transaction: corral rebuild.

Readers never see views that are half built, and need not be restarted. The projector at work goes on where it was: the
switch happens at the very position at which its checkpoint stands.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
from asyncpg.connection import Connection

from eventstore import Store
from projections import generations
from projections.apply import apply_all, checkpoint
from projections.generations import ViewHash, generation
from projections.known import Known

BATCH = 1000
LOCK_TIMEOUT = 2.0
"""Seconds a switch waits for running queries, before it lets everybody go on and tries again."""

SWITCH_TRIES = 30

OnProgress = Callable[[int, int], None]
"""(events folded, events in all)"""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """`before` and `after`: the hashes of the views that were in use and of those built anew, at the same position."""

    schema: str
    position: int
    before: list[ViewHash]
    after: list[ViewHash]
    poisoned: list[str]
    """Streams with an event that can't be folded; their rows are left out of both hashes."""

    @property
    def equal(self) -> bool:
        return self.before == self.after


async def rebuild(store: Store, dsn: str, on_progress: OnProgress = lambda done, all: None, *, schema: str | None = None) -> Rebuilt:
    """Rebuilds this code's generation. Safe at any time, also while projectors and readers work, and after a rebuild that was killed."""
    live = schema or generation()
    beside = f"{live}_next"
    async with contextlib.AsyncExitStack() as stack:
        connection = await _connect(stack, dsn, beside)
        if not await connection.fetchval("select pg_try_advisory_lock(hashtextextended($1, 0))", beside):
            raise RuntimeError("another rebuild of these views is under way: wait for it, or stop it")
        current = await _connect(stack, dsn, live)
        await generations.ensure(current, live)
        await generations.drop(connection, beside)
        await generations.ensure(connection, beside)
        position, known = 0, Known()
        while position < (to := await checkpoint(current)):
            position = await _batch(store, connection, known, position, to)
            on_progress(position, to)
        for attempt in range(SWITCH_TRIES):
            try:
                return await _switch(store, connection, known, current, live, beside)
            except asyncpg.LockNotAvailableError:
                await asyncio.sleep(0.1 * (attempt + 1))
        raise TimeoutError("the views are in constant use: the rebuilt ones could not be switched in. Try again")


async def _connect(stack: contextlib.AsyncExitStack, dsn: str, schema: str) -> Connection:
    connection = await generations.connect(dsn, schema, statement_timeout=3600)
    stack.push_async_callback(connection.close, timeout=10)
    return connection


async def _batch(store: Store, connection: Connection, known: Known, position: int, to: int) -> int:
    events = await store.read_all(position, BATCH, to_position=to)
    if not events:
        raise RuntimeError(f"the log ends at position {position}, but the views are at {to}: they belong to another log")
    await apply_all(connection, events, position, known)
    return events[-1].position


async def _switch(store: Store, connection: Connection, known: Known, current: Connection, live: str, beside: str) -> Rebuilt:
    """At the checkpoint of the views in use, which stands still meanwhile: catch up to it, compare, rename.

    The lock keeps projectors out and lets readers read; they wait only for the moment of the renaming.
    """
    async with current.transaction():
        await current.execute(f"set local lock_timeout = '{int(LOCK_TIMEOUT * 1000)}ms'")
        await current.execute("lock table checkpoint in exclusive mode")
        at, position = await checkpoint(current), await checkpoint(connection)
        while position < at:
            position = await _batch(store, connection, known, position, at)
        bad = sorted({*await generations.poisoned(current), *await generations.poisoned(connection)})
        before, after = await generations.hashes(current, bad), await generations.hashes(connection, bad)
        await current.execute(f'drop schema "{live}" cascade')
        await current.execute(f'alter schema "{beside}" rename to "{live}"')
    return Rebuilt(live, at, before, after, bad)

"""A database that hangs breaks no connection: who waits for it is told soon all the same, and it goes on where it stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded import EmbeddedPostgres, hold
from eventstore import Event, Store, Unavailable, Write, WrongVersion
from eventstore.postgres import PostgresStore
from eventstore.queries import sql
from tests.eventstore.patience import append_once_possible
from tests.support.frozen import frozen

SOON = 5.0
"""Seconds, of two where nothing else runs; without a pulse it would be ten and more."""


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    with hold(tmp_path) as home:
        async with EmbeddedPostgres(home) as running:
            yield running


@pytest.fixture
async def store(postgres: EmbeddedPostgres) -> AsyncIterator[PostgresStore]:
    opened = await PostgresStore.open(postgres.dsn, patience=1.0)
    yield opened
    await opened.close()


def created(stream: str) -> Write:
    return Write(stream, 0, (Event("created", {}),))


def is_silent(store: PostgresStore) -> bool:
    return store.pulse.silent


CALLS: dict[str, Callable[[Store], Awaitable[Any]]] = {
    "append": lambda store: store.append([created("b-1")]),
    "read": lambda store: store.read("a-1"),
    "load": lambda store: store.load(["a"]),
    "acquire": lambda store: store.acquire(["lease"], "me", 3.0),
}


async def _took(call: Awaitable[Any]) -> float:
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await call
    return time.monotonic() - began


async def test_who_waits_for_it_is_told_soon_and_who_comes_later_at_once(postgres: EmbeddedPostgres, store: PostgresStore) -> None:
    await store.append([created("a-1")])
    assert postgres.pid is not None
    with frozen(postgres.pid):
        under_way = await asyncio.gather(*(_took(call(store)) for call in CALLS.values() for _ in range(5)))
        assert max(under_way) < SOON
        assert is_silent(store)
        later = await asyncio.gather(*(_took(call(store)) for call in CALLS.values()))
        assert max(later) < max(under_way)
    async with asyncio.timeout(30):
        while is_silent(store):
            await asyncio.sleep(0.01)
    assert [event.stream for event in await store.read("a-1")] == ["a-1"]
    await store.append([created("c-1")])


async def test_where_only_connections_hang_new_ones_serve_soon(postgres: EmbeddedPostgres, store: PostgresStore) -> None:
    await store.append([created("a-1")])
    assert postgres.pid is not None
    with frozen(postgres.pid, itself=False):
        async with asyncio.timeout(SOON):
            answers = await asyncio.gather(*(call(store) for call in CALLS.values() for _ in range(3)), return_exceptions=True)
        assert not [each for each in answers if isinstance(each, Exception) and not isinstance(each, Unavailable | WrongVersion)]
        async with asyncio.timeout(60):
            while not await answered(store.read("a-1")):
                await asyncio.sleep(0.1)
    async with asyncio.timeout(30):
        while not await answered(store.append([created("c-1")])):
            await asyncio.sleep(0.1)


async def answered(call: Awaitable[Any]) -> bool:
    try:
        await call
    except Unavailable:
        return False
    return True


async def test_one_that_answers_late_is_not_taken_for_silent(postgres: EmbeddedPostgres, store: PostgresStore) -> None:
    """A query that takes its time is waited for, as long as the small question between is answered."""
    async def slowly(connection: Any) -> str:
        return str(await connection.fetchval("select 'done' from pg_sleep(2)"))

    assert await store._with_connection(slowly) == "done"
    assert not is_silent(store)


async def test_who_falls_asleep_with_the_logs_lock_in_hand_loses_it(postgres: EmbeddedPostgres, store: PostgresStore) -> None:
    """As a process may that is stopped between two statements of a transaction: all others would wait for ever."""
    asleep = asyncio.Event()

    async def falls_asleep(connection: Any) -> None:
        async with connection.transaction():
            await connection.execute(sql("lock"))
            asleep.set()
            await asyncio.sleep(3600)

    sleeper = await PostgresStore.open(postgres.dsn, timeout=3600)
    sleeping = asyncio.create_task(sleeper._with_connection(falls_asleep))
    try:
        async with asyncio.timeout(60):
            await asleep.wait()
            await append_once_possible(store, created("a-1"))
    finally:
        sleeping.cancel()
        await asyncio.wait({sleeping}, timeout=10)
        await sleeper.close()

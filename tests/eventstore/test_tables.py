"""What the tables themselves promise: append-only, and always room for more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import asyncpg
import pytest
from asyncpg.connection import Connection

from eventstore import Event, Write
from eventstore.postgres import PostgresStore


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresStore]:
    opened = await PostgresStore.open(database, partition_size=10)
    yield opened
    await opened.close()


@pytest.fixture
async def connection(database: str, store: PostgresStore) -> AsyncIterator[Connection]:
    opened = await asyncpg.connect(database)
    yield opened
    await opened.close()


def created(stream: str, events: int = 1) -> Write:
    return Write(stream, 0, tuple(Event("created", {"n": n}) for n in range(events)))


@pytest.mark.parametrize("table", ["log.events", "log.events_1"])
@pytest.mark.parametrize("change", ["UPDATE {} SET data = '{{}}'", "DELETE FROM {}", "TRUNCATE {}"])
async def test_events_are_never_changed(store: PostgresStore, connection: Connection, table: str, change: str) -> None:
    await store.append([created("a-1")])
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="append-only"):
        await connection.execute(change.format(table))
    assert len(await store.read("a-1")) == 1


async def test_partitions_are_made_ahead_and_readers_see_one_log(store: PostgresStore, connection: Connection) -> None:
    await store.append([created("a-0", 3)])
    await asyncio.gather(*(store.append([created(f"b-{n}")]) for n in range(50)))
    await store.append([created("c-0", 45)])  # more than a partition holds
    events = await store.read_all()
    assert [event.position for event in events] == list(range(1, 99))
    assert [event.version for event in await store.read("c-0")] == list(range(1, 46))
    partitions = await connection.fetch("SELECT first, until FROM log.partitions ORDER BY first")
    assert partitions[-1]["until"] - 99 >= 5, "half a partition of room is left"
    assert all(one["until"] == next_one["first"] for one, next_one in pairwise(partitions))


async def test_an_append_does_not_wait_for_a_long_read_when_it_makes_room(store: PostgresStore, connection: Connection) -> None:
    await store.append([created("a-0")])
    async with connection.transaction(isolation="repeatable_read"):
        assert await connection.fetchval("SELECT count(*) FROM log.events") == 1
        for n in range(40):
            await asyncio.wait_for(store.append([created(f"b-{n}")]), 5)
        assert await connection.fetchval("SELECT count(*) FROM log.events") == 1
    assert await store.head() == 41

"""Postgres dies and comes back: appends and followers go on by themselves, and what was acknowledged is there."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.embedded import EmbeddedPostgres, hold
from eventstore import Event, Recorded, Unavailable, Write
from eventstore.postgres import PostgresStore
from tests.eventstore.patience import append_once_possible


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    with hold(tmp_path) as home:
        async with EmbeddedPostgres(home) as postgres:
            yield postgres


async def append_on(store: PostgresStore, caller: int, until: asyncio.Event, landed: list[int]) -> None:
    version = 0
    while not until.is_set():
        appended = await store.append([Write(f"a-{caller}", version, (Event("updated", {"n": version}),))])
        landed.append(appended.first)
        version += 1
        await asyncio.sleep(0.001)


@pytest.mark.timeout(120)
async def test_appending_and_following_survive_that_postgres_is_killed(server: EmbeddedPostgres) -> None:
    store = await PostgresStore.open(server.dsn, timeout=30, poll=0.5)
    landed: list[int] = []
    seen: list[Recorded] = []
    enough = asyncio.Event()

    async def follower() -> None:
        async for batch in store.follow():
            seen.extend(batch)

    following = asyncio.create_task(follower())
    async with asyncio.timeout(90), asyncio.TaskGroup() as group:
        for caller in range(16):
            group.create_task(append_on(store, caller, enough, landed))
        for _ in range(2):
            before = len(landed)
            while len(landed) < before + 500:
                await asyncio.sleep(0.01)
            pid = server.pid
            assert pid
            os.kill(pid, signal.SIGKILL)
        before = len(landed)
        while len(landed) < before + 500:
            await asyncio.sleep(0.01)
        enough.set()
    head = await store.head()
    assert sorted(landed) == list(range(1, head + 1)), "each acknowledged append is there once, and nothing else"
    async with asyncio.timeout(10):
        while not seen or seen[-1].position < head:
            await asyncio.sleep(0.01)
    assert [e.position for e in seen] == list(range(1, head + 1))
    await store.close()
    await asyncio.wait_for(following, 5)


@pytest.mark.timeout(60)
async def test_without_postgres_every_call_ends_and_says_so(server: EmbeddedPostgres) -> None:
    store = await PostgresStore.open(server.dsn, timeout=0.6)
    await store.append([Write("a-1", 0, (Event("created", {}),))])
    waiting = asyncio.ensure_future(anext(store.follow(after=1)))
    await server.stop()
    calls = [
        store.append([Write("a-2", 0, (Event("created", {}),))]), store.read("a-1"), store.head(), store.ids("a"),
        store.acquire(["p-1"], "me", 5), store.load(["a"]), store.due_work([1]), PostgresStore.open(server.dsn, timeout=0.3),
    ]  # fmt: skip
    async with asyncio.timeout(10):
        told = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(each, Unavailable) for each in told), told
    await server.start()
    async with asyncio.timeout(10):
        await append_once_possible(store, Write("a-2", 0, (Event("created", {}),)))
        [event] = await waiting
    assert event.stream == "a-2"
    assert await store.head() == 2
    await store.close()


async def test_a_store_closes_in_time_without_postgres(server: EmbeddedPostgres) -> None:
    store = await PostgresStore.open(server.dsn, timeout=0.5)
    append = asyncio.create_task(store.append([Write("a-1", 0, (Event("created", {}),))]))
    await server.stop()
    async with asyncio.timeout(10):
        await store.close()
    await asyncio.gather(append, return_exceptions=True)


@pytest.mark.timeout(60)
async def test_who_has_little_patience_is_told_soon_that_postgres_is_away_and_served_soon_when_it_is_back(server: EmbeddedPostgres) -> None:
    store = await PostgresStore.open(server.dsn, timeout=30, patience=0.5)
    await store.append([Write("a-1", 0, (Event("created", {}),))])
    await server.stop()
    began = asyncio.get_running_loop().time()
    calls = [store.append([Write("a-2", 0, (Event("created", {}),))]), store.read("a-1"), store.head()]
    told = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(each, Unavailable) for each in told), told
    later = await asyncio.gather(store.append([Write("a-3", 0, (Event("created", {}),))]), return_exceptions=True)
    assert isinstance(later[0], Unavailable), "one that comes in the middle of it, too"
    assert asyncio.get_running_loop().time() - began < 10, "far less than the timeout"
    await server.start()
    async with asyncio.timeout(20):
        await append_once_possible(store, Write("a-2", 0, (Event("created", {}),)))
    assert [event.stream for event in await store.read_all()] == ["a-1", "a-2"]
    await store.close()

"""Following the log, as every store lets it be followed: what was there, then what comes, at once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from eventstore import Event, Recorded, Store, Unavailable, Write
from tests.contracts.writes import write


async def test_a_follower_gets_what_was_there_and_then_what_comes(store: Store) -> None:
    await store.append([Write("a-1", 0, tuple(Event("created", {"n": n}) for n in range(1500)))])
    seen: list[Recorded] = []

    async def follower() -> None:
        async with aclosing(store.follow(after=10)) as batches:
            async for batch in batches:
                assert 0 < len(batch) <= 1000
                seen.extend(batch)
                if len(seen) == 1492:
                    return

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(follower())
        await asyncio.sleep(0.1)
        await store.append([write("b-1")])
        await asyncio.sleep(0.05)
        await store.append([write("b-2")])
    assert [e.position for e in seen] == list(range(11, 1503))


async def test_followers_are_woken_at_once(store: Store) -> None:
    batches = store.follow()
    loop = asyncio.get_running_loop()
    waits = []
    for n in range(5):
        waiting = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0.1)
        began = loop.time()
        await store.append([write(f"a-{n}")])
        [event] = await asyncio.wait_for(waiting, 5)
        waits.append(loop.time() - began)
        assert event.position == n + 1
    assert min(waits) < 0.2


async def test_following_ends_with_the_store(store: Store) -> None:
    async def follower() -> None:
        async for _ in store.follow():
            pass

    task = asyncio.create_task(follower())
    await asyncio.sleep(0.05)
    await store.close()
    await asyncio.wait_for(task, 5)
    with pytest.raises(Unavailable):
        await store.append([write("a-1")])
    with pytest.raises(Unavailable):
        await store.read("a-1")

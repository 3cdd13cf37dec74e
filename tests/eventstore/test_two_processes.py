"""Positions are gapless and in the order of commits, also with several servers: so a follower that reads on misses nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from eventstore import Event, Recorded, Write
from eventstore.postgres import PostgresStore
from eventstore.rebuild import rebuild_beside

CHECKOUT = Path(__file__).parents[2]


async def appender(dsn: str, name: str, seconds: float) -> dict[str, list[str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.eventstore.appender", dsn, name, str(seconds), cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(process.communicate(), 50)
    assert process.returncode == 0
    result: dict[str, list[str]] = json.loads(said)
    return result


async def collect(store: PostgresStore, seen: list[Recorded]) -> None:
    async with aclosing(store.follow()) as batches:
        async for batch in batches:
            seen.extend(batch)


@pytest.mark.timeout(120)
async def test_followers_miss_nothing_of_slow_fast_and_failing_transactions_of_two_processes(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await PostgresStore.open(database)
    # One is woken by notifications; the other only looks by itself, every 20 ms, as a naive reader would.
    poller = await PostgresStore.open(database, poll=0.02)
    monkeypatch.setattr(poller._listener, "start", lambda: None)
    told: list[list[Recorded]] = [[], []]
    followers = [asyncio.create_task(collect(each, seen)) for each, seen in zip((store, poller), told, strict=True)]

    results = await asyncio.gather(appender(database, "left", 4), appender(database, "right", 4))

    head = await store.head()
    async with asyncio.timeout(10):
        while any(not seen or seen[-1].position < head for seen in told):
            await asyncio.sleep(0.01)
    await store.close()
    await poller.close()
    await asyncio.wait_for(asyncio.gather(*followers), 5)

    landed = [name for result in results for name in result["landed"]]
    undone = {name for result in results for name in result["undone"]}
    for seen in told:
        assert [e.position for e in seen] == list(range(1, head + 1))
        assert sorted(e.data["name"] for e in seen) == sorted(landed)
        assert not undone & {e.data["name"] for e in seen}
        assert [e.at for e in seen] == sorted(e.at for e in seen)
    kinds = {e.stream.rstrip("0123456789-") for e in told[0]}
    assert kinds == {"leftfast", "rightfast", "leftslow", "rightslow"}
    assert undone
    assert await rebuild_beside(database) == []


async def test_two_servers_wake_each_others_followers(database: str) -> None:
    one = await PostgresStore.open(database, poll=60)
    other = await PostgresStore.open(database, poll=60)
    batches = one.follow()
    waiting = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0.5)  # it listens now
    await other.append([Write("a-1", 0, (Event("created", {}),))])
    [event] = await asyncio.wait_for(waiting, 5)
    assert event.stream == "a-1"
    await one.close()
    await other.close()


async def test_ids_of_two_servers_never_meet(database: str) -> None:
    stores = [await PostgresStore.open(database) for _ in range(2)]
    given: list[range] = await asyncio.gather(*(stores[n % 2].ids("instance", 1 + n % 3) for n in range(200)))
    numbers = [number for each in given for number in each]
    assert len(set(numbers)) == len(numbers)
    for store in stores:
        await store.close()

"""A run that archives loses and doubles nothing when it is killed, refused, or at work beside all others."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import asyncpg
import pytest

from eventstore.archiving import STEPS
from eventstore.errors import CantArchive
from eventstore.exchange import Part, to_rewrite
from eventstore.postgres import PostgresStore
from eventstore.rebuild import rebuild_beside
from tests.eventstore.archived import PARTITION, fetch, filled, put, reads_as_before, run


class Killed(Exception):
    """As if the process ended here."""


@pytest.mark.parametrize("step", STEPS)
async def test_a_run_that_is_killed_is_run_again(store: PostgresStore, database: str, tmp_path: Path, step: str) -> None:
    log = await filled(store)

    def kill(what: str, done: int, all: int) -> None:
        if what == step:
            raise Killed

    with pytest.raises(Killed):
        await run(database, tmp_path, len(log), told=kill)
    await reads_as_before(store, log)
    await put(store, "host-1", 5)
    log = await store.read_all(limit=10_000)
    done = await run(database, tmp_path, len(log))
    assert (done.events > 0) == (step != "swapped")
    await reads_as_before(store, log)
    assert len([folder for folder in tmp_path.iterdir() if folder.is_dir()]) == 1
    [(tables,)] = await fetch(database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'log' AND tablename LIKE 'events\\_%'")
    assert [(tables,)] == await fetch(database, "SELECT count(*) FROM log.partitions")
    assert await rebuild_beside(database) == []


@pytest.mark.parametrize("before", [0, -3, 10**6])
async def test_positions_that_make_no_sense_are_refused(store: PostgresStore, database: str, tmp_path: Path, before: int) -> None:
    await put(store, "a-1", 3, close=True)
    with pytest.raises(CantArchive, match="not in the log, which goes from 1 to 3"):
        await run(database, tmp_path, before)


async def test_a_folder_that_cant_be_made_is_said_so_and_nothing_leaves(store: PostgresStore, database: str, tmp_path: Path) -> None:
    log = await filled(store)
    (tmp_path / "file").write_text("")
    with pytest.raises(CantArchive, match=f"{tmp_path}/file"):
        await run(database, tmp_path / "file", len(log))
    await reads_as_before(store, log)


async def test_a_second_run_at_the_same_time_is_refused(
    store: PostgresStore, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.archiving.ALONE_TRIES", 2)
    await put(store, "a-1", 3)
    connection = await asyncpg.connect(database)
    await connection.execute("SELECT pg_advisory_lock(x'61726368'::bigint)")
    with pytest.raises(CantArchive, match="already"):
        await run(database, tmp_path, 3)
    await connection.close()


async def test_appends_reads_and_followers_go_on_meanwhile(store: PostgresStore, database: str, tmp_path: Path) -> None:
    await filled(store)
    stop = asyncio.Event()

    async def write(name: str) -> int:
        count = 0
        while not stop.is_set():
            await put(store, f"{name}-{count}", 3, close=count % 3 == 0)
            count += 1
        return count

    async def follow(from_position: int) -> list[int]:
        positions: list[int] = []
        async with aclosing(other.follow(from_position)) as batches:
            async for batch in batches:
                positions += [event.position for event in batch]
                if stop.is_set() and positions[-1] >= await other.head():
                    return positions
        raise AssertionError("a follower ends with its store alone")

    async def read() -> int:
        count = 0
        while not stop.is_set():
            events = await other.read_all(limit=10_000)
            assert [event.position for event in events] == list(range(1, len(events) + 1))
            count += 1
        return count

    other = await PostgresStore.open(database, partition_size=PARTITION, poll=0.1)
    writing = [asyncio.create_task(write(name)) for name in "xy"]
    following = [asyncio.create_task(follow(position)) for position in (0, 100)]
    reading = asyncio.create_task(read())
    events = 0
    for _ in range(4):
        await asyncio.sleep(0.2)
        events += (await run(database, tmp_path, await store.head())).events
    stop.set()
    await put(store, "host-1", 1)
    whole, part = await asyncio.wait_for(asyncio.gather(*following), 40)
    assert whole == list(range(1, len(whole) + 1))
    assert part == list(range(101, part[-1] + 1))
    assert min(await asyncio.gather(*writing, reading)) > 2
    assert events > 100
    assert await rebuild_beside(database) == []
    await other.close()


async def test_long_queries_delay_the_exchange_and_do_no_harm(
    store: PostgresStore, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.exchange.SWAP_TRIES", 2)
    monkeypatch.setattr("eventstore.exchange.LOCK_TIMEOUT", 0.1)
    log = await filled(store)
    connection = await asyncpg.connect(database)
    async with connection.transaction():
        await connection.fetch("SELECT * FROM log.events LIMIT 1")
        with pytest.raises(CantArchive, match="long queries"):
            await run(database, tmp_path, len(log))
        await put(store, "host-1", 1)
    await connection.close()
    assert (await run(database, tmp_path, len(log))).events > 0
    await reads_as_before(store, await store.read_all(limit=10_000))


async def test_appends_go_on_while_the_exchange_waits_for_vacuum(store: PostgresStore, database: str, tmp_path: Path) -> None:
    log = await filled(store)
    vacuum, watch = await asyncpg.connect(database), await asyncpg.connect(database)
    async with vacuum.transaction():
        await vacuum.execute("LOCK TABLE log.events_1 IN SHARE UPDATE EXCLUSIVE MODE")  # as autovacuum has it
        running = asyncio.create_task(run(database, tmp_path, len(log)))
        async with asyncio.timeout(20):
            while not await watch.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'"):
                await asyncio.sleep(0.02)
        await put(store, "host-1", 1)
        assert await watch.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'") == 1
    assert (await running).events > 0
    await vacuum.close()
    await watch.close()
    await reads_as_before(store, await store.read_all(limit=10_000))


def test_partitions_are_joined_with_their_neighbours_as_long_as_they_fit() -> None:
    def part(first: int, kept: int, leaving: int) -> Part:
        return Part(f"p{first}", first, first + 100, first + 99, kept, leaving)

    def names(*parts: Part) -> list[list[str]]:
        return [[each.name for each in group] for group in to_rewrite(parts, 100)]

    assert names(part(1, 80, 20)) == [["p1"]]
    assert names(part(1, 100, 0), part(2, 30, 70), part(3, 100, 0)) == [["p2"]]
    assert names(part(1, 40, 60), part(2, 50, 50), part(3, 30, 70)) == [["p1", "p2"], ["p3"]]
    assert names(part(1, 100, 0), part(2, 10, 0)) == []
    assert names(part(1, 10, 0), part(2, 10, 0)) == [["p1", "p2"]]

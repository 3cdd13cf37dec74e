"""Closed streams leave the log for files, and every reader still sees one gapless log. A run that is killed loses and doubles nothing."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from eventstore import ArchiveAway, Claim, Event, Recorded, Snapshot, Write
from eventstore.archive import MANIFEST, Archive
from eventstore.archiving import STEPS, Archived, archive_before, verify
from eventstore.errors import CantArchive
from eventstore.exchange import Part, to_rewrite
from eventstore.postgres import PostgresStore
from eventstore.rebuild import rebuild_beside

PARTITION = 50
CLOSED = {"closed": True}


class Killed(Exception):
    """As if the process ended here."""


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresStore]:
    opened = await PostgresStore.open(database, partition_size=PARTITION, poll=0.1)
    yield opened
    await opened.close()


async def put(store: PostgresStore, stream: str, count: int = 1, *, close: bool = False, root: str = "", request: str = "r") -> None:
    version = len(await store.read(stream))
    events = [Event("updated", {"n": n, "big": 2**60}, {"correlation": request}) for n in range(count)]
    if close:
        events[-1] = replace(events[-1], type="removed", metadata={"correlation": request, **CLOSED})
    await store.append([Write(stream, version, tuple(events), root)])


async def filled(store: PostgresStore, roots: int = 40) -> list[Recorded]:
    """Interleaved roots with a child each; every other one closed. The last event is none of theirs."""
    chance = random.Random(7)
    order = [number for number in range(roots) for _ in range(3)]
    chance.shuffle(order)
    for number in order:
        await put(store, f"instance-{number}", 2, request=f"r{number}")
        await put(store, f"volume-{number}", 1, root=f"instance-{number}", request=f"r{number}")
    for number in range(0, roots, 2):
        await put(store, f"instance-{number}", 1, close=True)
        await put(store, f"volume-{number}", 1, close=True, root=f"instance-{number}")
    await put(store, "host-1", 3)
    return await store.read_all(limit=10_000)


async def run(database: str, folder: Path, before: int, **how: Any) -> Archived:
    return await archive_before(database, folder, before, file_events=30, partition_size=PARTITION, **how)


async def fetch(database: str, query: str, *values: Any) -> list[Any]:
    connection = await asyncpg.connect(database)
    try:
        return [tuple(row) for row in await connection.fetch(query, *values)]
    finally:
        await connection.close()


async def reads_as_before(store: PostgresStore, log: list[Recorded]) -> None:
    """Every way to read."""
    head = len(log)
    assert [event.position for event in log] == list(range(1, head + 1))
    assert await store.read_all(limit=10_000) == log
    for after, limit in ((0, 1), (0, 7), (3, 100), (head - 5, 100), (head, 5), (head + 5, 5)):
        assert await store.read_all(after, limit) == log[after : after + limit]
        assert await store.read_all(after, limit, to_position=after + 4) == log[after : after + min(limit, 4)]
    for after, limit in ((0, 3), (17, 10_000)):
        assert await store.read_all(after, limit, types=["removed"]) == [e for e in log[after:] if e.type == "removed"][:limit]
    assert await store.read_all(0, 2, to_position=60, types=["updated"]) == [e for e in log[:60] if e.type == "updated"][:2]
    for request in ("r0", "r1", "r", "none"):
        fitting = [event for event in log if event.metadata.get("correlation") == request]
        assert await store.read_all(limit=10_000, correlation=request) == fitting
        assert await store.read_all(limit=10_000, correlation=request, types=["removed"]) == [e for e in fitting if e.type == "removed"]
        assert await store.read_all(limit=2, correlation=request) == fitting[:2]
    for stream in sorted({event.stream for event in log})[::9]:
        own = [event for event in log if event.stream == stream]
        assert await store.read(stream) == own
        assert await store.read(stream, after=2) == own[2:]
        assert await store.read(stream, to_position=own[1].position) == own[:2]
        assert (await store.resume(stream, "f")).events == own
    for request in ("r0", "r1"):
        streams = {event.stream for event in log if event.metadata.get("correlation") == request and event.stream.startswith("volume-")}
        own = [event for event in log if event.stream in streams]
        assert own
        part = {"metadata": {"correlation": request}, "data": {"n": 0}}
        assert await store.read_having("volume", part) == own
        assert await store.read_having("volume", part, own[0].position) == own[:1]
    for root in ("instance-0", "instance-1"):
        own = [event for event in log if event.root == root]
        assert await store.read_root(root) == own
        assert await store.read_root(root, to_position=own[2].position) == own[:3]
        assert (await store.resume_root(root, "f")).events == own


async def test_closed_streams_leave_and_every_read_is_as_before(store: PostgresStore, database: str, tmp_path: Path) -> None:
    log = await filled(store)
    told: list[str] = []
    done = await run(database, tmp_path / "archive", len(log), told=lambda what, done, all: told.append(what))
    assert (done.streams, done.events) == (40, sum(int(e.stream.split("-")[1]) % 2 == 0 for e in log if not e.stream.startswith("host")))
    left = await fetch(database, "SELECT DISTINCT stream FROM log.events")
    assert {int(stream.split("-")[1]) % 2 for (stream,) in left} == {1}
    assert await fetch(database, "SELECT count(*) FROM log.events") == [(len(log) - done.events,)]
    await reads_as_before(store, log)
    fresh = await PostgresStore.open(database)
    await reads_as_before(fresh, log)
    await fresh.close()
    assert [step for step in told if step in STEPS] == list(STEPS)


async def test_an_archive_can_be_read_with_nothing_but_a_shell(store: PostgresStore, database: str, tmp_path: Path) -> None:
    log = await filled(store)
    done = await run(database, tmp_path, len(log))
    assert done.folder is not None
    manifest = orjson.loads((Path(done.folder) / MANIFEST).read_bytes())
    assert manifest["format"] == 1
    assert (manifest["events"], manifest["streams"]) == (done.events, done.streams)
    assert sum(file["events"] for file in manifest["files"]) == done.events
    lines = [orjson.loads(line) for file in done.files for line in gzip.decompress((tmp_path / file.name).read_bytes()).splitlines()]
    assert [line["position"] for line in lines] == [event.position for event in log if int(event.stream.split("-")[1]) % 2 == 0]
    assert lines[0]["data"] == {"n": 0, "big": 2**60}


async def test_new_events_go_on_where_the_log_ended(store: PostgresStore, database: str, tmp_path: Path) -> None:
    log = await filled(store)
    await run(database, tmp_path, len(log))
    await put(store, "host-1", 120)
    other = await PostgresStore.open(database, partition_size=PARTITION)
    await put(other, "host-2", 120)
    assert [event.position for event in await other.read_all(limit=10_000)] == list(range(1, len(log) + 241))
    await other.close()


async def test_the_last_event_stays_though_its_stream_is_closed(store: PostgresStore, database: str, tmp_path: Path) -> None:
    await put(store, "a-1", 3, close=True)
    await put(store, "a-2", 3, close=True)
    done = await run(database, tmp_path, 6)
    assert (done.streams, done.events) == (1, 3)
    assert await store.head() == 6
    await put(store, "a-3", 1)
    assert (await store.read_all(5))[-1].position == 7


async def test_only_what_is_closed_whole_and_before_the_limit_leaves(store: PostgresStore, database: str, tmp_path: Path) -> None:
    await put(store, "a-1", 2, close=True)
    await put(store, "b-1", 1, root="a-1")  # keeps a-1
    await put(store, "a-2", 2, close=True)
    await put(store, "a-3", 2, close=True)  # ends at 7
    await put(store, "image-1", 2, close=True)
    await put(store, "host-1", 1)
    assert (await run(database, tmp_path, 7, keep=["image"])).streams == 1
    assert (await run(database, tmp_path, 8, keep=["image"])).streams == 1
    assert (await run(database, tmp_path, 10, keep=["image"])).streams == 0
    assert (await run(database, tmp_path, 10)).streams == 1
    assert {stream for (stream,) in await fetch(database, "SELECT stream FROM log.events")} == {"a-1", "b-1", "host-1"}
    assert [event.position for event in await store.read_all()] == list(range(1, 11))


async def test_a_dry_run_changes_nothing(store: PostgresStore, database: str, tmp_path: Path) -> None:
    log = await filled(store)
    done = await run(database, tmp_path / "archive", len(log), dry=True)
    assert done.dry
    assert done.streams == 40
    assert done.partitions > 2
    assert not (tmp_path / "archive").exists()
    assert await fetch(database, "SELECT count(*) FROM log.events") == [(len(log),)]
    assert await fetch(database, "SELECT count(*) FROM log.archived") == [(0,)]


async def test_many_runs_add_up_and_small_partitions_are_joined(store: PostgresStore, database: str, tmp_path: Path) -> None:
    log = await filled(store)
    for before in (len(log) // 2, len(log) - 20, len(log)):
        await run(database, tmp_path, before)
        await reads_as_before(store, log)
    for number in range(1, 40, 2):
        await put(store, f"instance-{number}", 1, close=True)
        await put(store, f"volume-{number}", 1, close=True, root=f"instance-{number}")
    await put(store, "host-1", 1)
    log = await store.read_all(limit=10_000)
    await run(database, tmp_path, len(log))
    await reads_as_before(store, log)
    [(count,)] = await fetch(database, "SELECT count(*) FROM log.events")
    assert count == 4
    parts = await fetch(database, "SELECT first, until FROM log.partitions ORDER BY first")
    assert len(parts) <= 4
    assert all(one[1] == other[0] for one, other in pairwise(parts))
    assert (await run(database, tmp_path, len(log))).events == 0


async def test_a_stream_that_goes_on_after_it_was_archived_is_one_stream(store: PostgresStore, database: str, tmp_path: Path) -> None:
    await put(store, "a-1", 3, close=True)
    await put(store, "host-1", 2)
    await run(database, tmp_path, 5)
    await put(store, "a-1", 2)  # a late answer, say
    assert [event.version for event in await store.read("a-1")] == [1, 2, 3, 4, 5]
    assert [event.version for event in await store.read("a-1", after=2)] == [3, 4, 5]
    assert (await run(database, tmp_path, 7)).events == 0
    await put(store, "a-1", 1, close=True)
    await put(store, "host-1", 1)
    assert (await run(database, tmp_path, 9)).events == 3
    assert [event.version for event in await store.read("a-1")] == [1, 2, 3, 4, 5, 6]
    assert [event.position for event in await store.read_all()] == list(range(1, 10))


async def test_updates_and_deletes_are_refused_after_it_as_before(store: PostgresStore, database: str, tmp_path: Path) -> None:
    log = await filled(store)
    await run(database, tmp_path, len(log))
    for (name,) in [("events",), *await fetch(database, "SELECT name FROM log.partitions")]:
        for change in ("UPDATE log.{} SET version = 1", "DELETE FROM log.{}", "TRUNCATE log.{}"):
            with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="append-only"):
                await fetch(database, change.format(name))


async def test_a_snapshot_of_what_left_is_dropped(store: PostgresStore, database: str, tmp_path: Path) -> None:
    await put(store, "a-1", 3, close=True)
    await put(store, "host-1", 2)
    await store.snapshot([Snapshot("a-1", "f", 2, 2, {}), Snapshot("host-1", "f", 1, 4, {})])
    await run(database, tmp_path, 5)
    assert await fetch(database, "SELECT stream FROM log.snapshots") == [("host-1",)]
    assert await store.grown(1, "f") == ["host-1"]


async def test_streams_and_claims_are_rebuilt_from_both(store: PostgresStore, database: str, tmp_path: Path) -> None:
    claims = (Claim("uuid", "u1"), Claim("host-1/compute", "a-1", 3, 10))
    await store.append([Write("a-1", 0, (Event("created", {}, claims=claims), Event("removed", {}, CLOSED)))])
    await put(store, "host-1", 2)
    await run(database, tmp_path, 4)
    assert await rebuild_beside(database) == []
    assert await fetch(database, "SELECT holder FROM log_rebuilt.claims") == [("a-1",), ("a-1",)]


# --- a missing or damaged file


async def test_a_missing_or_damaged_file_is_named_and_is_missed_only_where_it_is_needed(
    store: PostgresStore, database: str, tmp_path: Path
) -> None:
    log = await filled(store)
    done = await run(database, tmp_path / "archive", len(log))
    file = tmp_path / "archive" / done.files[0].name
    content = file.read_bytes()
    fresh = await PostgresStore.open(database)
    for damage in (None, content[:-1], content[:20] + b"x" + content[21:], b""):
        file.unlink() if damage is None else file.write_bytes(damage)
        with pytest.raises(ArchiveAway, match=f"{file}.*CORRAL_ARCHIVE"):
            await fresh.read_all()
        assert await fresh.read_all(len(log) - 2) == log[-2:]
        assert await fresh.read("instance-1") == [event for event in log if event.stream == "instance-1"]
        [wrong] = (await verify(database, Archive()))[1]
        assert str(file) in wrong
    file.write_bytes(content)
    assert await fresh.read_all(limit=10_000) == log
    assert (await verify(database, Archive()))[1] == []
    await fresh.close()


async def test_an_archive_that_was_moved_is_found_where_one_says(store: PostgresStore, database: str, tmp_path: Path) -> None:
    log = await filled(store)
    await run(database, tmp_path / "archive", len(log))
    (tmp_path / "archive").rename(tmp_path / "elsewhere")
    fresh = await PostgresStore.open(database, archive=tmp_path / "elsewhere")
    assert await fresh.read_all(limit=10_000) == log
    await fresh.close()


async def test_a_follower_waits_for_a_missing_file_and_goes_on_with_it(store: PostgresStore, database: str, tmp_path: Path) -> None:
    log = await filled(store)
    await run(database, tmp_path / "archive", len(log))
    (tmp_path / "archive").rename(tmp_path / "elsewhere")
    async with aclosing(store.follow()) as batches:
        following = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0.3)
        assert not following.done()
        (tmp_path / "elsewhere").rename(tmp_path / "archive")
        assert (await asyncio.wait_for(following, 10))[0] == log[0]


async def test_events_that_are_nowhere_are_said_to_be_lost(store: PostgresStore, database: str, tmp_path: Path) -> None:
    log = await filled(store)
    await run(database, tmp_path, len(log))
    await fetch(database, "DELETE FROM log.archive_files WHERE number = 1")
    with pytest.raises(ArchiveAway, match=r"positions 1 to .* neither in the log nor in a file"):
        await store.read_all()


# --- killed, refused, at the same time


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

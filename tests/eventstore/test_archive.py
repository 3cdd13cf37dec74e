"""Closed streams leave the log for files, and every reader still sees one gapless log."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import asyncpg
import orjson
import pytest

from eventstore import ArchiveAway, Claim, Event, Snapshot, Write
from eventstore.archive import MANIFEST, Archive
from eventstore.archiving import STEPS, verify
from eventstore.postgres import PostgresStore
from eventstore.rebuild import rebuild_beside
from tests.eventstore.archived import CLOSED, PARTITION, fetch, filled, put, reads_as_before, run


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
    assert lines[0]["data"] == log[lines[0]["position"] - 1].data


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
    for version in (1, 4):  # what was looked for may be in the archive alone, or in the log alone
        sought = (await store.read("a-1"))[version - 1]
        assert [event.version for event in await store.read_having("a", {"data": {"only": sought.data["only"]}})] == [1, 2, 3, 4, 5]
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

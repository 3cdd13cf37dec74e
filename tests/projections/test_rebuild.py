"""view = fold(log): views built anew equal those that grew with the log, and are switched in without a gap."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import events
from commands.resource import fold_all
from eventstore import Event, Recorded
from projections import generations
from projections.fold import Picture
from projections.rebuild import rebuild
from tests.projections.conftest import Cloud, claimed, created, updated


async def grown(cloud: Cloud) -> None:
    await cloud.create("host-1", name="h", computeFree=10, accountId=1)
    for number in range(1, 30):
        stream = f"instance-{number}"
        await cloud.append(stream, created(name=f"web {number}", kind="container", hostId=1), claimed("host-1/compute", stream, 1, 100))
        await cloud.append(stream, Event(events.PROCESS_STARTED, {
            "pid": f"p{number}", "process": "instance.start", "field": "state", "from": "stopped", "via": "starting",
        }))  # fmt: skip
        if number % 3:
            await cloud.append(stream, Event(events.PROCESS_SUCCEEDED, {
                "pid": f"p{number}", "process": "instance.start", "field": "state", "to": "running",
            }))  # fmt: skip


async def test_views_built_anew_equal_those_in_use(cloud: Cloud) -> None:
    await grown(cloud)
    async with cloud.projecting():
        assert await cloud.views.wait_for(await cloud.store.head(), 10)
    told: list[tuple[int, int]] = []

    result = await rebuild(cloud.store, cloud.dsn, lambda done, all: told.append((done, all)))

    assert result.equal
    assert result.position == await cloud.store.head()
    assert {view.view: view.rows for view in result.after} == {"resources": 30, "listed": 30, "processes": 29, "claims": 29}
    assert told[-1] == (result.position, result.position)


async def test_damage_is_found_and_mended(cloud: Cloud) -> None:
    await grown(cloud)
    await cloud.project()
    connection = await generations.connect(cloud.dsn, cloud.views.schema)
    await connection.execute("update resources set row = row || '{\"name\": \"wrong\"}' where type = 'instance' and id = 3")
    await connection.close()

    result = await rebuild(cloud.store, cloud.dsn)

    assert not result.equal
    seen = await cloud.views.get("instance", 3)
    assert seen is not None
    assert seen.resource.row["name"] == "web 3"
    assert (await rebuild(cloud.store, cloud.dsn)).equal


async def test_reading_and_projecting_go_on_through_a_rebuild(cloud: Cloud) -> None:
    await grown(cloud)
    stop = asyncio.Event()

    async def write() -> int:
        number = 0
        while not stop.is_set():
            number += 1
            await cloud.create(f"image-{number}", name=f"image {number}")
        return number

    async def read() -> int:
        count = 0
        while not stop.is_set():
            assert await cloud.views.get("host", 1) is not None
            count += 1
        return count

    async with cloud.projecting() as projector:
        assert await cloud.views.wait_for(await cloud.store.head(), 10)
        writing, reading = asyncio.create_task(write()), asyncio.create_task(read())
        results = [await rebuild(cloud.store, cloud.dsn) for _ in range(3)]
        stop.set()
        images, reads = await writing, await reading
        assert await cloud.views.wait_for(await cloud.store.head(), 10)
        assert projector.state == "working"
    assert all(result.equal for result in results)
    assert reads > 10
    assert len(await cloud.views.get_many("image", range(1, images + 1))) == images
    assert (await rebuild(cloud.store, cloud.dsn)).equal


async def test_a_poisoned_stream_is_left_out_of_the_comparison(cloud: Cloud) -> None:
    await grown(cloud)
    await cloud.append("image-1", created(name="x"), Event(events.PROCESS_STARTED, {}))
    await cloud.project()
    result = await rebuild(cloud.store, cloud.dsn)
    assert result.equal
    assert result.poisoned == ["image-1"]


async def test_generations_of_other_code_are_known_and_can_be_dropped(cloud: Cloud) -> None:
    old = await generations.connect(cloud.dsn, "views_000000000000")
    await generations.ensure(old, "views_000000000000")
    await old.close()
    connection: Any = await asyncpg.connect(cloud.dsn)
    try:
        assert await generations.others(connection, cloud.views.schema) == ["views_000000000000"]
        await generations.drop(connection, "views_000000000000")
        assert await generations.others(connection, cloud.views.schema) == []
    finally:
        await connection.close()


FACTS = st.tuples(st.integers(1, 4), st.sampled_from(["name", "state", "hostId"]), st.integers(0, 5))


@settings(max_examples=30)
@given(st.lists(FACTS, max_size=40), st.integers(1, 9))
async def test_however_the_log_is_cut_into_batches_the_picture_is_the_same(facts: list[tuple[int, str, int]], size: int) -> None:
    log: list[Recorded] = []
    versions: dict[str, int] = {}
    for number, name, value in facts:
        stream = f"instance-{number}"
        version = versions[stream] = versions.get(stream, 0) + 1
        fact = created(**{name: value}) if version == 1 else updated(**{name: value})
        log.append(Recorded(len(log) + 1, stream, version, fact.type, fact.data, {}, datetime(2026, 1, 1, tzinfo=UTC)))
    picture = Picture()
    for start in range(0, len(log), size):
        picture.fold(log[start : start + size])
    assert {stream: seen.resource for stream, seen in picture.rows.items()} == fold_all(log)

"""The views follow the log: every event once, with its checkpoint, whoever dies meanwhile."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from commands import events
from commands.catalogue.builtin import CATALOGUE
from commands.resource import fold
from eventstore import Event, Write
from projections import generations
from projections.apply import apply, checkpoint
from projections.errors import Superseded, TooSlow
from projections.projector import Projector
from projections.views import Views
from tests.projections.conftest import Cloud, claimed, created, released, updated


async def test_a_row_is_the_fold_of_its_stream(cloud: Cloud) -> None:
    start = {"pid": "p1", "process": "instance.start", "field": "state", "from": "stopped", "via": "starting"}
    started = Event(events.PROCESS_STARTED, start)
    asked = Event(events.STEP_REQUESTED, {"pid": "p1", "command": "compute.instance.activate", "id": "c1", "agent": 7})
    await cloud.append("instance-1", created(name="web", uuid="u1", kind="container", state="stopped", accountId=1), started, asked)
    await cloud.project()

    seen = await cloud.views.get("instance", 1)

    assert seen is not None
    assert seen.resource == fold("instance-1", await cloud.store.read("instance-1"))
    assert seen.resource.open["state"].asked["compute.instance.activate"].agent == 7


async def test_a_batch_writes_each_row_it_touches_once(cloud: Cloud) -> None:
    await cloud.append("image-1", created(name="a"), *(updated(name=f"name {n}") for n in range(50)))
    await cloud.project()
    connection = await asyncpg.connect(cloud.dsn)
    try:
        updates = await connection.fetchval("select n_tup_upd + n_tup_ins from pg_stat_user_tables where relname = 'resources'")
    finally:
        await connection.close()
    assert updates in (0, 1)  # statistics may lag, but they never show more than what happened
    seen = await cloud.views.get("image", 1)
    assert seen is not None
    assert seen.resource.row["name"] == "name 49"


async def test_what_is_claimed_on_a_host_is_not_free(cloud: Cloud) -> None:
    await cloud.create("host-2", name="h", computeFree=100)
    await cloud.append("instance-1", created(name="one"), claimed("host-2/compute", "instance-1", 30))
    await cloud.append("instance-2", created(name="two"), claimed("host-2/compute", "instance-2", 5))
    await cloud.append("instance-2", claimed("host-2/compute", "instance-2", 5))  # the same share again takes nothing more
    await cloud.project()
    assert await free(cloud) == 65

    await cloud.append("instance-1", released("host-2/compute", "instance-1"))
    await cloud.append("instance-3", created(name="three"), released("host-2/compute", "instance-2"))  # not its own: nothing
    await cloud.project()
    assert await free(cloud) == 95
    assert 100 - await free(cloud) == await cloud.store.used("host-2/compute")


async def free(cloud: Cloud) -> int:
    seen = await cloud.views.get("host", 2)
    assert seen is not None
    found: int = seen.shown.row["computeFree"]
    return found


async def test_a_second_projector_stands_by_and_takes_over(cloud: Cloud) -> None:
    await cloud.create("image-1", name="first")
    second = Projector(cloud.store, cloud.dsn, cloud.progress, stand_by=0.05)
    async with cloud.projecting() as first:
        assert await cloud.views.wait_for(1, 5)
        waiting = asyncio.create_task(second.run())
        async with asyncio.timeout(5):
            while second.state != "standing by":
                await asyncio.sleep(0.01)
        assert first.state == "working"
    position = await cloud.create("image-2", name="second")
    assert await cloud.views.wait_for(position, 5)
    assert second.state == "working"
    waiting.cancel()


async def test_a_projector_whose_checkpoint_was_moved_stops_and_writes_nothing(cloud: Cloud) -> None:
    await cloud.create("image-1", name="first")
    await cloud.create("image-2", name="second")
    log = await cloud.store.read_all()
    connection = await generations.connect(cloud.dsn, cloud.views.schema)
    try:
        assert await apply(connection, log, 0) == []
        before = await generations.hashes(connection, [])
        with pytest.raises(Superseded):
            await apply(connection, log, 0)
        assert await generations.hashes(connection, []) == before
        assert await checkpoint(connection) == 2
    finally:
        await connection.close()


async def test_an_event_that_cannot_be_folded_parks_its_stream_alone(cloud: Cloud) -> None:
    await cloud.append("image-1", created(name="before"))
    await cloud.append("image-1", Event(events.PROCESS_STARTED, {"nothing": "of what it needs"}))
    await cloud.append("image-1", updated(name="after"))
    await cloud.create("image-2", name="another")
    await cloud.project()

    parked, other = await cloud.views.get("image", 1), await cloud.views.get("image", 2)
    status = await cloud.views.status()

    assert parked is not None
    assert parked.resource.row["name"] == "before"
    assert other is not None
    assert status.poisoned.keys() == {"image-1"}
    assert status.position == 4


async def test_streams_that_are_no_resources_have_no_row(cloud: Cloud) -> None:
    await cloud.append("something-else", Event("happened", {}))
    await cloud.append("image-99999999999999999999999", created(name="too big a number"))
    assert await cloud.project() == 2
    assert (await cloud.views.status()).poisoned == {}


async def test_a_lost_connection_loses_and_repeats_nothing(cloud: Cloud) -> None:
    async with cloud.projecting():
        for number in range(1, 40):
            await cloud.create(f"image-{number}", name=f"image {number}")
            if number % 10 == 0:
                await end_connections(cloud.dsn)
        position = await cloud.create("image-40", name="the last")
        assert await cloud.views.wait_for(position, 10)
    for number in range(1, 41):
        seen = await cloud.views.get("image", number)
        assert seen is not None
        assert seen.resource.version == 1


async def end_connections(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'corral-views'"
            " and datname = current_database() and pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()


async def test_a_process_is_followed_from_its_start_to_its_end(cloud: Cloud) -> None:
    start = {"pid": "p1", "process": "instance.create", "field": "state", "from": "requested", "via": "creating"}
    await cloud.append("instance-1", created(name="web"), Event(events.PROCESS_STARTED, start, {"correlation": "c", "actor": 1}))
    await cloud.append("instance-1", Event(events.PROCESS_STARTED, {**start, "process": "instance.start", "via": "starting"}))
    await cloud.append("instance-1", Event(events.PROCESS_PARKED, {"pid": "p1", "id": "x", "reason": "no answer"}))
    await cloud.project()
    (process,) = await cloud.views.processes("instance", 1)
    assert (process.process, process.state, process.parked, process.correlation, process.actor) == (
        "instance.start", "parked", "no answer", "c", 1,
    )  # fmt: skip
    assert [each.pid for each in await cloud.views.under_way()] == ["p1"]

    await cloud.append("instance-1", Event(events.STEP_SUCCEEDED, {"pid": "p1", "id": "x"}))
    end = {"pid": "p1", "process": "instance.start", "field": "state", "to": "running"}
    await cloud.append("instance-1", Event(events.PROCESS_SUCCEEDED, end))
    moved = {"process": "instance.update", "field": "state", "from": "running", "via": ["updating-running"], "to": "running"}
    await cloud.append("instance-1", Event(events.TRANSITIONED, moved))
    await cloud.project()
    first, second = await cloud.views.processes("instance", 1)
    assert (first.state, first.parked, first.ended_at is not None) == ("succeeded", None, True)
    assert (second.process, second.state, second.pid) == ("instance.update", "succeeded", "instance-1@7")
    assert await cloud.views.under_way() == []


async def test_waiting_for_a_position_ends_with_it_or_with_the_time(cloud: Cloud) -> None:
    assert not await cloud.views.wait_for(1, 0.1)
    async with cloud.projecting():
        waiting = asyncio.create_task(cloud.views.wait_for(1, 5))
        await cloud.store.append([Write("image-1", 0, (created(name="x"),))])
        assert await waiting


async def test_a_reader_without_projector_of_its_own_sees_the_checkpoint(cloud: Cloud) -> None:
    reader = await Views.open(cloud.dsn, CATALOGUE)
    try:
        async with cloud.projecting():
            position = await cloud.create("image-1", name="x")
            assert await reader.wait_for(position, 5)
    finally:
        await reader.close()


async def test_a_query_that_takes_too_long_is_told_so(cloud: Cloud) -> None:
    await cloud.append("image-1", *(created(name="x"),))
    await cloud.project()
    impatient = await Views.open(cloud.dsn, CATALOGUE, timeout=0.2)
    connection = await asyncpg.connect(cloud.dsn)
    try:
        async with connection.transaction():
            await connection.execute(f'lock table "{cloud.views.schema}".resources in access exclusive mode')
            with pytest.raises(TooSlow, match=r"takes too long.*name_prefix"):
                await impatient.get("image", 1)
        assert await impatient.get("image", 1) is not None
    finally:
        await connection.close()
        await impatient.close()

"""What a projector remembers between batches changes nothing but how much it reads."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from commands.turns.decide import Delete, Run
from eventstore import Recorded
from projections import generations
from projections.apply import apply
from projections.generations import ViewHash
from projections.known import Known
from tests.projections.conftest import Cloud, claimed, created, released, updated
from tests.support.story import Story, a_cloud


def a_whole_life() -> list[Recorded]:
    """Two instances started, one stopped, removed and purged; every kind of event, claim and process that goes with it."""
    story: Story = a_cloud()
    one, two = (story.create("container", imageId=1, accountId=1, name=name) for name in ("one", "two"))
    story.answer_all()
    story.command(one.stream, Run("stop"))
    story.answer_all()
    story.command(one.stream, Delete())
    story.answer_all()
    story.command(two.stream, Run("restart"))
    story.answer_all()
    story.pass_time(3600)
    story.answer_all()
    return story.log


async def hashes(dsn: str, schema: str, log: list[Recorded], size: int, known: Known | None) -> list[ViewHash]:
    connection = await generations.connect(dsn, schema)
    try:
        await generations.ensure(connection, schema)
        for first in range(0, len(log), size):
            assert await apply(connection, log[first : first + size], first, known) == []
        return await generations.hashes(connection, [])
    finally:
        await connection.close()


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_views_are_the_same_whether_a_projector_remembers_or_reads(cloud: Cloud, size: int) -> None:
    log = a_whole_life()
    remembering = await hashes(cloud.dsn, "views_remembering", log, size, Known())
    reading = await hashes(cloud.dsn, "views_reading", log, size, None)
    assert remembering == reading
    assert all(each.rows for each in remembering)


async def test_other_views_in_the_same_place_are_read_anew(cloud: Cloud) -> None:
    log = [
        Recorded(1, "image-1", 1, "created", dict(created(name="a").data), {}, datetime(2026, 1, 1, tzinfo=UTC)),
        Recorded(2, "image-1", 2, "updated", dict(updated(name="b").data), {}, datetime(2026, 1, 1, tzinfo=UTC)),
    ]
    known = Known()
    connection = await generations.connect(cloud.dsn, "views_switched")
    try:
        await generations.ensure(connection, "views_switched")
        await apply(connection, log[:1], 0, known)
        await generations.drop(connection, "views_switched")
        await generations.ensure(connection, "views_switched")
        await connection.execute("update checkpoint set position = 1")
        await apply(connection, log[1:], 1, known)
        assert await connection.fetchval("select version from resources") == 2
        assert await connection.fetchval("select row ? 'uuid' from resources") is False
    finally:
        await connection.close()


async def test_a_share_that_changes_hands_in_one_batch_or_several_is_counted_once(cloud: Cloud) -> None:
    await cloud.create("host-2", name="h", computeFree=100)
    await cloud.append("instance-1", created(name="one"), claimed("host-2/compute", "share", 30), released("host-2/compute", "share"))
    await cloud.append("instance-2", created(name="two"), claimed("host-2/compute", "share", 5))
    log = await cloud.store.read_all()
    known = Known()
    connection = await generations.connect(cloud.dsn, "views_shares")
    try:
        await generations.ensure(connection, "views_shares")
        for event in log:
            await apply(connection, [event], event.position - 1, known)
        assert await connection.fetchval("select claimed from resources where type = 'host'") == 5
        together = await hashes(cloud.dsn, "views_together", log, 1000, Known())
        assert together == await generations.hashes(connection, [])
    finally:
        await connection.close()

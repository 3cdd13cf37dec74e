"""Looking back: the state at every position is what the views were there, and what changed is told with who did it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from commands import events
from commands.resource import Resource, fold, fold_all
from commands.turns.decide import Delete, Update
from eventstore import Event, Write
from eventstore.memory import MemoryStore
from projections.fold import Picture
from projections.history import counts, deeds, deeds_between, flat, position_of, resource_at, rows_of, state_at
from tests.projections.conftest import Cloud, claimed
from tests.support.story import a_cloud

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def created(**changes: object) -> Event:
    return Event(events.CREATED, {"changes": changes})


def updated(actor: int | None = None, correlation: str | None = None, **changes: object) -> Event:
    metadata = {key: value for key, value in (("actor", actor), ("correlation", correlation)) if value}
    return Event(events.UPDATED, {"changes": changes}, metadata)


async def test_a_time_is_a_position() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    assert await position_of(store, START) == 0
    for number in range(20):
        clock.now = START + timedelta(minutes=number // 2)  # two at a time
        await store.append([Write(f"host-{number}", 0, (created(),))])
    assert await position_of(store, START - timedelta(seconds=1)) == 0
    for minute in range(10):
        assert await position_of(store, START + timedelta(minutes=minute)) == 2 * minute + 2
        assert await position_of(store, START + timedelta(minutes=minute, seconds=59)) == 2 * minute + 2
    assert await position_of(store, START + timedelta(days=1)) == 20


async def test_a_resource_is_seen_as_it_was_at_every_position() -> None:
    store = MemoryStore()
    await store.append([Write("host-1", 0, (created(name="a"), updated(name="b")))])
    await store.append([Write("host-2", 0, (created(),))])
    await store.append([Write("host-1", 2, (updated(name="c"),))])
    found = [await resource_at(store, "host-1", position) for position in range(6)]
    assert [each and each.row["name"] for each in found] == [None, "a", "b", "b", "c", "c"]


async def test_the_state_at_a_position_is_the_fold_of_the_log_up_to_there(cloud: Cloud) -> None:
    story = a_cloud(hosts=2)
    story.create("container", imageId=1, accountId=1)
    story.answer_all()
    for event in story.log:
        given = Event(event.type, event.data, {k: v for k, v in event.metadata.items() if k not in ("root", "claims", "releases")})
        await cloud.store.append([Write(event.stream, event.version - 1, (replace(given, claims=event.claims),), event.root)])
    log = await cloud.store.read_all(limit=10_000)
    told: list[tuple[int, int]] = []
    for position in range(0, len(log) + 1, 5):
        picture = await state_at(cloud.store, position, lambda done, all: told.append((done, all)))
        assert {stream: seen.resource for stream, seen in picture.rows.items()} == fold_all(log[:position])
    assert told[-1][0] == told[-1][1]
    await cloud.project()
    picture = await state_at(cloud.store, len(log))
    for seen in rows_of(picture, removed=True):
        row = await cloud.views.get(seen.resource.type, seen.resource.id)
        assert row == replace(seen, resource=as_readers_need_it(seen.resource))


def as_readers_need_it(resource: Resource) -> Resource:
    """Without what the write side alone remembers: a view keeps none of that."""
    return Resource(resource.type, resource.id, resource.version, resource.position, resource.row, resource.open, resource.root)


async def test_the_state_can_be_counted_and_listed() -> None:
    picture = Picture()
    store = MemoryStore()
    await store.append([Write("host-2", 0, (created(state="active", kind="sim", computeFree=10),))])
    await store.append([Write("host-10", 0, (created(state="removed", kind="sim", removed="2026-01-01T00:00:00Z"),))])
    await store.append([Write("instance-1", 0, (created(state="running", kind="container"), claimed("host-2/compute", "instance-1", 3)))])
    picture.fold(await store.read_all())
    assert counts(picture) == {"container": {"running": 1}, "sim": {"active": 1, "removed": 1}}
    assert [seen.resource.stream for seen in rows_of(picture, "host")] == ["host-2"]
    assert [seen.resource.stream for seen in rows_of(picture, "host", removed=True)] == ["host-2", "host-10"]
    assert [seen.resource.stream for seen in rows_of(picture, "container")] == ["instance-1"]
    [host] = rows_of(picture, "host")
    assert host.shown.row["computeFree"] == 7


async def test_what_changed_is_told_by_who_did_it_and_from_what_to_what() -> None:
    store = MemoryStore()
    await store.append([Write("host-1", 0, (created(name="a", state="active"),))])
    await store.append([Write("host-1", 1, (updated(1, "r1", name="b"),))])
    await store.append([Write("host-1", 2, (updated(2, "r2", name="c", state="inactive"),))])
    await store.append([Write("host-2", 0, (created(name="new"),))])
    await store.append([Write("host-1", 3, (updated(1, "r1", name="d"),))])
    await store.append([Write("host-1", 4, (updated(2, "r3", name="e"), updated(2, "r3", name="d")))])
    await store.append([Write("host-1", 6, (updated(2, "r4", removed="2026-01-01T00:00:00Z"),))])
    found = await deeds_between(store, 1, await store.head())
    assert [(deed.actor, deed.correlation, deed.events) for deed in found] == [
        (1, "r1", 2), (2, "r2", 1), (None, None, 1), (2, "r3", 2), (2, "r4", 1),
    ]  # fmt: skip
    changes = [[(change.stream, change.what, change.fields) for change in deed.changes] for deed in found]
    assert changes[0] == [("host-1", "changed", {"name": ("a", "d")})]
    assert changes[1] == [("host-1", "changed", {"name": ("b", "c"), "state": ("active", "inactive")})]
    assert changes[2] == [("host-2", "created", {"id": (None, 2), "name": (None, "new")})]
    assert changes[3] == []  # there and back again
    assert changes[4] == [("host-1", "removed", {"removed": (None, "2026-01-01T00:00:00Z")})]
    assert await deeds_between(store, 2, 2) == []
    only = await deeds_between(store, 0, await store.head(), lambda stream: stream == "host-2")
    assert [change.stream for deed in only for change in deed.changes] == ["host-2"]


@pytest.mark.parametrize("cut", [0, 20, 45])
async def test_all_that_follows_from_a_request_is_its_own(cut: int) -> None:
    story = a_cloud()
    story.create("container", name="web", imageId=1, accountId=1)
    story.answer_all()
    story.command("instance-1", Update({"name": "renamed"}))
    story.command("instance-1", Delete())
    story.answer_all()
    before = fold_all(story.log[:cut])
    found = deeds(before, story.log[cut:])
    after = dict(before)
    for deed in sorted(found, key=lambda each: each.last.position):
        for change in deed.changes:
            after[change.stream] = fold(change.stream, [e for e in story.log if e.stream == change.stream])
    assert {stream: flat(each) for stream, each in after.items()} == {stream: flat(each) for stream, each in fold_all(story.log).items()}
    assert sum(deed.events for deed in found) == len(story.log) - cut

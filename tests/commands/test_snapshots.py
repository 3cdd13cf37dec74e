"""Resuming from a snapshot leads to what folding everything leads to, whenever it was taken; what is written is what grew."""

from __future__ import annotations

import json

import pytest

from commands import snapshots
from commands.accepting.service import Actor, Commands
from commands.catalogue.builtin import CATALOGUE
from commands.events import CREATED, UPDATED
from commands.resource import Resource, fold, fold_all
from commands.settings.settings import DEFAULTS
from commands.snapshots import form, frozen, latest, resumed, thawed
from commands.turns.decide import Delete
from commands.turns.fleet import CATEGORIES, Fleet
from commands.watching.snapshotter import EVERY, Snapshotter
from eventstore import Event, Loaded, Recorded, Resumed, Store, Write
from tests.support.story import Story, a_cloud


@pytest.fixture
def store(either_store: Store) -> Store:
    return either_store


def a_long_story() -> Story:
    """With processes under way, answered, failed and parked."""
    story = a_cloud(hosts=2)
    for _ in range(3):
        story.create("container", imageId=1, accountId=1)
    story.answer(story.asks()[0], {})
    story.answer(story.asks()[0], error="it broke")
    story.pass_time(10_000)
    return story


def test_a_resource_comes_out_of_its_snapshot_as_it_went_in_after_every_event() -> None:
    story = a_long_story()
    resources: dict[str, Resource] = {}
    brackets = 0
    for event in story.log:
        snapshots.folded_on(resources, [event])
        resource = resources[event.stream]
        brackets += len(resource.open)
        snapshot = frozen(resource)
        assert json.loads(json.dumps(snapshot.state)) == snapshot.state
        assert thawed(snapshot) == resource
    assert brackets > 20


def test_wherever_the_snapshots_were_taken_the_fleet_and_the_roots_are_the_same() -> None:
    story = a_long_story()
    story.command("instance-1", Delete())
    story.answer_all()
    whole = Fleet.load(Loaded(len(story.log), story.log, []))
    for cut in range(0, len(story.log), 7):
        before = fold_all(story.log[:cut])
        kept = [frozen(each) for each in before.values()]
        later = story.log[cut:]
        assert resumed(Resumed(kept, later)) == fold_all(story.log)
        loaded = Fleet.load(Loaded(len(story.log), later, [], [each for each in kept if each.stream.split("-")[0] in CATEGORIES]))
        assert loaded.resources == whole.resources
        assert loaded.image_in_pool(1, 1) == whole.image_in_pool(1, 1)
        assert [each.stream for each in loaded.all("host")] == [each.stream for each in whole.all("host")]


def test_other_code_has_another_form(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    before = form()
    monkeypatch.setattr(snapshots, "SOURCES", snapshots.SOURCES[:-1])
    form.cache_clear()
    try:
        assert form() != before
    finally:
        form.cache_clear()


async def grown(store: Store, stream: str, count: int) -> list[Recorded]:
    first = Event(CREATED, {"changes": {"name": "x", "state": "active", "kind": "host", "data": {}}})
    await store.append([Write(stream, 0, (first,))])
    for start in range(1, count, 500):
        more = [Event(UPDATED, {"changes": {"description": f"{n}"}}) for n in range(start, min(start + 500, count))]
        await store.append([Write(stream, start, tuple(more))])
    return await store.read(stream)


def a_snapshotter(store: Store, every: int = 100, holder: str = "me") -> Snapshotter:
    return Snapshotter(store, {EVERY: every}, holder)


async def test_streams_that_grew_get_a_snapshot_and_are_resumed_from_it(store: Store) -> None:
    events = await grown(store, "host-1", 250)
    await grown(store, "host-2", 20)
    snapshotter = a_snapshotter(store)
    assert await snapshotter.look() == 1
    found = await store.resume("host-1", form())
    assert [each.version for each in found.snapshots] == [250]
    assert found.events == []
    assert await latest(store, "host-1") == fold("host-1", events)
    assert (await store.resume("host-2", form())).snapshots == []

    assert await snapshotter.look() == 0
    await store.append([Write("host-1", 250, tuple(Event(UPDATED, {"changes": {"name": f"{n}"}}) for n in range(99)))])
    assert await snapshotter.look() == 0
    await store.append([Write("host-1", 349, (Event(UPDATED, {"changes": {"name": "last"}}),))])
    assert await snapshotter.look() == 1
    assert (await store.resume("host-1", form())).snapshots[0].version == 350
    assert await latest(store, "host-1") == fold("host-1", await store.read("host-1"))


async def test_one_writes_at_a_time_and_none_where_it_is_switched_off(store: Store) -> None:
    await grown(store, "host-1", 150)
    assert await a_snapshotter(store, every=0).look() == 0
    await store.acquire(["snapshots"], "another", 60)
    assert await a_snapshotter(store).look() == 0


async def test_a_stream_that_cant_be_folded_keeps_no_other_from_its_snapshot(store: Store) -> None:
    await grown(store, "host-2", 150)
    await store.append([Write("host-1", 0, tuple(Event("process-started", {}) for _ in range(150)))])
    await store.append([Write("no resource", 0, tuple(Event("x", {}) for _ in range(150)))])
    assert await a_snapshotter(store).look() == 1
    assert [each.stream for each in (await store.resume("host-2", form())).snapshots] == ["host-2"]


async def test_commands_decide_from_a_snapshot_as_from_the_whole_stream(store: Store) -> None:
    await grown(store, "host-1", 150)
    await a_snapshotter(store).look()
    commands = Commands(store, CATALOGUE, DEFAULTS)
    outcome = await commands.update("host", 1, {"name": "renamed"}, Actor(account=1))
    assert outcome.resource == fold("host-1", await store.read("host-1"))
    assert (outcome.resource.version, outcome.resource.row["name"]) == (151, "renamed")


def test_what_is_purged_is_closed_with_its_last_event() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    story.answer_all()
    story.command("instance-1", Delete())
    story.answer_all()
    assert not [event for event in story.log if event.metadata.get("closed")]
    story.pass_time(100)
    story.answer_all()
    story.pass_time(100)
    states = {stream: each.state for stream, each in story.resources().items() if each.root == "instance-1"}
    assert set(states.values()) == {"purged"}, states
    lasts = {event.stream: event for event in story.log if event.root == "instance-1"}
    assert {stream: event.metadata.get("closed") for stream, event in lasts.items()} == dict.fromkeys(lasts, True)

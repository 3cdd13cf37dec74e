"""The fleet's look-ups tell the same, wherever the snapshots were taken that it was loaded from."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations

from commands.resource import fold, split_stream
from commands.snapshots import frozen
from commands.turns import handlers
from commands.turns.decide import Delete, Run, Update
from commands.turns.fleet import CATEGORIES, Fleet
from commands.turns.interventions import ForceRemove
from eventstore import Loaded
from tests.support.handler_stories import a_handler
from tests.support.story import Story, a_cloud


def loaded(story: Story, whole: tuple[str, ...], cut: int) -> Fleet:
    """Loaded with all of some streams, and the others' events up to a position, as snapshots; what is left as events."""
    mine = [event for event in story.log if split_stream(event.stream)[0] in CATEGORIES]
    kept = [event for event in mine if event.stream in whole or event.position <= cut]
    snapshots = [frozen(fold(stream, [each for each in kept if each.stream == stream])) for stream in {each.stream for each in kept}]
    positions = {each.position for each in kept}
    return Fleet.load(Loaded(len(story.log), [each for each in mine if each.position not in positions], [], snapshots))


def every_way(story: Story, *streams: str) -> list[Fleet]:
    some = chain.from_iterable(combinations(streams, count) for count in range(len(streams) + 1))
    return [loaded(story, whole, cut) for whole in some for cut in range(0, len(story.log), 9)]


def test_an_image_that_came_back_to_a_pool_is_found_there_in_whatever_order_its_maps_are_loaded() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    story.command("imageStoragePoolMap-1", Delete())
    story.answer_all()
    story.create("container", imageId=1, accountId=1)
    story.answer_all()
    newer = story.resource("imageStoragePoolMap-2")
    assert story.fleet.image_in_pool(1, 1) == newer
    for fleet in every_way(story, "imageStoragePoolMap-1", "imageStoragePoolMap-2"):
        assert fleet.image_in_pool(1, 1) == newer


def test_a_host_that_took_the_uuid_of_a_purged_one_is_found_by_it_in_whatever_order_they_are_loaded() -> None:
    story = a_cloud()
    for stream in ("host-1", "agent-1"):
        story.command(stream, ForceRemove("it burned down"))
    story.pass_time(100_000)
    assert story.resource("host-1").state == "purged"
    assert story.fleet.by_uuid("host", "host-1") is None
    newer = story.resource(story.create("host", uuid="host-1", kind="sim").stream)
    assert newer.state == "active"
    assert story.fleet.by_uuid("host", "host-1") == newer
    for fleet in every_way(story, "host-1", newer.stream):
        assert fleet.by_uuid("host", "host-1") == newer


def test_a_handler_counts_from_when_it_became_active_wherever_the_snapshots_of_its_rows_were_taken() -> None:
    story = a_cloud()
    a_handler(story, "instance.start")
    became = {each.stream: each.position for each in story.resources().values() if each.type in handlers.ROWS}
    story.command("externalHandler-1", Update({"priority": 2001}))
    story.command("externalHandler-1", Run("update"))
    [handler] = story.fleet.handlers["instance.start"]
    assert handler.since == max(became.values()) < story.resource("externalHandler-1").position
    for fleet in every_way(story, *became):
        assert fleet.handlers == story.fleet.handlers
    story.command("externalHandler-1", Run("deactivate"))
    story.command("externalHandler-1", Run("activate"))
    assert story.fleet.handlers["instance.start"][0].since > handler.since


def test_a_row_that_is_there_is_found_by_its_uuid_before_a_purged_one_with_a_higher_number() -> None:
    story = a_cloud()
    host = story.resource("host-1")
    story.command("host-1", ForceRemove("it burned down"))
    story.pass_time(100_000)
    there, higher = frozen(host), replace(frozen(story.resource("host-1")), stream="host-9")
    for order in ((0, 1), (1, 0)):
        snapshots = [replace(each, position=position) for each, position in zip((there, higher), order, strict=True)]
        found = Fleet.load(Loaded(2, [], [], snapshots)).by_uuid("host", "host-1")
        assert found is not None
        assert found.stream == "host-1"

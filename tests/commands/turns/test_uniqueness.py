"""What only one row may have: from its creation until it is purged, or, of what a map ties together, until it is removed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from commands.turns.decide import Delete, Run, Update
from commands.turns.interventions import ForceRemove
from commands.turns.remaining import work
from tests.support.story import Ask, Story, a_cloud

POOL_MAP = ("imageStoragePoolMap.imageId+storagePoolId", "[1,1]")


def with_an_image_in_a_pool() -> Story:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    story.answer_all()
    return story


def test_a_uuid_is_its_rows_until_that_is_purged() -> None:
    story = Story()
    story.create("image", uuid="mine", kind="sim")
    assert story.claims()["image.uuid", "mine"] == "image-1"
    story.command("image-1", Run("deactivate"))
    story.command("image-1", Delete())
    assert ("image.uuid", "mine") in story.claims()
    story.command("image-1", Run("purge"))
    assert ("image.uuid", "mine") not in story.claims()
    story.create("image", uuid="mine", kind="sim")
    assert story.claims()["image.uuid", "mine"] == "image-2"


def test_a_purge_frees_the_uuids_of_all_that_went_with_an_instance() -> None:
    story = with_an_image_in_a_pool()
    story.command("instance-1", Delete())
    story.answer_all()
    for _ in range(3):  # volumes and maps follow, each when its own time has come
        story.pass_time(120)
        story.answer_all()
    gone = {each.stream for each in story.resources().values() if each.state == "purged"}
    assert gone == {"instance-1", "volume-1", "instanceHostMap-1", "volumeStoragePoolMap-1"}
    assert not gone & set(story.claims().values())


def test_a_key_of_several_fields_is_compared_as_a_whole() -> None:
    story = Story()
    story.create("resourcePool", poolType="subnet", poolId=1, qualifier="q", item="10.0.0.2")
    story.create("resourcePool", poolType="subnet", poolId=2, qualifier="q", item="10.0.0.2")
    story.create("resourcePool", poolType="subnet", poolId=2, qualifier="q")  # a null is like no other
    story.create("resourcePool", poolType="subnet", poolId=2, qualifier="q")
    assert len([scope for scope, _ in story.claims() if scope == "resourcePool.poolType+poolId+qualifier+item"]) == 2
    story.create("resourcePool", poolType="subnet", poolId=1, qualifier="q", item="10.0.0.2")
    with pytest.raises(AssertionError, match="which is resourcePool-1's"):
        story.claims()


def test_a_name_that_is_changed_is_free_again() -> None:
    story = Story()
    story.create("configItem", name="old")
    story.command("configItem-1", Update({"name": "new"}))
    assert ("configItem.name", "new") in story.claims()
    story.create("configItem", name="old")
    assert story.claims()["configItem.name", "old"] == "configItem-2"


def test_a_removed_map_leaves_its_place_to_another() -> None:
    story = with_an_image_in_a_pool()
    assert story.claims()[POOL_MAP] == "imageStoragePoolMap-1"
    story.command("imageStoragePoolMap-1", Run("deactivate"))
    story.answer_all()
    story.command("imageStoragePoolMap-1", Delete())
    assert POOL_MAP not in story.claims()


def test_a_map_that_is_restored_beside_a_newer_one_stays_removed_and_says_why() -> None:
    story = with_an_image_in_a_pool()
    story.command("imageStoragePoolMap-1", Run("deactivate"))
    story.answer_all()
    story.command("imageStoragePoolMap-1", Delete())
    story.create("container", imageId=1, accountId=1)
    story.answer_all()
    assert story.claims()[POOL_MAP] == "imageStoragePoolMap-2"
    restored = story.command("imageStoragePoolMap-1", Run("restore"))
    assert restored.state == "removed"
    assert "imageStoragePoolMap-2 has taken its place" in restored.fields["transitioningMessage"]
    assert story.claims()[POOL_MAP] == "imageStoragePoolMap-2"


def test_a_map_that_is_restored_alone_has_its_place_again() -> None:
    story = with_an_image_in_a_pool()
    story.command("imageStoragePoolMap-1", Run("deactivate"))
    story.answer_all()
    story.command("imageStoragePoolMap-1", Delete())
    assert story.command("imageStoragePoolMap-1", Run("restore")).state == "inactive"
    assert story.claims()[POOL_MAP] == "imageStoragePoolMap-1"


def test_an_instance_that_moved_does_not_get_its_old_host_back_beside_the_new_one() -> None:
    story = a_cloud(hosts=2)
    story.create("container", imageId=1, accountId=1)
    story.answer_all()
    story.command("instance-1", Run("stop", {"deallocateFromHost": True}))
    story.answer_all()
    story.command("instance-1", Run("start"))
    story.answer_all()
    assert story.resource("instanceHostMap-2").state == "active"
    assert story.command("instanceHostMap-1", Run("restore")).state == "removed"
    assert story.resource("instanceHostMap-2").state == "active"


def test_an_image_that_leaves_a_pool_has_its_agent_told_and_waits_for_nobody() -> None:
    story = with_an_image_in_a_pool()
    story.command("imageStoragePoolMap-1", Run("deactivate"))
    story.answer_all()
    removed = story.command("imageStoragePoolMap-1", Delete())
    assert removed.state == "removed"
    assert [(each["command"], each["agent"]) for each in story.asides()] == [("storage.image.remove", 1)]
    assert story.asks() == []
    story.pass_time(1)
    assert len(story.asides()) == 1


def left_the_pool() -> tuple[Story, Ask]:
    story = with_an_image_in_a_pool()
    story.command("imageStoragePoolMap-1", Run("deactivate"))
    story.answer_all()
    story.command("imageStoragePoolMap-1", Delete())
    [aside] = story.asked_aside()
    return story, aside


def work_of(story: Story, root: str) -> bool:
    """Whether the log keeps it as having something left to do just now."""
    todo, _ = work(story.turn(root, {root: story.resource(root)}))
    return any(each.root == root and each.due is None for each in todo)


@pytest.mark.parametrize("error", [None, "I know no such image"])
def test_what_nothing_waits_for_keeps_its_root_at_work_until_it_is_answered(error: str | None) -> None:
    story, aside = left_the_pool()
    assert work_of(story, aside.root)
    for _ in range(2):  # an answer may come twice
        story.answer(aside, error=error)
    assert not story.asked_aside()
    assert not work_of(story, aside.root)
    assert [event.type for event in story.log if event.data.get("late")] == ["step-failed" if error else "step-succeeded"]


def test_a_purge_waits_for_no_answer_and_the_stream_is_closed_with_the_answer() -> None:
    story, aside = left_the_pool()
    story.pass_time(10_000)
    assert story.resource(aside.stream).state == "purged"
    mine = [event for event in story.log if event.stream == aside.stream]
    assert not any(event.metadata.get("closed") for event in mine)
    story.answer(aside)
    assert [event.metadata.get("closed") for event in story.log if event.stream == aside.stream][-1] is True


def test_an_image_that_is_in_the_pool_again_is_not_to_be_removed_any_more() -> None:
    story, aside = left_the_pool()
    story.create("container", imageId=1, accountId=1)
    story.answer_all()
    assert story.resource("imageStoragePoolMap-2").state == "active"
    story.take_turn(aside.root)
    assert not story.asked_aside()
    assert len(story.asides()) == 1


def test_what_nothing_waits_for_is_given_up_with_whom_it_asks_or_after_a_day() -> None:
    story, aside = left_the_pool()
    story.now += timedelta(hours=25)
    story.take_turn(aside.root)
    assert not story.asked_aside()
    story, aside = left_the_pool()
    story.command("agent-1", ForceRemove("it burned down"))
    story.take_turn(aside.root)
    assert not story.asked_aside()

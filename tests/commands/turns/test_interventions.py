"""What operators do to what does not go on: retry, cancel, force-remove."""

from __future__ import annotations

import pytest

from commands import events
from commands.errors import Conflict
from commands.turns.decide import Delete, Run
from commands.turns.interventions import Cancel, ForceRemove, Retry
from commands.turns.turn import Triggers
from tests.support.containers import ACTIVATE, DEACTIVATE, INSTANCE, MAP, refusing, running, starting, states
from tests.support.story import a_cloud

# --- retry ---


def test_a_retry_asks_again_at_once_what_an_agent_refuses_to_tear_down() -> None:
    story = running()
    story.command(INSTANCE, Run("stop"))
    for _ in range(5):
        story.answer(story.asks()[0], error="the engine is on fire")
        story.pass_time(16)
    [ask] = story.asks()
    story.answer(ask, error="the engine is on fire")
    assert story.asks() == []
    assert "on fire" in (story.resource(INSTANCE).open["state"].parked or "")
    story.command(INSTANCE, Retry("the fire is out"))
    [again] = story.asks()
    assert again.command == DEACTIVATE
    assert again.id != ask.id
    assert story.resource(INSTANCE).open["state"].parked is None
    story.answer_all()
    assert story.resource(INSTANCE).state == "stopped"
    [event] = [each for each in story.log if each.type == events.PROCESS_RETRIED]
    assert event.data["reason"] == "the fire is out"


def test_a_retry_of_what_failed_begins_it_again() -> None:
    story = running()
    story.command(INSTANCE, Run("stop"))
    story.answer_all()
    story.command(INSTANCE, Run("start"))
    story.answer_all(refusing(ACTIVATE))
    story.pass_time(16)
    story.answer_all(refusing(ACTIVATE))
    story.pass_time(16)
    story.answer_all(refusing(ACTIVATE))
    assert story.resource(INSTANCE).state == "stopped"
    assert story.resource(INSTANCE).fields["transitioning"] == "error"
    story.command(INSTANCE, Retry("mended"))
    story.answer_all()
    instance = story.resource(INSTANCE)
    assert instance.state == "running"
    assert "transitioning" not in instance.fields


def test_a_retry_where_nothing_failed_and_nothing_is_under_way_adds_nothing() -> None:
    story = running()
    before = len(story.log)
    story.command(INSTANCE, Retry("for luck"))
    assert len(story.log) == before


def test_a_retry_of_a_removed_instance_says_that_it_is_gone() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1, requestedHostId=9)
    with pytest.raises(Conflict, match="is removed since"):
        story.command(INSTANCE, Retry())


# --- cancel ---


def test_a_cancelled_start_takes_its_failure_path_and_what_came_late_is_recorded() -> None:
    story, ask = starting()
    story.command(INSTANCE, Cancel("wrong image"))
    assert story.resource(INSTANCE).state == "removing"
    story.answer(ask)
    assert [each.data for each in story.log if each.data.get("late")] == [{"id": ask.id, "late": True}]
    story.answer_all()
    instance = story.resource(INSTANCE)
    assert instance.state == "removed"
    assert instance.fields["transitioningMessage"] == "instance.start was cancelled: wrong image"
    assert set(story.resource(MAP).late) == set()


def test_a_cancelled_stop_leaves_the_instance_running_and_it_can_be_stopped_again() -> None:
    story = running()
    story.command(INSTANCE, Run("stop"))
    story.command(INSTANCE, Cancel("not now"))
    assert states(story)[INSTANCE] == "running"
    assert states(story)[MAP] == "active"
    story.command(INSTANCE, Run("stop"))
    story.answer_all()
    assert story.resource(INSTANCE).state == "stopped"


def test_a_cancelled_removal_of_what_never_came_to_run_leaves_it_stopped_and_has_the_host_cleaned_up() -> None:
    story, _ = starting()
    story.command(INSTANCE, Delete())
    story.command(INSTANCE, Cancel("keep it"))
    assert states(story)[INSTANCE] == "stopped"
    assert states(story)[MAP] == "inactive"
    assert [ask.command for ask in story.asks()] == [DEACTIVATE]
    story.answer_all()
    assert not story.resource(MAP).undoing
    story.command(INSTANCE, Run("start"))
    story.answer_all()
    assert story.resource(INSTANCE).state == "running"


def test_cancelling_what_a_parent_waits_for_fails_the_parent() -> None:
    story, ask = starting("storage.volume.activate")
    story.command(ask.stream, Cancel("the pool is broken"))
    story.answer_all()
    instance = story.resource(INSTANCE)
    assert instance.state == "removed"
    assert "the pool is broken" in instance.fields["transitioningMessage"]


def test_cancelling_a_shared_image_fails_all_who_wait_for_it() -> None:
    story = a_cloud()
    for _ in range(2):
        story.create("container", imageId=1, accountId=1)
    [pull] = story.asks()
    story.command(pull.stream, Cancel("too large"))
    story.answer_all()
    assert [story.resource(f"instance-{number}").state for number in (1, 2)] == ["removed", "removed"]


def test_cancelling_where_nothing_is_under_way_adds_nothing() -> None:
    story = running()
    before = len(story.log)
    story.command(INSTANCE, Cancel("what?"))
    assert len(story.log) == before


# --- force-remove ---


def test_a_forced_removal_needs_no_agent_but_keeps_the_claim_until_it_confirms() -> None:
    story = running()
    assert story.fleet.used("host-1/compute") == 1
    story.command(INSTANCE, ForceRemove("the host is stuck"))
    assert story.resource(INSTANCE).removed
    assert story.resource(INSTANCE).state == "purging"
    assert story.fleet.used("host-1/compute") == 1
    [ask] = story.asks()
    assert ask.command == DEACTIVATE
    story.answer_all()
    assert story.resource(INSTANCE).state == "purged"
    assert story.fleet.used("host-1/compute") == 0
    [event] = [each for each in story.log if each.data.get("forced")]
    assert (event.stream, event.data["forced"]) == (INSTANCE, "the host is stuck")


@pytest.mark.parametrize("dead", ["host-1", "agent-1"])
def test_declaring_the_host_dead_frees_what_its_agent_can_not_confirm(dead: str) -> None:
    story = running()
    story.command(INSTANCE, ForceRemove("the host is stuck"))
    story.take_turn(INSTANCE, Triggers(silent=frozenset(ask.id for ask in story.asks())))
    story.command(dead, ForceRemove("it burnt down"))
    story.pass_time(1)
    assert story.resource(INSTANCE).state == "purged"
    assert story.fleet.used("host-1/compute") == 0


@pytest.mark.parametrize("answers", range(6))
def test_a_removal_can_be_forced_at_any_moment_of_a_life(answers: int) -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    lives = [None, Run("stop"), Run("start"), Run("restart")]
    for step in lives:
        if step is not None and story.resource(INSTANCE).state in ("running", "stopped"):
            story.command(INSTANCE, step)
        for _ in range(answers):
            if asks := story.asks():
                story.answer(asks[0])
    story.command(INSTANCE, ForceRemove("enough"))
    assert story.resource(INSTANCE).removed
    story.answer_all()
    story.pass_time(16)
    story.answer_all()
    assert story.resource(INSTANCE).state == "purged"
    assert not [each for each in story.resources().values() if each.open or each.undoing]


def test_an_image_can_be_removed_by_force_while_it_is_pulled_and_who_waits_for_it_is_told() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    story.command("image-1", ForceRemove("poisoned"))
    assert story.resource("image-1").removed


@pytest.mark.parametrize("gone", ["host-1", "agent-1"])
@pytest.mark.parametrize("command", [ACTIVATE, "storage.volume.activate"])
def test_a_start_on_a_host_that_is_removed_meanwhile_fails_and_says_so(gone: str, command: str) -> None:
    story, _ = starting(command)
    story.command(gone, ForceRemove("it burnt down"))
    story.take_turn(INSTANCE)
    story.settle()
    instance = story.resource(INSTANCE)
    assert instance.state == "removed"
    assert "removed" in instance.fields["transitioningMessage"]


@pytest.mark.parametrize("more", [{"remove": True}, {"deallocateFromHost": True}])
def test_a_second_stop_that_says_more_is_not_lost(more: dict[str, bool]) -> None:
    story = running()
    story.command(INSTANCE, Run("stop"))
    story.command(INSTANCE, Run("stop", more))
    before = len(story.log)
    story.command(INSTANCE, Run("stop"))
    assert len(story.log) == before
    story.answer_all()
    instance = story.resource(INSTANCE)
    assert instance.state == ("removed" if "remove" in more else "stopped")
    assert instance.row["allocationState"] == ("inactive" if "deallocateFromHost" in more else "active")


def test_a_teardown_cancelled_inside_a_restart_goes_on_so_that_what_is_stopped_does_not_run() -> None:
    story = running()
    story.command(INSTANCE, Run("restart"))
    story.command(MAP, Cancel("not now"))
    assert states(story)[INSTANCE] == "stopped"
    assert [ask.command for ask in story.asks()] == [DEACTIVATE]
    story.answer_all()
    assert not story.resource(MAP).undoing

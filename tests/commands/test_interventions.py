"""What operators do to what does not go on: retry, cancel, force-remove; and what agents still answer to what was closed."""

from __future__ import annotations

from typing import Any

import pytest

from commands import events
from commands.decide import Delete, Run, Update
from commands.errors import Conflict
from commands.interventions import Cancel, ForceRemove, Retry
from commands.remaining import work
from commands.turn import Triggers
from tests.support.story import Ask, Story, a_cloud

INSTANCE = "instance-1"
MAP = "instanceHostMap-1"
ACTIVATE, DEACTIVATE, REMOVE = "compute.instance.activate", "compute.instance.deactivate", "compute.instance.remove"


def starting(command: str = ACTIVATE) -> tuple[Story, Ask]:
    """A container on its way, and the command that it waits for."""
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    while (ask := story.asks()[0]).command != command:
        story.answer(ask)
    return story, ask


def running() -> Story:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    story.answer_all()
    return story


def refusing(command: str) -> Any:
    return lambda ask: f"{command} is impossible" if ask.command == command else {}


def commands_after(story: Story, position: int, type: str = events.STEP_REQUESTED) -> list[str]:
    return [event.data["command"] for event in story.log[position:] if event.type == type]


def states(story: Story) -> dict[str, str]:
    return {each.stream: each.state for each in story.resources().values() if each.root == INSTANCE}


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


# --- late successes ---


def purged_before_its_answer(command: str) -> tuple[Story, Ask]:
    """A start that was cancelled, removed and purged while its agent said nothing of one command."""
    story, ask = starting(command)
    story.command(INSTANCE, Cancel("wrong host"))
    story.answer_all()
    assert story.resource(INSTANCE).state == "removed"
    story.pass_time(61)
    story.answer_all()
    assert story.resource(INSTANCE).state == "purged"
    assert ask.id in story.resource(ask.stream).late
    return story, ask


@pytest.mark.parametrize(("command", "undoes"), [(ACTIVATE, REMOVE), ("storage.volume.activate", "storage.volume.remove")])
def test_a_late_success_of_what_is_purged_is_undone_by_taking_it_away_until_that_is_done(command: str, undoes: str) -> None:
    story, ask = purged_before_its_answer(command)
    before = len(story.log)
    story.answer(ask)  # the agent was away all the time, did it first and said so last
    assert commands_after(story, before) == [undoes]
    [undo] = story.asks()
    story.answer(undo, error="not just now")
    assert story.asks() == []
    story.pass_time(16)
    [again] = story.asks()
    assert again.id != undo.id
    story.answer(again)
    assert not story.resource(ask.stream).undoing
    story.answer(ask)
    assert not story.resource(ask.stream).undoing


def test_a_late_success_of_what_may_come_back_is_only_stopped() -> None:
    story, ask = starting()
    story.command(INSTANCE, Cancel("wrong host"))
    story.answer_all()
    assert story.resource(INSTANCE).state == "removed"
    before = len(story.log)
    story.answer(ask)
    assert commands_after(story, before) == [DEACTIVATE]


def test_a_late_success_of_a_place_that_it_left_and_came_back_to_is_not_undone() -> None:
    story, ask = starting()
    story.command(INSTANCE, Run("stop", {"deallocateFromHost": True}))
    story.answer_all()
    story.command(INSTANCE, Run("start"))
    story.answer_all()
    assert story.resource(INSTANCE).state == "running"
    assert states(story)[MAP] != "active"
    before = len(story.log)
    story.answer(ask)
    assert commands_after(story, before) == []
    assert story.log[before].data == {"id": ask.id, "late": True}


def test_what_runs_without_a_root_volume_is_removed_with_its_place() -> None:
    """With one, the host removes it with that volume."""
    story = running()
    story.command(INSTANCE, Run("stop"))
    story.command("volume-1", Run("deactivate"))
    story.answer_all()
    story.command("volume-1", Delete())
    story.pass_time(61)
    story.answer_all()
    assert story.resource("volume-1").state == "purged"
    story.command(INSTANCE, Run("start"))
    story.answer_all()
    assert story.resource(INSTANCE).state == "running"
    story.command(INSTANCE, Delete())
    assert story.answer_all() == [DEACTIVATE, REMOVE]
    assert story.resource(INSTANCE).state == "removed"


def test_what_has_its_root_volume_is_removed_with_that_alone() -> None:
    story = running()
    story.command(INSTANCE, Delete())
    story.answer_all()
    before = len(story.log)
    story.pass_time(61)
    story.answer_all()
    assert story.resource(INSTANCE).state == "purged"
    assert commands_after(story, before) == ["storage.volume.remove"]


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


# --- what waiting looks like ---


def test_who_waits_for_a_parked_shared_process_is_parked_with_its_reason_and_resumes_with_it() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    [pull] = story.asks()
    story.take_turn(pull.root, Triggers(silent=frozenset({pull.id})))
    story.settle()
    reason = story.resource(INSTANCE).open["state"].parked or ""
    assert "has not answered storage.image.activate" in reason
    story.answer(pull)
    assert story.resource(INSTANCE).open["state"].parked is None
    story.answer_all()
    assert story.resource(INSTANCE).state == "running"


def test_progress_is_told_once_a_second_on_all_that_wait_for_it() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    [pull] = story.asks()
    story.take_turn(pull.root, Triggers(progress={pull.id: (10, "pulling layer 1")}))
    assert not [each for each in story.log if each.type == events.PROGRESSED]
    story.now += story.a_second * 2
    story.take_turn(pull.root, Triggers(progress={pull.id: (50, "pulling layer 2")}))
    story.settle()
    told = {each.stream: (each.data["percent"], each.data["message"]) for each in story.log if each.type == events.PROGRESSED}
    assert told == {pull.stream: (50, "pulling layer 2"), "volume-1": (50, "pulling layer 2"), INSTANCE: (50, "pulling layer 2")}
    story.answer_all()
    assert story.resource(INSTANCE).state == "running"
    assert story.resource(INSTANCE).open == {}


def test_a_start_that_takes_long_says_which_step_it_is_at() -> None:
    story, _ = starting("storage.volume.activate")
    story.pass_time(2)
    progress = story.resource(INSTANCE).open["state"].progress
    assert progress is not None
    assert (progress.percent, progress.message) == (10, "create storage")


def test_a_quick_start_tells_no_progress() -> None:
    story = running()
    assert not [each for each in story.log if each.type == events.PROGRESSED]


def test_an_update_while_parked_changes_nothing_about_the_waiting() -> None:
    story, ask = starting()
    story.take_turn(INSTANCE, Triggers(silent=frozenset({ask.id})))
    story.command(INSTANCE, Update({"name": "renamed"}))
    assert story.resource(INSTANCE).open["state"].parked
    story.answer_all()
    assert story.resource(INSTANCE).state == "running"


def test_what_is_undone_on_an_agent_that_is_removed_is_waited_for_no_longer() -> None:
    story, ask = starting()
    story.command(INSTANCE, Cancel("wrong host"))
    story.answer_all()
    story.pass_time(61)
    story.answer_all()
    story.answer(ask)
    assert story.resource(MAP).undoing
    story.command("agent-1", ForceRemove("it burnt down"))
    story.take_turn(INSTANCE)
    assert not story.resource(MAP).undoing
    assert {each.metadata.get("correlation") for each in story.log if each.stream == MAP} == {"a story", f"corral:purge-{INSTANCE}"}


def late_undo() -> tuple[Story, Ask]:
    """A start that was superseded by a stop and succeeded all the same, after the stop was done: its undo is asked."""
    story, activate = starting()
    story.command(INSTANCE, Run("stop"))
    story.answer_all()
    assert story.resource(INSTANCE).state == "stopped"
    story.answer(activate)
    [undo] = story.asks()
    return story, undo


def test_an_undo_that_failed_is_not_asked_again_once_the_instance_is_started_again() -> None:
    story, undo = late_undo()
    story.answer(undo, error="not now")
    story.command(INSTANCE, Run("start"))
    story.answer_all()
    before = len(story.log)
    story.pass_time(60)
    assert story.resource(INSTANCE).state == "running"
    assert commands_after(story, before) == []
    assert not story.resource(MAP).undoing


def test_an_undo_keeps_its_root_at_work_although_nothing_is_under_way() -> None:
    story, undo = late_undo()
    turn = story.turn(INSTANCE, {each.stream: each for each in story.resources().values() if each.root == INSTANCE})
    turn.run()
    assert [each.root for each in work(turn)[0]] == [INSTANCE]
    story.answer(undo)
    turn = story.turn(INSTANCE, {each.stream: each for each in story.resources().values() if each.root == INSTANCE})
    turn.run()
    assert work(turn) == ([], [INSTANCE])


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

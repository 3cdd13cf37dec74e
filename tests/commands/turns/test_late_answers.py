"""What agents still answer to what was closed: a success is undone until that is done, unless it is wanted again."""

from __future__ import annotations

import pytest

from commands.turns.decide import Delete, Run
from commands.turns.interventions import Cancel, ForceRemove
from commands.turns.remaining import work
from tests.support.containers import ACTIVATE, DEACTIVATE, INSTANCE, MAP, REMOVE, commands_after, running, starting, states
from tests.support.story import Ask, Story


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

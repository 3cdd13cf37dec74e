"""What waiting looks like: parked with a reason, resumed, and how far it is."""

from __future__ import annotations

from commands import events
from commands.turns.decide import Update
from commands.turns.turn import Triggers
from tests.support.containers import INSTANCE, running, starting
from tests.support.story import a_cloud


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

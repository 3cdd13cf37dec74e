"""External handlers, as stories: where they stand in a process, what their answers lead to, and what a change of them leads to."""

from __future__ import annotations

import pytest

from commands.turns.decide import Delete, Run, Update
from commands.turns.interventions import Cancel, Retry
from commands.turns.turn import Triggers
from tests.support.handler_stories import ASKED_BY_START, INSTANCE, START, a_container, a_handler, asked, passing
from tests.support.story import a_cloud

PURGE = "instance.purge;handler=demo"


def test_without_handlers_a_start_has_the_events_it_always_had() -> None:
    plain, beside = a_cloud(), a_cloud()
    a_handler(beside, "instance.stop")
    before = len(beside.log)
    for story in (plain, beside):
        a_container(story)
        story.answer_all()
    instance_events = [(each.stream, each.type) for each in plain.log if each.root == INSTANCE]
    assert instance_events == [(each.stream, each.type) for each in beside.log[before:] if each.root == INSTANCE]
    assert not any(each.type == "handlers-joined" for each in plain.log)


def test_a_handler_replaces_the_built_in_logic_and_its_result_is_merged() -> None:
    story = a_cloud()
    a_handler(story, "instance.start")
    a_container(story)
    ask = asked(story, START)
    assert story.resource(INSTANCE).state == "starting"
    story.answer(ask, {"+data": {"hello": "world"}, "description": "by demo", "uuid": "mine", "state": "stopped", "_x": 1})
    instance = story.resource(INSTANCE)
    assert (instance.state, instance.row["data"]["hello"], instance.row["description"]) == ("running", "world", "by demo")
    assert instance.row["uuid"] != "mine"
    assert instance.row["token"]
    assert instance.row["firstRunning"]
    assert not [each for each in story.resources().values() if each.type == "instanceHostMap"]


@pytest.mark.parametrize("priority", [2001, 5000])
def test_a_handler_after_the_built_in_logic_is_replaced_by_it(priority: int) -> None:
    story = a_cloud()
    a_handler(story, "instance.start", priority=priority)
    a_container(story)
    assert story.answer_all() == ASKED_BY_START
    assert story.resource(INSTANCE).state == "running"


def test_a_handler_that_says_continue_lets_the_built_in_logic_run() -> None:
    story = a_cloud()
    a_handler(story, "instance.start")
    a_container(story)
    story.answer(asked(story, START), {"+data": {"hello": "world"}, "continue": True}, passes=True)
    assert story.answer_all() == ASKED_BY_START
    instance = story.resource(INSTANCE)
    assert instance.state == "running"
    assert instance.row["data"]["hello"] == "world"


def test_listeners_before_and_after_all_run_around_the_handlers() -> None:
    story = a_cloud()
    a_handler(story, "pre.instance.start", "post.instance.start", "instance.start")
    a_handler(story, "pre.instance.start", name="early", priorityName="pre")
    a_container(story)
    order = []
    while asks := story.asks():
        order.append(asks[0].command)
        story.answer(asks[0], {"+data": {f"n{len(order)}": True}})
    assert order == ["pre.instance.start;handler=early", "pre.instance.start;handler=demo", START, "post.instance.start;handler=demo"]
    data = story.resource(INSTANCE).row["data"]
    assert {"n1", "n2", "n3", "n4"} <= data.keys()
    assert story.resource(INSTANCE).state == "running"


def test_of_two_handlers_the_first_that_gives_a_result_replaces_the_other() -> None:
    story = a_cloud()
    a_handler(story, "instance.start", name="second", priority=20)
    a_handler(story, "instance.start", name="first", priority=10)
    a_container(story)
    story.answer(asked(story, "instance.start;handler=first"), passes=True)
    story.answer(asked(story, "instance.start;handler=second"))
    assert story.resource(INSTANCE).state == "running"
    assert passing(story) == []


def test_two_handlers_of_one_name_are_both_asked() -> None:
    story = a_cloud()
    a_handler(story, "pre.instance.start")
    a_handler(story, "pre.instance.start", uuid="another")
    a_container(story)
    assert passing(story)[:2] == ["pre.instance.start;handler=demo"] * 2
    assert story.resource(INSTANCE).state == "running"


def test_what_is_nested_joined_or_chained_asks_its_handlers_too() -> None:
    story = a_cloud()
    a_handler(
        story, "pre.volume.activate", "instance.allocate", "imagestoragepoolmap.activate", "pre.instancehostmap.activate",
        "pre.instance.stop", "instance.restart", priorityName="pre",
    )
    a_container(story)
    assert passing(story) == [
        "instance.allocate;handler=demo", "pre.volume.activate;handler=demo", "imagestoragepoolmap.activate;handler=demo",
        "storage.image.activate", "storage.volume.activate", "pre.instancehostmap.activate;handler=demo", "compute.instance.activate",
    ]
    assert story.resource(INSTANCE).state == "running"
    story.command(INSTANCE, Run("restart"))
    assert passing(story)[:2] == ["instance.restart;handler=demo", "pre.instance.stop;handler=demo"]
    assert story.resource(INSTANCE).state == "running"


def test_what_is_corrals_own_runs_even_where_a_handler_replaces_the_rest() -> None:
    story = a_cloud()
    a_handler(story, "instance.deallocate")
    a_container(story)
    story.answer_all()
    story.command(INSTANCE, Run("stop"))
    story.answer_all()
    story.command(INSTANCE, Delete())
    story.answer_all()
    story.command(INSTANCE, Run("purge"))
    story.answer(asked(story, "instance.deallocate;handler=demo"))
    story.answer_all()
    assert story.resource(INSTANCE).state == "purged"
    [host] = story.fleet.all("host")
    assert story.fleet.used(f"{host.stream}/compute") == 0


def test_a_process_without_logic_of_its_own_asks_its_handlers() -> None:
    story = a_cloud()
    a_handler(story, "image.create", "post.image.activate")
    image = story.create("image", uuid="sim:other", format="sim", kind="sim")
    assert image.state == "registering"
    story.answer(asked(story, "image.create;handler=demo"), {"checksum": "abc"})
    assert story.resource(image.stream).state == "activating"
    story.answer(asked(story, "post.image.activate;handler=demo"))
    assert (story.resource(image.stream).state, story.resource(image.stream).row["checksum"]) == ("active", "abc")


# --- results ---


def test_a_result_is_merged_into_related_rows_too_and_never_sets_what_is_not_the_handlers() -> None:
    story = a_cloud()
    a_handler(story, "pre.instancehostmap.activate")
    a_container(story)
    while story.asks()[0].agent:
        story.answer(story.asks()[0])
    [ask] = story.asks()
    own = {"id": 9, "uuid": "x", "kind": "x", "accountId": 9, "state": "x", "removed": "x"}
    image_too = {**own, "checksum": "sum"}
    story.answer(ask, {**own, "description": "map", "instance": {**own, "description": "its instance", "image": image_too}})
    image, instance = story.resource("image-1"), story.resource(INSTANCE)
    assert story.resource(ask.stream).row["description"] == "map"
    assert instance.row["description"] == "its instance"
    assert image.row["checksum"] == "sum"
    for each in (image, instance, story.resource(ask.stream)):
        assert own.items().isdisjoint({key: each.row.get(key) for key in own}.items())


def test_an_answer_that_comes_twice_is_merged_once() -> None:
    story = a_cloud()
    a_handler(story, "pre.instance.start")
    a_container(story)
    [ask] = story.asks()
    story.answer(ask, {"description": "first"})
    story.answer(ask, {"description": "second"})
    assert story.resource(INSTANCE).row["description"] == "first"
    assert len([each for each in story.log if each.type == "step-succeeded" and each.data["id"] == ask.id]) == 1


# --- errors ---


def test_an_error_takes_the_failure_path_of_the_process() -> None:
    story = a_cloud()
    a_handler(story, "pre.instance.start")
    a_container(story)
    story.answer(story.asks()[0], error="not today")
    story.answer_all()
    instance = story.resource(INSTANCE)
    assert instance.state == "removed"
    assert (instance.fields["transitioning"], instance.fields["transitioningMessage"]) == ("error", "not today")


def test_an_error_of_a_nested_process_handler_fails_those_around_it() -> None:
    story = a_cloud()
    a_handler(story, "pre.volume.activate")
    a_container(story)
    story.answer(asked(story, "pre.volume.activate;handler=demo"), error="no disks today")
    story.answer_all()
    assert story.resource(INSTANCE).state == "removed"
    assert story.resource(INSTANCE).fields["transitioningMessage"] == "no disks today"


def test_an_error_of_a_handler_that_says_so_is_passed_over() -> None:
    story = a_cloud()
    a_handler(story, "instance.start", data={"onError": "continue"})
    a_container(story)
    story.answer(asked(story, START), error="not today")
    assert story.answer_all() == ASKED_BY_START
    assert story.resource(INSTANCE).state == "running"


def test_an_error_leads_to_the_process_that_the_handler_names() -> None:
    story = a_cloud()
    a_handler(story, "pre.instance.start", data={"onError": "instance.stop"})
    a_container(story)
    story.answer(story.asks()[0], error="not today")
    story.answer_all()
    assert story.resource(INSTANCE).state == "stopped"
    assert story.resource(INSTANCE).fields["transitioningMessage"] == "not today"


def test_an_error_of_what_undoes_a_failure_leaves_the_instance_at_rest_with_that_error() -> None:
    story = a_cloud()
    a_handler(story, "pre.instance.start", "pre.instance.remove")
    a_container(story)
    story.answer(story.asks()[0], error="no start")
    story.answer(asked(story, "pre.instance.remove;handler=demo"), error="no removal")
    instance = story.resource(INSTANCE)
    assert (instance.state, instance.open) == ("stopped", {})
    assert instance.fields["transitioningMessage"] == "no removal"


# --- silence, and changes meanwhile ---


def test_silence_parks_the_process_and_the_answer_lets_it_go_on() -> None:
    story = a_cloud()
    a_handler(story, "instance.start")
    a_container(story)
    ask = asked(story, START)
    story.take_turn(INSTANCE, Triggers(silent=frozenset({ask.id})))
    instance = story.resource(INSTANCE)
    assert instance.state == "starting"
    assert "external handler demo has not answered instance.start;handler=demo" in (instance.open["state"].parked or "")
    assert "corral.handler.demo.instance.start" in (instance.open["state"].parked or "")
    story.answer(ask)
    assert story.resource(INSTANCE).state == "running"


def test_a_retry_takes_a_process_out_of_its_parking_and_a_cancel_out_of_its_waiting() -> None:
    story = a_cloud()
    a_handler(story, "pre.volume.activate")
    a_container(story)
    [ask] = story.asks()
    story.take_turn(INSTANCE, Triggers(silent=frozenset({ask.id})))
    assert story.resource(INSTANCE).open["state"].parked
    story.command(INSTANCE, Retry("now it runs"))
    assert story.resource(ask.stream).open["state"].parked is None
    assert [each.id for each in story.asks()] == [ask.id]
    story.command(INSTANCE, Cancel("no more"))
    assert story.asks() == []
    assert story.resource(INSTANCE).state == "removed"
    before = len(story.log)
    story.answer(ask, {"description": "late"})
    assert story.resource(ask.stream).row.get("description") is None
    assert [each.type for each in story.log[before:]] == ["step-succeeded"]


@pytest.mark.parametrize(
    "stream", ["externalHandler-1", "externalHandlerProcess-1", "externalHandlerExternalHandlerProcessMap-1"],
)
def test_who_waits_for_a_handler_that_is_deactivated_goes_on_without_it(stream: str) -> None:
    story = a_cloud()
    a_handler(story, "instance.start")
    a_container(story)
    old = asked(story, START)
    story.take_turn(INSTANCE, Triggers(silent=frozenset({old.id})))
    story.command(stream, Run("deactivate"))
    assert story.resource(INSTANCE).open["state"].parked is None
    assert story.answer_all() == ASKED_BY_START
    story.answer(old, {"description": "too late"})
    assert story.resource(INSTANCE).row.get("description") is None
    assert story.resource(INSTANCE).state == "running"


def test_a_handler_that_is_registered_during_a_process_is_asked_from_the_next_one_on() -> None:
    story = a_cloud()
    a_container(story)
    story.answer(story.asks()[0])
    a_handler(story, "pre.instance.start", "post.instance.start", "pre.instancehostmap.activate", "instance.stop")
    assert story.answer_all() == ASKED_BY_START[1:]
    assert story.resource(INSTANCE).state == "running"
    story.command(INSTANCE, Run("stop"))
    assert [each.command for each in story.asks()] == ["instance.stop;handler=demo"]


def test_a_handler_whose_priority_changes_during_a_process_keeps_its_place_in_it() -> None:
    story = a_cloud()
    a_handler(story, "instance.start", priority=5000)
    a_container(story)
    story.answer(story.asks()[0])
    story.command("externalHandler-1", Update({"priority": 1, "name": "renamed"}))
    assert story.answer_all() == ASKED_BY_START[1:]
    assert story.resource(INSTANCE).state == "running"
    story.command(INSTANCE, Run("stop"))
    story.answer_all()
    story.command(INSTANCE, Run("start"))
    assert [each.command for each in story.asks()] == ["instance.start;handler=renamed"]


def test_an_answered_handler_that_is_deactivated_later_in_the_process_still_counts() -> None:
    story = a_cloud()
    a_handler(story, "instance.start")
    a_handler(story, "post.instance.start", name="after")
    a_container(story)
    story.answer(asked(story, START), {"description": "replaced"})
    story.command("externalHandler-1", Run("deactivate"))
    [ask] = story.asks()
    assert ask.command == "post.instance.start;handler=after"
    story.answer(ask)
    assert story.resource(INSTANCE).state == "running"


def test_a_handler_that_comes_back_during_a_process_is_not_asked_in_it_again() -> None:
    story = a_cloud()
    a_handler(story, "instance.start")
    a_container(story)
    story.command("externalHandler-1", Run("deactivate"))
    story.command("externalHandler-1", Run("activate"))
    assert story.answer_all() == ASKED_BY_START


def test_a_handler_on_its_own_deactivation_does_not_hold_it_up() -> None:
    story = a_cloud()
    a_handler(story, "externalhandler.deactivate", "externalhandler.remove", "pre.externalhandler.remove")
    assert story.command("externalHandler-1", Run("deactivate")).state == "inactive"
    assert story.command("externalHandler-1", Delete()).state == "removed"


def test_a_command_that_supersedes_a_process_gives_its_handlers_request_up() -> None:
    story = a_cloud()
    a_handler(story, "instance.start")
    a_container(story)
    story.command(INSTANCE, Run("stop"))
    assert story.asks() == []
    assert story.resource(INSTANCE).state == "stopped"


@pytest.mark.parametrize("end", ["error", "cancel"])
def test_a_purge_that_fails_is_begun_again_after_a_minute_and_not_at_once(end: str) -> None:
    story = a_cloud()
    a_handler(story, "instance.purge")
    a_container(story)
    story.answer_all()
    story.command(INSTANCE, Delete())
    story.answer_all()
    story.pass_time(61)
    for _ in range(3):
        if end == "error":
            story.answer(asked(story, PURGE), error="not yet")
        else:
            story.command(INSTANCE, Cancel("not yet"))
        assert (story.resource(INSTANCE).state, story.resource(INSTANCE).open) == ("removed", {})
        assert "not yet" in story.resource(INSTANCE).fields["transitioningMessage"]
        story.pass_time(58)
        assert story.resource(INSTANCE).state == "removed"
        story.pass_time(3)
    story.answer(asked(story, PURGE), error="not yet")
    story.command(INSTANCE, Retry("now it is"))
    story.answer(asked(story, PURGE))
    story.answer_all()
    assert story.resource(INSTANCE).state == "purged"

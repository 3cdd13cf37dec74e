"""External handlers as resources, what their activation leads to, and the order in which a process runs what takes part in it."""

from __future__ import annotations

from typing import Any

import pytest

from commands.catalogue.builtin import CATALOGUE
from commands.turns.decide import Delete, Run
from commands.turns.handlers import Handler, merged_logic
from tests.support.handler_stories import a_handler
from tests.support.story import a_cloud


def test_an_activated_handler_is_mapped_to_the_processes_it_names_and_forgets_their_names() -> None:
    story = a_cloud()
    handler = a_handler(story, "instance.start, pre.instance.stop", "post.instance.stop ,instance.start,")
    assert handler.fields["processNames"] is None
    processes = [each for each in story.resources().values() if each.type == "externalHandlerProcess"]
    assert [each.row["name"] for each in processes] == ["instance.start", "pre.instance.stop", "post.instance.stop"]
    maps = [each for each in story.resources().values() if each.type == "externalHandlerExternalHandlerProcessMap"]
    assert [each.row["externalHandlerProcessId"] for each in maps] == [1, 2, 3]
    assert {each.state for each in (*processes, *maps)} == {"active"}
    assert {each.root for each in maps} == {handler.stream}


def test_a_handlers_name_for_no_process_makes_none() -> None:
    story = a_cloud()
    a_handler(story, "pre.instance.start", "instance.nap")
    assert [each.row["name"] for each in story.resources().values() if each.type == "externalHandlerProcess"] == ["pre.instance.start"]


def test_handlers_share_the_processes_that_they_name() -> None:
    story = a_cloud()
    a_handler(story, "instance.start")
    a_handler(story, "instance.start", name="other")
    story.only("externalHandlerProcess")


def test_a_handler_that_is_activated_again_keeps_its_maps() -> None:
    story = a_cloud()
    a_handler(story, "instance.start")
    story.command("externalHandler-1", Run("deactivate"))
    assert not story.fleet.handlers
    assert story.command("externalHandler-1", Run("activate")).state == "active"
    assert len(story.fleet.handlers["instance.start"]) == 1
    story.only("externalHandlerExternalHandlerProcessMap")


def test_a_removed_process_gives_its_name_free() -> None:
    story = a_cloud()
    a_handler(story, "instance.start")
    story.command("externalHandlerProcess-1", Run("deactivate"))
    story.command("externalHandlerProcess-1", Delete())
    released = [release.item for event in story.log for release in event.releases if event.stream == "externalHandlerProcess-1"]
    assert released == ["instance.start"]
    assert not story.fleet.handlers
    a_handler(story, "instance.start", name="other")
    assert [each.name for each in story.fleet.handlers["instance.start"]] == ["other"]


@pytest.mark.parametrize(
    ("more", "priority"),
    [({}, 1000), ({"priorityName": "pre"}, 500), ({"priorityName": "default_override"}, 1500), ({"priority": 7, "priorityName": "pre"}, 7)],
)
def test_a_handlers_priority_is_a_number_or_a_name(more: dict[str, Any], priority: int) -> None:
    story = a_cloud()
    a_handler(story, "instance.start", **more)
    assert story.fleet.handlers["instance.start"][0].priority == priority


def test_all_logic_of_a_process_is_listed_in_the_order_in_which_it_runs() -> None:
    handlers = [
        Handler(1, "late", "handlers", 2500), Handler(2, "first", "pre", -1), Handler(3, "b", "handlers", 500),
        Handler(4, "a", "handlers", 500), Handler(5, "token", "pre", 1), Handler(6, "done", "post", 1000),
    ]
    listed = {phase: [each.name for each in logic] for phase, logic in merged_logic(CATALOGUE.process("instance.start"), handlers).items()}
    assert listed == {
        "pre": ["first", "InstanceStartToken", "token"],
        "handlers": ["a", "b", "InstanceStart", "late"],
        "post": ["done", "InstanceStartFirstRunning"],
    }


@pytest.mark.parametrize("process", CATALOGUE.processes.values(), ids=lambda each: each.name)
def test_built_in_logic_is_written_in_the_order_of_its_priorities(process: Any) -> None:
    for logic in process.logic.values():
        priorities = [each.priority for each in logic]
        assert priorities == sorted(priorities)

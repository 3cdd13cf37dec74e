"""Agents that know no epochs: one command at a time about one thing."""

from __future__ import annotations

from typing import Any

from commands.resource import Resource
from commands.turns.decide import Run
from commands.turns.inorder import KNOWS, in_order, knows_epochs
from commands.turns.turn import Triggers
from commands.turns.world import World
from tests.support.story import Ask, Story, sim_inventory

START, STOP = "compute.instance.activate", "compute.instance.deactivate"


def a_cloud_of(uri: str, **answered: Any) -> Story:
    """With one agent at this address, and an instance whose start it was asked for."""
    story = Story()
    story.create("account", uuid="admin", name="admin", kind="admin")
    story.create("image", uuid="sim:busybox", format="sim", isPublic=True, accountId=1, kind="sim")
    story.create("agent", uri=uri, uuid="agent", managedConfig=False)
    story.answer_all(lambda ask: {**sim_inventory(), **answered})
    story.create("container", imageId=1, accountId=1)
    answer_all_but_the_start(story)
    return story


def answer_all_but_the_start(story: Story) -> None:
    while asks := [each for each in story.asks() if each.command != START]:
        story.answer(asks[0])


def order(story: Story) -> tuple[list[str], dict[str, str]]:
    """(commands that may be sent, command that waits -> the one that it waits for), of all that is asked."""
    resources = story.resources()
    found, behind = in_order(World(story.catalogue, resources, story.fleet), resources.values())
    names = {asked.id: asked.command for each in resources.values() for asked in all_asked(each)}
    return sorted(each[2].command for each in found), {names[ask]: names[first] for ask, first in behind.items()}


def all_asked(resource: Resource) -> list[Any]:
    brackets = [asked for bracket in resource.open.values() for asked in bracket.asked.values()]
    return [*brackets, *resource.late.values(), *resource.undoing.values(), *resource.asides.values()]


def the_start(story: Story) -> Ask:
    [ask] = [each for each in story.asks() if each.command == START]
    return ask


def test_who_knows_epochs_says_so_in_its_answer_to_a_ping() -> None:
    for uri, said, known in (("event://x", {}, False), ("event://x", {"epochs": True}, True), ("event://x", {"epochs": "yes"}, False)):
        agent = a_cloud_of(uri, **said).only("agent")
        assert (knows_epochs(agent), bool((agent.row["data"] or {}).get(KNOWS))) == (known, known)
    assert knows_epochs(a_cloud_of("sim://").only("agent"))
    assert knows_epochs(None)


def test_an_agent_that_says_so_no_more_is_believed() -> None:
    story = a_cloud_of("event://x", epochs=True)
    story.command("agent-1", Run("reconnect", {}))
    answer_all_but_the_start(story)
    assert not knows_epochs(story.only("agent"))


def test_a_stop_waits_for_the_answer_to_the_start_that_it_superseded() -> None:
    story = a_cloud_of("event://x")
    start = the_start(story)
    story.command("instance-1", Run("stop", {}))
    assert order(story) == ([START], {STOP: START})
    story.answer(start, {})
    assert order(story) == ([STOP], {})


def test_an_error_answer_frees_it_as_well() -> None:
    story = a_cloud_of("event://x")
    start = the_start(story)
    story.command("instance-1", Run("stop", {}))
    story.answer(start, error="no")
    assert order(story) == ([STOP], {})


def test_agents_that_know_epochs_are_asked_at_once() -> None:
    story = a_cloud_of("event://x", epochs=True)
    story.command("instance-1", Run("stop", {}))
    assert order(story) == ([STOP], {})


def test_what_nobody_waits_behind_is_not_asked_again() -> None:
    story = a_cloud_of("event://x")
    story.command("instance-1", Run("stop", {}))
    [stop] = [each for each in story.asks() if each.command == STOP]
    story.answer(stop, {})  # out of order, as nothing forbids
    answer_all_but_the_start(story)
    assert story.resource("instance-1").state == "stopped"
    assert order(story) == ([], {})


def test_the_silence_of_what_is_in_front_parks_what_is_behind() -> None:
    story = a_cloud_of("event://x")
    start = the_start(story)
    story.command("instance-1", Run("stop", {}))
    story.take_turn("instance-1", Triggers(silent=frozenset({start.id})))
    [parked] = {bracket.parked for bracket in story.resource("instance-1").open.values()}
    assert parked is not None
    assert "has not answered compute.instance.activate, which it was asked before: compute.instance.deactivate follows" in parked

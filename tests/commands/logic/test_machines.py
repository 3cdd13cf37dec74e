"""Snapshots and sizes of virtual machines: processes that ask the host's agent, and leave the machine running or stopped as it was."""

from __future__ import annotations

import pytest

from commands.catalogue.builtin import CATALOGUE
from commands.errors import Refused
from commands.logic import machines
from commands.resource import Json
from commands.turns.decide import Run
from commands.turns.interventions import DeclareDead
from commands.turns.world import World
from tests.support.story import Story, a_cloud


def a_running_machine() -> Story:
    story = a_cloud()
    story.create("virtualMachine", imageId=1, accountId=1)
    story.answer_all()
    assert story.resource("instance-1").state == "running"
    return story


def told(story: Story) -> Json:
    """What the agent is told now."""
    return machines.with_input(World(CATALOGUE, story.resources(), story.fleet), story.resource("instance-1"))


@pytest.mark.parametrize("verb", ["snapshot", "revert"])
def test_the_agent_of_its_host_is_asked_with_the_name(verb: str) -> None:
    story = a_running_machine()
    assert story.command("instance-1", Run(verb, {"name": "before"})).state == "updating-running"
    [ask] = story.asks()
    assert ask.command == f"compute.instance.{verb}"
    data = told(story)
    assert data[verb] == {"name": "before"}
    assert data["instanceHostMap"]["instance"]["uuid"] == story.resource("instance-1").row["uuid"]
    story.answer(ask, {"+data": {"+libvirt": {"snapshots": ["before"]}}})
    machine = story.resource("instance-1")
    assert (machine.state, machine.data["libvirt"]["snapshots"]) == ("running", ["before"])


def test_a_snapshot_that_fails_leaves_it_running_with_the_reason() -> None:
    story = a_running_machine()
    story.command("instance-1", Run("snapshot", {"name": "before"}))
    story.answer(story.asks()[0], error="no room")
    machine = story.resource("instance-1")
    assert machine.state == "running"
    assert "no room" in machine.fields["transitioningMessage"]


def test_memory_and_processors_change_without_the_agent_and_the_disk_with_it() -> None:
    story = a_running_machine()
    assert story.command("instance-1", Run("resize", {"memoryMb": 512, "vcpu": 3})).state == "running"
    assert not story.asks()
    assert story.resource("instance-1").row["memoryMb"] == 512
    assert story.resource("instance-1").fields["vcpu"] == 3
    story.command("instance-1", Run("resize", {"rootSizeMb": 2048}))
    [ask] = story.asks()
    assert told(story)["resize"] == {"rootSizeMb": 2048}
    assert story.only("volume").row.get("virtualSizeMb") is None, "it is noted once it is so"
    story.answer(ask)
    assert story.only("volume").row["virtualSizeMb"] == 2048


def test_a_stop_comes_before_a_snapshot_that_hangs() -> None:
    story = a_running_machine()
    story.command("instance-1", Run("snapshot", {"name": "before"}))
    story.command("instance-1", Run("stop"))
    story.answer_all()
    assert story.resource("instance-1").state == "stopped"


def test_what_is_on_no_host_has_nothing_to_go_back_to() -> None:
    story = a_running_machine()
    story.command("instance-1", Run("stop", {"deallocateFromHost": True}))
    story.answer_all()
    story.command("instance-1", Run("snapshot", {"name": "before"}))
    machine = story.resource("instance-1")
    assert machine.state == "stopped"
    assert "start it first" in machine.fields["transitioningMessage"]
    given: Json = {"memoryMb": 64}
    assert story.command("instance-1", Run("resize", given)).row["memoryMb"] == 64


@pytest.mark.parametrize("asked", [Run("snapshot", {"name": "before"}), Run("resize", {"rootSizeMb": 2048})])
def test_the_agent_of_a_host_that_was_declared_dead_is_not_asked(asked: Run) -> None:
    story = a_running_machine()
    story.command("host-1", DeclareDead("its rack burnt down"))
    story.command("instance-1", asked)
    machine = story.resource("instance-1")
    assert (machine.state, [each.command for each in story.asks()]) == ("running", [])
    assert "host 1 was declared dead" in machine.fields["transitioningMessage"]


def test_what_is_gone_takes_no_snapshot() -> None:
    story = a_running_machine()
    story.command("instance-1", Run("stop", {"remove": True}))
    story.answer_all()
    with pytest.raises(Refused):
        story.command("instance-1", Run("snapshot", {"name": "before"}))

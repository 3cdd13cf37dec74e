"""Every process of a cloud's life, with an external handler in every phase: it waits where nothing waited before, and all runs again."""

from __future__ import annotations

from typing import Any

import pytest

from commands.catalogue.builtin import CATALOGUE
from commands.resource import Resource
from commands.turns.decide import Run
from tests.support.handler_stories import a_handler
from tests.support.story import Story, sim_inventory


@pytest.mark.parametrize("phase", ["pre.", "", "post."])
def test_every_process_of_a_clouds_life_bears_a_handler_in_every_phase(phase: str) -> None:
    """All logic runs again in every turn, also what was the last of its process as long as nobody could wait after it."""
    story, plain = Story(), Story()
    every = [f"{phase}{name}" for name in CATALOGUE.processes if not name.startswith("externalhandler")]
    a_handler(story, *every, priorityName="pre")
    for each in (plain, story):
        _a_clouds_life(each)
    asked_for = {event.data["command"].partition(";")[0] for event in story.log if event.data.get("handler")}
    assert {f"{phase}{name}" for name in ("account.create", "agent.activate", "volume.allocate", "instance.restore")} <= asked_for
    assert _rows(story) == _rows(plain)


def _a_clouds_life(story: Story) -> None:
    def created(type_name: str, **row: Any) -> Resource:
        made = story.create(type_name, **row)
        _passing(story)
        return story.resource(made.stream)

    created("account", uuid="admin", name="admin", kind="admin")
    created("image", uuid="sim:busybox", format="sim", isPublic=True, accountId=1, kind="sim")
    created("agent", uri="sim://", uuid="agent", managedConfig=False, name="sim")
    made = created("container", imageId=1, accountId=1)
    assert made.state == "running"
    for verb in ("stop", "start", "restart", "stop", "remove", "restore", "start", "stop", "remove", "purge"):
        story.command(made.stream, Run(verb))
        _passing(story)
    assert story.resource(made.stream).state == "purged"


def _passing(story: Story, limit: int = 300) -> None:
    for _ in range(limit):
        if not story.asks():
            return
        ask = story.asks()[0]
        story.answer(ask, sim_inventory() if ask.command == "ping" else {}, passes=not ask.agent)
    raise AssertionError(f"asked for ever: {story.asks()[0]}")


def _rows(story: Story) -> dict[str, Any]:
    """What came of everything but the handler itself."""
    others = (each for stream, each in story.resources().items() if not stream.startswith("externalHandler"))
    names = ("state", "allocationState", "agentId", "accountId", "instanceId", "hostId", "storagePoolId", "volumeId", "imageId")
    return {each.stream: ([each.row.get(name) for name in names], each.fields.get("transitioningMessage"), each.open) for each in others}

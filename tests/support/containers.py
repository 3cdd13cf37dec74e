"""A container of stories of the write side, on its way or running, and what its agent is asked."""

from __future__ import annotations

from typing import Any

from commands import events
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

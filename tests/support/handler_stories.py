"""Stories about external handlers: what their tests share."""

from __future__ import annotations

from typing import Any

from commands.resource import Resource
from tests.support.story import Ask, Story

INSTANCE = "instance-1"
START = "instance.start;handler=demo"
ASKED_BY_START = ["storage.image.activate", "storage.volume.activate", "compute.instance.activate"]


def a_handler(story: Story, *names: str, name: str = "demo", **more: Any) -> Resource:
    made = story.create("externalHandler", name=name, processNames=list(names), **more)
    assert made.state == "active"
    return made


def a_container(story: Story) -> Resource:
    return story.create("container", imageId=1, accountId=1, name="web")


def asked(story: Story, command: str) -> Ask:
    [found] = [each for each in story.asks() if each.command == command]
    return found


def passing(story: Story, limit: int = 50) -> list[str]:
    """Answers all that is asked: agents well, handlers with nothing to say. -> the commands, in order."""
    answered = []
    while asks := story.asks():
        answered.append(asks[0].command)
        assert len(answered) < limit
        story.answer(asks[0], passes=not asks[0].agent)
    return answered

"""Commands to an agent that lives in an instance: they go through the agent of its host, and count as its own."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agents.wire import Message, command_subject, partition_of, reply_subject
from commands.catalogue.builtin import CATALOGUE
from commands.logic.delegation import NAME, answerer
from commands.sending.bus import Bus
from commands.sending.dispatch import Dispatch
from commands.sending.outstanding import FIRST_RESEND
from commands.turns.unanswered import asked_of
from commands.turns.world import World
from tests.commands.logic.test_links import with_link_service
from tests.support.story import Story


class Heard(Bus):
    """Keeps what is published."""

    def __init__(self) -> None:
        super().__init__("nats://127.0.0.1:1")
        self.said: list[tuple[str, Message]] = []

    async def publish(self, subject: str, payload: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        self.said.append((subject, Message.decode(payload)))


def asked_of_the_delegate(story: Story, delegate: int) -> tuple[str, World]:
    """A new container with its first command, as if an agent in an instance were asked."""
    root = story.create("container", imageId=1, accountId=1).stream
    resources = dict(story.resources())
    [(stream, bracket, asked)] = [each for resource in resources.values() if resource.root == root for each in asked_of(resource)]
    assert bracket is not None
    as_asked = replace(bracket, asked={**bracket.asked, asked.command: replace(asked, agent=delegate)})
    [state_field] = [key for key, each in resources[stream].open.items() if each is bracket]
    resources[stream] = replace(resources[stream], open={**resources[stream].open, state_field: as_asked})
    return root, World(CATALOGUE, resources, story.fleet)


def send(dispatch: Dispatch, root: str, world: World) -> list[str]:
    """-> the commands that there was room for"""
    found = dispatch.ready(root, world)
    for each in found:
        dispatch.send(root, world, each)
    return [asked.id for _, _, asked in found]


async def test_a_delegated_command_gives_its_place_in_flight_back_and_is_known_by_both_agents() -> None:
    story = with_link_service()
    story.create("container", imageId=1, accountId=1, networkIds=[1])
    story.answer_all()
    [delegate] = [each.id for each in story.fleet.all("agent") if str(each.row["uri"]).startswith("delegate:")]
    bus = Heard()
    called: list[str] = []
    dispatch = Dispatch(bus, lambda root, ask: None, called.append, sure=lambda: True, most=lambda: 1)
    (first, world_of_first), (second, world_of_second) = asked_of_the_delegate(story, delegate), asked_of_the_delegate(story, delegate)
    [asked_first] = send(dispatch, first, world_of_first)
    assert send(dispatch, second, world_of_second) == []
    await asyncio.sleep(0)
    assert [(subject, message.id) for subject, message in bus.said] == [(command_subject(1, NAME), asked_first)]
    assert dispatch.roots_asking(delegate) == {first, second}
    assert dispatch.roots_asking(1) == {first}
    assert list(dispatch.loads()) == [(delegate, 1, 1)]

    sent = dispatch.outstanding(asked_first)
    assert sent is not None
    assert sent.reply == reply_subject(partition_of(first), answerer(world_of_first, delegate), asked_first)
    sent.waited = FIRST_RESEND
    dispatch.nudge(1)  # a delegate has no heartbeat of its own
    assert sent.until_resend == 0.0

    dispatch.answered(sent)
    dispatch.forget(sent.ask)
    assert called == [second]
    [asked_second] = send(dispatch, second, world_of_second)
    await asyncio.sleep(0)
    assert [message.id for _, message in bus.said] == [asked_first, asked_second]
    assert list(dispatch.loads()) == [(delegate, 1, 0)]
    dispatch.forget(asked_second)
    assert list(dispatch.loads()) == []

"""Agents are told what their hosts have to know of networks, over real NATS: soon, again while they lack it, and not once they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from agents.wire import NETWORK_APPLY, Message, Presence, command_subject, presence_subject
from commands.accepting.service import Commands
from commands.sending.bus import Bus
from commands.turns.decide import Run, Update
from commands.watching.networks import NetworkWatch
from eventstore import Resumed, Unavailable
from tests.support.networks import a_cloud_with_addresses, a_network, on_network
from tests.support.story import Story

AGENT = 1


@dataclass
class Log:
    """What the watch reads of a store, off a story."""

    story: Story
    away: int = 0
    """So many more reads fail."""
    reads: int = 0

    async def resume(self, stream: str, form: str) -> Resumed:
        return self._read(lambda event: event.stream == stream)

    async def resume_roots(self, roots: Sequence[str], form: str) -> Resumed:
        return self._read(lambda event: event.root in roots)

    def _read(self, which: Any) -> Resumed:
        self.reads += 1
        if self.away:
            self.away -= 1
            raise Unavailable("the database is away")
        return Resumed([], [event for event in self.story.log if which(event)])


@dataclass
class Told:
    """A watch at work, and an agent's ear."""

    story: Story
    log: Log
    watch: NetworkWatch
    client: Client
    heard: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    seen: int = 0

    def follow(self) -> None:
        """What the story's log has by now."""
        self.story.fleet.followed = len(self.story.log)
        for event in self.story.log[self.seen :]:
            self.watch.follow(event)
        self.seen = len(self.story.log)

    async def beats(self, version: str | None) -> None:
        await self.client.publish(presence_subject(AGENT), Presence(agent=AGENT, uuid="a", networks=version).encode())
        await self.client.flush()

    async def next(self) -> Message:
        async with asyncio.timeout(30):
            return await self.heard.get()

    async def answer(self, message: Message, **data: Any) -> None:
        await self.client.publish(message.replyTo or "", message.reply(data).encode())
        await self.client.flush()

    async def silence(self, seconds: float = 1.5) -> bool:
        await asyncio.sleep(seconds)
        return self.heard.empty()


@asynccontextmanager
async def told(story: Story, nats_url: str, *, mine: bool = True, away: int = 0) -> AsyncIterator[Told]:
    bus, client, log = Bus(nats_url), await nats.connect(nats_url), Log(story, away)

    class Door:
        store, catalogue = log, story.catalogue

    watch = NetworkWatch(bus, cast(Commands, Door()), story.fleet, lambda root: mine)
    bus.on_presence = lambda presence: watch.heard(presence) if presence.agent == AGENT else None
    await bus.start()
    for partition in range(16):
        await bus.listen(partition)
    it = Told(story, log, watch, client)

    async def hear(message: Msg) -> None:
        it.heard.put_nowait(Message.decode(message.data))

    await client.subscribe(command_subject(AGENT, NETWORK_APPLY), cb=hear)
    await client.flush()
    running = asyncio.create_task(watch.run())
    it.follow()
    try:
        yield it
    finally:
        running.cancel()
        await asyncio.wait({running}, timeout=5)
        await client.close()
        await bus.close()


def a_story() -> Story:
    story = a_cloud_with_addresses()
    a_network(story)
    return story


def names(message: Message) -> list[str]:
    return sorted(each["name"] for segment in message.data["segments"] for each in segment["endpoints"])


async def test_an_agent_is_told_of_what_there_was_and_of_what_comes(nats_url: str) -> None:
    story = a_story()
    on_network(story, name="web", requestedHostId=1)
    async with told(story, nats_url, away=2) as it:
        await it.beats("untold")
        first = await it.next()
        assert names(first) == ["web"]
        await it.answer(first, version=first.data["version"], trouble={})
        assert await it.silence()
        on_network(story, name="db", requestedHostId=1)
        it.follow()
        second = await it.next()
        assert names(second) == ["db", "web"]
        assert second.data["position"] > first.data["position"]
        await it.answer(second, version=second.data["version"], trouble={})
        story.command("instance-1", Update({"description": "none of its business"}))
        it.follow()
        assert await it.silence()
        story.command("instance-1", Run("stop"))
        story.answer_all()
        it.follow()
        assert [each["at"] for each in (await it.next()).data["segments"][0]["endpoints"] if each["name"] == "web"] == [None]


async def test_it_is_told_again_until_it_answers_or_a_heartbeat_says_that_it_has_it(nats_url: str) -> None:
    story = a_story()
    on_network(story, name="web", requestedHostId=1)
    async with told(story, nats_url) as it:
        await it.beats("")
        first, again = await it.next(), await it.next()
        assert (first.data["version"], first.id != again.id) == (again.data["version"], True)
        await it.beats(first.data["version"])
        while not await it.silence(3):
            await it.next()  # what was on its way
        await it.beats("another")  # it began anew with what it was told long ago, say
        assert (await it.next()).data["version"] == first.data["version"]


async def test_an_agent_that_nothing_concerns_is_told_so_once(nats_url: str) -> None:
    async with told(a_story(), nats_url) as it:
        await it.beats("untold")
        message = await it.next()
        assert (message.data["version"], message.data["segments"]) == ("", [])
        await it.answer(message, version="", trouble={})
        assert await it.silence()


async def test_agents_that_take_part_in_no_networks_and_other_engines_agents_hear_nothing(nats_url: str) -> None:
    story = a_story()
    on_network(story)
    async with told(story, nats_url) as it:
        await it.beats(None)
        assert await it.silence()
        assert it.log.reads == 0, "nothing is read for nobody"
    async with told(story, nats_url, mine=False) as it:
        await it.beats("untold")
        assert await it.silence()

"""Agents are told of the configuration that they lack, for as long as they lack it: over real NATS, nobody waiting for their answer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nats
from nats.aio.msg import Msg

from agents.wire import Message
from commands.config.sources import Sources
from commands.config.sync import ConfigSync
from commands.logic import config_items
from commands.sending.bus import Bus
from commands.turns.decide import Run, Update
from commands.turns.fleet import Fleet
from tests.support.story import Story

WANTED = ("hosts", "unknown")


@dataclass
class Engine:
    """One that has all partitions, or none."""

    fleet: Fleet
    mine: bool

    def is_surely_ours(self, root: str) -> bool:
        return self.mine


def an_agent(story: Story) -> None:
    """Active, and asked for two items by others; there are files for one of them."""
    story.create("agent", uri="event://x", managedConfig=False)
    story.answer_all()
    turn = story.turn("", {})
    config_items.demand(turn, story.only("agent"), WANTED)
    story._append(turn)


@asynccontextmanager
async def told(story: Story, nats_url: str, sources: Sources, mine: bool = True) -> AsyncIterator[asyncio.Queue[Message]]:
    """What agent 1 hears of config.update."""
    heard: asyncio.Queue[Message] = asyncio.Queue()

    async def hear(message: Msg) -> None:
        heard.put_nowait(Message.decode(message.data))

    bus, client = Bus(nats_url), await nats.connect(nats_url)
    await bus.start()
    await client.subscribe("corral.agent.a1.config.update", cb=hear)
    await client.flush()
    settings = {**story.settings, "cattle.config.url": "http://server/v1"}
    sync = ConfigSync(bus, story.catalogue, settings, sources, Engine(story.fleet, mine), seconds=0.05)
    running = asyncio.create_task(sync.run())
    try:
        yield heard
    finally:
        running.cancel()
        await asyncio.wait({running}, timeout=5)
        await client.close()
        await bus.close()


async def next_of(heard: asyncio.Queue[Message]) -> Message:
    async with asyncio.timeout(20):
        return await heard.get()


async def silence(heard: asyncio.Queue[Message]) -> bool:
    """Several rounds in which nothing is said, after what may be on its way."""
    await asyncio.sleep(0.3)
    while not heard.empty():
        heard.get_nowait()
    await asyncio.sleep(0.6)
    return heard.empty()


def hosts_of(folder: Path, content: str) -> Sources:
    (folder / "hosts").mkdir(exist_ok=True)
    (folder / "hosts" / "hosts").write_text(content)
    return Sources(folder)


async def test_an_agent_is_told_again_until_it_has_applied_it_and_when_the_files_change(nats_url: str, tmp_path: Path) -> None:
    story = Story()
    an_agent(story)
    sources = hosts_of(tmp_path, "one")
    async with told(story, nats_url, sources) as heard:
        for _ in range(2):
            message = await next_of(heard)
            assert message.data["configUrl"] == "http://server/v1"
            assert [each["name"] for each in message.data["items"]] == ["hosts"]  # for the other there are no files
        story.command("configItemStatus-1", Update({"appliedVersion": 1, "sourceVersion": sources.version("hosts")}))
        assert await silence(heard)
        hosts_of(tmp_path, "another")
        assert (await next_of(heard)).data["items"][0]["requestedVersion"] == 1
        story.command("configItemStatus-1", Update({"sourceVersion": sources.version("hosts")}))
        assert await silence(heard)
        story.command("configItemStatus-1", Update({"requestedVersion": 2}))
        assert (await next_of(heard)).data["items"][0]["requestedVersion"] == 2


async def test_another_engines_agents_and_those_that_are_not_active_are_left_alone(nats_url: str, tmp_path: Path) -> None:
    story = Story()
    an_agent(story)
    sources = hosts_of(tmp_path, "one")
    async with told(story, nats_url, sources, mine=False) as heard:
        assert await silence(heard)
    story.command("agent-1", Run("deactivate"))
    async with told(story, nats_url, sources) as heard:
        assert await silence(heard)


async def test_files_that_can_not_be_read_keep_no_agent_from_hearing_of_others(nats_url: str, tmp_path: Path) -> None:
    story = Story()
    an_agent(story)
    sources = hosts_of(tmp_path, "one")
    (tmp_path / "unknown").mkdir()
    (tmp_path / "unknown" / os.fsdecode(b"\xff")).write_text("its name is no text")
    async with told(story, nats_url, sources) as heard:
        for _ in range(2):
            assert [each["name"] for each in (await next_of(heard)).data["items"]] == ["hosts"]

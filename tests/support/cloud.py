"""A cloud of real parts for a test: a store, NATS, an engine, and an agent that answers as the test says."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from agents.wire import Message
from commands.accepting.seed import seed
from commands.accepting.service import Actor, Commands
from commands.catalogue.builtin import CATALOGUE
from commands.engine.engine import Engine
from commands.resource import Resource, fold
from commands.sending.bus import Bus
from commands.settings.settings import DEFAULTS
from eventstore import Store
from tests.support.story import sim_inventory

Behaviour = Callable[[Message], Awaitable[Any]]


async def obliging(message: Message) -> Any:
    """Does what it is told at once."""
    return {}


@dataclass
class ScriptedAgent:
    """An agent on NATS. `behave` gives a reply's data, an error's text, or None for silence."""

    nats: Client
    hosts: int = 1
    behave: Behaviour = obliging
    inventory: dict[str, Any] | None = None
    """What it answers to pings, if not just its hosts."""
    heard: list[Message] = field(default_factory=list)
    subscription: Subscription = field(init=False)

    async def listen(self, number: int) -> None:
        """Hears its commands from now on."""
        self.subscription = await self.nats.subscribe(f"corral.agent.a{number}.>", cb=self.on_command)
        await self.nats.flush()

    async def on_command(self, raw: Msg) -> None:
        message = Message.decode(raw.data)
        self.heard.append(message)
        if message.name == "ping":
            await self.answer(message, self.inventory or sim_inventory(self.hosts))
            return
        answer = await self.behave(message)
        if isinstance(answer, str):
            await self.nats.publish(message.replyTo or "", message.reply(transitioning="error", message=answer).encode())
        elif answer is not None:
            await self.answer(message, answer)

    async def answer(self, message: Message, data: dict[str, Any]) -> None:
        await self.nats.publish(message.replyTo or "", message.reply(data).encode())

    def commands(self, name: str) -> list[Message]:
        return [each for each in self.heard if each.name == name]


@dataclass
class Cloud:
    store: Store
    commands: Commands
    engine: Engine
    agent: ScriptedAgent
    actor: Actor
    settings: dict[str, Any]

    async def create(self, type_name: str, **fields: Any) -> Resource:
        return (await self.commands.create(type_name, fields, self.actor)).resource

    async def resource(self, stream: str) -> Resource:
        return fold(stream, await self.store.read(stream))

    async def until(self, stream: str, *states: str, seconds: float = 10.0) -> Resource:
        """The resource once it is in one of the states."""
        deadline = time.monotonic() + seconds
        while True:
            resource = await self.resource(stream)
            if resource.state in states:
                return resource
            assert time.monotonic() < deadline, f"{stream} is {resource.state}, not {' or '.join(states)}: {resource.open or resource.row}"
            await asyncio.sleep(0.01)


@asynccontextmanager
async def a_running_cloud(
    store: Store, nats_url: str, *, hosts: int = 1, behave: Behaviour = obliging, settings: dict[str, Any] | None = None
) -> AsyncIterator[Cloud]:
    """An engine at work over `store`, and one active agent with some simulated hosts."""
    chosen = {**DEFAULTS, **(settings or {})}
    bus = Bus(nats_url)
    await bus.start()
    client = await nats.connect(nats_url)
    engine = Engine(store, bus, CATALOGUE, chosen, holder="test")
    commands = Commands(store, CATALOGUE, chosen)
    task = asyncio.create_task(engine.run())
    try:
        admin = await seed(commands)
        async with asyncio.timeout(10):
            await engine.ready.wait()
        cloud = Cloud(store, commands, engine, ScriptedAgent(client, hosts, behave), Actor(admin), chosen)
        created = await cloud.create("agent", uri="sim://", uuid=f"agent-{uuid.uuid4()}", managedConfig=False)
        await cloud.agent.listen(created.id)
        await cloud.until(created.stream, "active")
        yield cloud
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=10)
        await client.close()
        await bus.close()

"""Asks agents that are at work what they have, once a minute: a host or a pool that is new is created, as at an agent's activation.

    active, ours --every 12 times 5 s (EVERY)--> ping {options: {resources: true}} --> what no row has the uuid of: a create of its own

Nobody waits for these answers, and one that says nothing new is no event. What has a row is never made
again, nor given to another agent.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

import structlog

from agents.wire import PRESENCE_SECONDS, Message, command_subject, partition_of, reply_subject
from commands.accepting.service import Actor, Commands
from commands.catalogue.ids import api_id
from commands.errors import Refused
from commands.logic.agent_instances import is_delegate
from commands.logic.discovery import elements_of, make_new, moved, wrong_inventory
from commands.logic.payload import ping
from commands.resource import Json, Resource
from commands.sending.bus import Bus
from commands.turns.answers import error_of
from commands.turns.fleet import Fleet
from commands.turns.turn import Failure
from commands.turns.world import World
from eventstore import StoreError

log = structlog.get_logger("corral.inventory")

EVERY = "agent.ping.resources.every"
"""The setting: with which of Cattle's pings, one in 5 s, an agent is asked; 0: only when it becomes active."""

LOOK = 1.0

PATIENCE = 30.0
"""Seconds for which an answer is worth something; after that it is asked again anyway."""


class InventoryWatch:
    """Of one engine; `mine` says whose agents it asks. `run` as a task."""

    def __init__(self, bus: Bus, commands: Commands, fleet: Fleet, mine: Callable[[str], bool]) -> None:
        self._bus, self._commands, self._fleet, self._mine = bus, commands, fleet, mine
        self._due: dict[int, float] = {}
        self._all = False
        self._asked: dict[str, float] = {}
        """Reply subject of a ping -> until when its answer counts."""
        self._answers: asyncio.Queue[tuple[int, Message]] = asyncio.Queue()

    def ask(self) -> None:
        """All agents with the next look."""
        self._all = True

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ask_who_is_due())
            group.create_task(self._take_in())

    async def _ask_who_is_due(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            if not self._bus.connected:
                continue
            now = asyncio.get_running_loop().time()
            self._forget(now)
            agents = {each.id: each for each in self._fleet.all("agent") if self._is_asked(each)}
            every = self._commands.settings[EVERY] * PRESENCE_SECONDS
            at_once, self._all = self._all, False
            due = {number: self._due.get(number, now + every) for number in agents}
            for number, at in due.items():
                if at_once or (every and at <= now):
                    due[number] = now + every
                    await self._ask(agents[number], now)
            self._due = due

    def _is_asked(self, agent: Resource) -> bool:
        """One in an instance brings nothing, and is reached through its host's."""
        return agent.state == "active" and self._mine(agent.stream) and not is_delegate(agent)

    async def _ask(self, agent: Resource, now: float) -> None:
        ident = str(uuid.uuid4())
        reply = reply_subject(partition_of(agent.stream), agent.id, ident)
        self._asked[reply] = now + PATIENCE
        self._bus.awaited[reply] = lambda answer: self._answers.put_nowait((agent.id, answer))
        world = World(self._commands.catalogue, {}, self._fleet)
        message = Message(
            id=ident,
            name="ping",
            replyTo=reply,
            resourceType="agent",
            resourceId=api_id("agent", agent.id, self._commands.catalogue),
            data={**ping(world, agent), "options": {"resources": True}},
            publisher="corral",
            timeoutMillis=int(PATIENCE * 1000),
        )
        await self._bus.publish(command_subject(agent.id, message.name), message.encode(), reply)

    def _forget(self, now: float) -> None:
        for reply in [reply for reply, until in self._asked.items() if until <= now]:
            del self._asked[reply]
            self._bus.awaited.pop(reply, None)

    async def _take_in(self) -> None:
        while True:
            number, message = await self._answers.get()
            agent = self._fleet.get("agent", number)
            wrong = error_of(message, "ping") or wrong_inventory(message.data)
            if wrong is not None:
                log.warning("What an agent has can't be seen", action="inventory-failed", agent=number, error=str(wrong))
            elif agent is not None and self._is_asked(agent):
                try:
                    await self._keep(agent, elements_of(message.data))
                except (Refused, Failure, StoreError) as error:  # it is asked again; until then somebody else may have made it
                    log.warning("What an agent has can't be taken in", action="inventory-failed", agent=number, error=str(error))
                except Exception:  # one agent's answer must not end the engine for all others
                    log.exception("What an agent has can't be taken in", action="inventory-failed", agent=number)

    async def _keep(self, agent: Resource, elements: list[Json]) -> None:
        """All that is new in one append: what crashes in between has done nothing. A second answer at once is refused by the uuids."""
        actor = Actor(correlation=f"corral:inventory-of-agent-{agent.id}")
        new = [each["uuid"] for each in elements if self._fleet.by_uuid(each["type"], each["uuid"]) is None]
        if new:
            await self._commands.carry_out(lambda turn: make_new(turn, self._fleet, agent, elements, run=False)[0].stream, actor)
            log.info("An agent has something new", action="inventory-new", agent=agent.id, uuids=new)
        for host, physical in moved(None, self._fleet, elements):
            await self._commands.update("host", host.id, {"physicalHostId": physical}, actor)

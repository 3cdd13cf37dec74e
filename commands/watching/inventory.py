"""Asks agents that are at work what they have, once a minute: a host or a pool that is new is created, as at an agent's activation.

    active, ours --every 12 times 5 s (EVERY)--> ping {options: {resources: true}} --> what no row has the uuid of: a create of its own
        `-- at once, when a heartbeat tells of what has no place there --> {instances: true} --> strays

Nobody waits for these answers, and one that says nothing new is no event. What has a row is never made
again, nor given to another agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from agents.wire import PRESENCE_SECONDS, UNDERLAY, Message, Presence
from commands.accepting.service import Actor, Commands
from commands.errors import Refused
from commands.logic.agent_instances import is_delegate
from commands.logic.discovery import elements_of, found_elsewhere, make_new, moved, wrong_inventory
from commands.logic.payload import ping
from commands.resource import Json, Resource
from commands.sending.bus import Bus
from commands.sending.questions import Questions
from commands.turns.answers import error_of
from commands.turns.fleet import Fleet
from commands.turns.turn import Failure, Turn
from commands.turns.world import World
from commands.watching.endings import RUNNING, Endings
from commands.watching.strays import Strays, held_in
from eventstore import StoreError

log = structlog.get_logger("corral.inventory")

EVERY = "agent.ping.resources.every"
"""The setting: with which of Cattle's pings, one in 5 s, an agent is asked; 0: only when it becomes active."""

LOOK = 1.0

AGAIN = 3.0
"""Seconds after which what is new, and has no place there, is looked for again: on its way out it was told of for the last time."""


class InventoryWatch:
    """Of one engine; `mine` says whose agents it asks. `run` as a task."""

    def __init__(self, bus: Bus, commands: Commands, fleet: Fleet, mine: Callable[[str], bool], endings: Endings) -> None:
        self._bus, self._commands, self._fleet, self._mine, self._endings = bus, commands, fleet, mine, endings
        self._questions = Questions(bus, commands.catalogue)
        self.strays = Strays(commands, fleet, self._questions)
        self._due: dict[int, float] = {}
        self._warnings: dict[int, str] = {}
        """Agent -> what is wrong with what it tells of."""
        self._all = False
        self._answers: asyncio.Queue[tuple[int, Message]] = asyncio.Queue()

    def ask(self) -> None:
        """All agents with the next look."""
        self._all = True

    def hear(self, presence: Presence) -> None:
        """A heartbeat: what runs there without a place is looked at soon."""
        running = {uuid for uuid, state in presence.instances.items() if state == RUNNING}
        if not presence.trouble and not self.strays.has_seen(presence.agent, running - self._endings.placed(presence.agent)):
            self._due[presence.agent] = 0.0

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
            agents = {each.id: each for each in self._fleet.all("agent") if self._is_asked(each)}
            every = self._commands.settings[EVERY] * PRESENCE_SECONDS or float("inf")
            at_once, self._all = self._all, False
            self.strays.keep(agents)
            self._due = {number: self._due.get(number, now + every) for number in agents}
            for number in [number for number, at in self._due.items() if at_once or at <= now]:
                self._due[number] = now + every  # before it is waited: a heartbeat may bring it forward meanwhile
                await self._ask(agents[number])

    def _is_asked(self, agent: Resource) -> bool:
        """One in an instance brings nothing, and is reached through its host's."""
        return agent.state == "active" and self._mine(agent.stream) and not is_delegate(agent)

    async def _ask(self, agent: Resource) -> None:
        world = World(self._commands.catalogue, {}, self._fleet)
        data = {**ping(world, agent), "options": {"resources": True, "instances": True}}
        warning = self._warnings.get(agent.id)
        context = {"warning": warning} if warning else None
        await self._questions.ask(agent, "ping", data, lambda answer: self._answers.put_nowait((agent.id, answer)), context)

    async def _take_in(self) -> None:
        while True:
            number, message = await self._answers.get()
            agent = self._fleet.get("agent", number)
            wrong = error_of(message, "ping") or wrong_inventory(message.data)
            if wrong is not None:
                log.warning("What an agent has can't be seen", action="inventory-failed", agent=number, error=str(wrong))
            elif agent is not None and self._is_asked(agent):
                try:
                    self._warn(agent, elements_of(message.data))
                    await self._keep(agent, elements_of(message.data))
                    await self._judge(agent, message)
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
        for host, physical in moved(None, self._fleet, agent, elements):
            await self._commands.update("host", host.id, {"physicalHostId": physical}, actor)
        for host, underlay in found_elsewhere(None, self._fleet, agent, elements):
            await self._commands.carry_out(partial(_note, host, underlay), actor, about=host)

    def _warn(self, agent: Resource, elements: list[Json]) -> None:
        """Two agents at one engine: the host is the first one's, and the second is told, at its next ping, a moment later."""
        known = (self._fleet.by_uuid("host", each["uuid"]) for each in elements if each["type"] == "host")
        taken = ((host, self._fleet.get("agent", host.row.get("agentId"))) for host in known if host is not None and not host.removed)
        others = [(host, owner) for host, owner in taken if owner is not None and not owner.removed and owner.id != agent.id]
        if not others:
            self._warnings.pop(agent.id, None)
            return
        (host, owner), *_ = others
        warning = (
            f"Agent {agent.name} is at the engine of {host.name}, which is agent {owner.name}'s: nothing is placed through it. "
            f"Stop it, or point it at another engine; or stop and remove {owner.name}, and remove {host.name}, to put it in its place"
        )
        if self._warnings.get(agent.id) != warning:
            log.warning(warning, action="engine-taken", agent=agent.id, host=host.id, owner=owner.id)
            self._warnings[agent.id] = warning
            self._due[agent.id] = 0.0

    async def _judge(self, agent: Resource, message: Message) -> None:
        held = held_in(message.data)
        if held is not None and await self.strays.judge(agent, held, self._endings.placed(agent.id)):
            self._due[agent.id] = min(self._due.get(agent.id, float("inf")), asyncio.get_running_loop().time() + AGAIN)


def _note(host: Resource, underlay: str, turn: Turn) -> str:
    turn.change(host, {"data": {UNDERLAY: underlay}})
    return host.stream

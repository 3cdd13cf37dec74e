"""Who is there: heartbeats heard over NATS, never events. What matters is appended: an agent that fell silent is reconnected.

    active --no heartbeat for 30 s (FAILED)--> agent.reconnect: reconnecting, asked to ping until it answers --> active
                                                         `--silent on (GRACE)--> noted as disconnected: people are told

What its hosts run is left alone all the while: that nobody hears of it does not end it. An operator's word does (commands.turns.dead).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from agents.wire import Presence
from commands.accepting.service import Actor, Commands
from commands.catalogue.fields import date_text
from commands.errors import Refused
from commands.logic.agent_instances import is_delegate
from commands.logic.discovery import DISCONNECTED
from commands.resource import Resource
from commands.sending.bus import Bus
from commands.turns.fleet import Fleet
from commands.turns.turn import Turn
from commands.watching.endings import Endings
from commands.watching.inventory import InventoryWatch
from commands.watching.networks import NetworkWatch
from commands.watching.silence import STALLED, Silence
from commands.watching.strays import Strays
from eventstore import StoreError, Unavailable

log = structlog.get_logger("corral.presence")

FAILED = "agent.ping.reconnect.after.failed.count"
"""The setting: after so many heartbeats that did not come an active agent is asked whether it is there (Cattle: pings)."""

GRACE = "agent.disconnected.after.seconds"
"""The setting: for so long an agent that is asked whether it is there is silent until it counts as disconnected."""

HEARTBEAT = 5.0
"""Seconds between two of them, and of Cattle's pings."""

LOOK = 1.0

LATELY = 10.0
"""Seconds within which an agent that is well was heard at least once."""


class PresenceWatch:
    """Notices agents that fall silent, and those that come back."""

    def __init__(
        self, bus: Bus, commands: Commands, fleet: Fleet, endings: Endings, *, mine: Callable[[str], bool], returned: Callable[[int], None]
    ) -> None:
        self._bus, self._commands, self._fleet = bus, commands, fleet
        self._mine, self._returned = mine, returned
        self._silence = Silence()
        self._endings = endings
        self._heard_of: dict[int, Presence] = {}
        self._asked = False
        self._news = asyncio.Event()
        self._heard_over: dict[int, int] = {}
        """Agent -> the bus's connection that it was heard over last."""
        self._inventory = InventoryWatch(bus, commands, fleet, mine, endings)
        self.networks = NetworkWatch(bus, commands, fleet, mine)
        bus.on_presence = self._heard

    def _heard(self, presence: Presence) -> None:
        if presence.leaving:
            self._silence.leaves(presence.agent)
            return
        over = self._bus.connections
        if self._silence.heard(presence.agent) or self._heard_over.get(presence.agent) != over:
            self._returned(presence.agent)
        self._heard_over[presence.agent] = over
        self.networks.heard(presence)
        if self._mine(f"agent-{presence.agent}"):
            self._heard_of[presence.agent] = presence
            self._news.set()

    @property
    def strays(self) -> Strays:
        return self._inventory.strays

    def ask(self) -> None:
        """Agents that were not heard lately are asked with the next look, and all of them what they have."""
        self._asked = True
        self._inventory.ask()

    async def run(self) -> None:
        """Watches until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._count_silence())
            group.create_task(self._compare())
            group.create_task(self._lose_hosts())
            group.create_task(self._inventory.run())
            group.create_task(self.networks.run())

    async def _compare(self) -> None:
        """Holds the newest heartbeat of each agent against the log."""
        while True:
            await self._news.wait()
            self._news.clear()
            heard, self._heard_of = self._heard_of, {}
            for presence in heard.values():
                try:
                    await self._endings.hear(presence)
                    self._inventory.hear(presence)
                except Exception:  # one heartbeat must not end the engine for all others
                    log.exception("A heartbeat can't be held against the log", action="heartbeat-failed", agent=presence.agent)

    async def _lose_hosts(self) -> None:
        """What runs on a host that was removed, or declared dead, is followed up without a heartbeat: there is nobody left to send one."""
        while True:
            await asyncio.sleep(LOOK)
            for host in self._fleet.lost_hosts():
                if self._mine(host.stream):
                    with contextlib.suppress(Unavailable):
                        await self._endings.lose(host)

    async def _count_silence(self) -> None:
        """Only while there is somebody to hear, and nothing was missed: else all is silence, and says nothing."""
        loop, over = asyncio.get_running_loop(), self._bus.connections
        while True:
            before = loop.time()
            await asyncio.sleep(LOOK)
            late = loop.time() - before - LOOK
            was_over, over = over, self._bus.connections
            if not self._bus.connected or over != was_over or late > STALLED:
                if late > STALLED:
                    log.warning("This server stood still: it listens anew before it misses anybody", action="stalled", seconds=late)
                self._silence.begin_anew()
                continue
            agents = {each.id: each for each in self._fleet.all("agent") if not is_delegate(each)}  # a delegate is reached through another
            mine = {number for number, each in agents.items() if self._mine(each.stream)}
            self._silence.listened(LOOK, agents, mine)
            patience = LATELY if self._asked else self._commands.settings[FAILED] * HEARTBEAT
            self._asked = False
            for number in mine:
                await self._look_at(agents[number], self._silence.of(number), patience)

    async def _look_at(self, agent: Resource, silent: float, patience: float) -> None:
        if agent.state == "active" and silent >= patience:
            self._silence.asked(agent.id)
            log.warning("An agent is silent; it is asked whether it is there", action="agent-silent", agent=agent.id)
            try:
                await self._commands.run("agent", agent.id, "reconnect", {}, Actor(correlation=f"corral:silent-agent-{agent.id}"))
            except (Refused, Unavailable) as error:
                log.warning("An agent can't be reconnected", action="reconnect-failed", agent=agent.id, error=str(error))
        elif agent.state == "reconnecting" and silent >= self._commands.settings[GRACE] and not agent.data.get(DISCONNECTED):
            await self._note_disconnected(agent)

    async def _note_disconnected(self, agent: Resource) -> None:
        """For people to see; nothing else follows from it."""
        log.warning(
            "An agent is disconnected; what its hosts run is left alone. If they are gone for good: corral declare-dead HOST",
            action="agent-disconnected", agent=agent.id,
        )  # fmt: skip

        def note(turn: Turn) -> str:
            turn.merge(agent.stream, {"+data": {DISCONNECTED: date_text(turn.now)}})
            return agent.stream

        try:
            await self._commands.carry_out(note, Actor(correlation=f"corral:disconnected-agent-{agent.id}"), about=agent)
        except (Refused, StoreError) as error:  # it may have come back in this moment; else the next look notes it
            log.info("An agent can't be noted as disconnected", action="disconnected-failed", agent=agent.id, error=str(error))

"""Who is there: heartbeats heard over NATS, never events. What matters is appended: an agent that fell silent is reconnected.

    active --no heartbeat for 30 s (FAILED)--> agent.reconnect: reconnecting, asked to ping until it answers --> active
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from agents.wire import Presence
from commands.accepting.service import Actor, Commands
from commands.errors import Refused
from commands.logic.agent_instances import is_delegate
from commands.sending.bus import Bus
from commands.turns.fleet import Fleet
from commands.watching.endings import Endings
from commands.watching.inventory import InventoryWatch
from commands.watching.networks import NetworkWatch
from commands.watching.strays import Strays
from eventstore import Unavailable

log = structlog.get_logger("corral.presence")

FAILED = "agent.ping.reconnect.after.failed.count"
"""The setting: after so many heartbeats that did not come an active agent is asked whether it is there (Cattle: pings)."""

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
        self._silence: dict[int, float] = {}
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
            self._silence[presence.agent] = float("inf")
            return
        over = self._bus.connections
        if self._silence.get(presence.agent, LOOK) != 0.0 or self._heard_over.get(presence.agent) != over:
            self._returned(presence.agent)
        self._heard_over[presence.agent] = over
        self.networks.heard(presence)
        self._silence[presence.agent] = 0.0
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
        """What runs on a host that was removed is followed up without a heartbeat: there is nobody left to send one."""
        while True:
            await asyncio.sleep(LOOK)
            for host in self._fleet.lost_hosts():
                if self._mine(host.stream):
                    with contextlib.suppress(Unavailable):
                        await self._endings.lose(host)

    async def _count_silence(self) -> None:
        """Only while NATS is there to be heard over."""
        while True:
            await asyncio.sleep(LOOK)
            if not self._bus.connected:
                continue
            patience = LATELY if self._asked else self._commands.settings[FAILED] * HEARTBEAT
            self._asked = False
            for agent in list(self._fleet.all("agent")):
                silent = self._silence[agent.id] = self._silence.get(agent.id, 0.0) + LOOK
                if silent < patience or agent.state != "active" or not self._mine(agent.stream):
                    continue
                if is_delegate(agent):  # it has no heartbeat of its own: it is reached through the agent of its host
                    continue
                self._silence[agent.id] = LOOK
                log.warning("An agent is silent; it is asked whether it is there", action="agent-silent", agent=agent.id)
                try:
                    await self._commands.run("agent", agent.id, "reconnect", {}, Actor(correlation=f"corral:silent-agent-{agent.id}"))
                except (Refused, Unavailable) as error:
                    log.warning("An agent can't be reconnected", action="reconnect-failed", agent=agent.id, error=str(error))

"""Instances that end by themselves: what heartbeats say runs, held against what the log says. What follows is the instance's own to say.

    running in the log, and missing in two heartbeats since --> instance.restart with haRestart --instanceTriggeredStop--> stopped,
                                                                                                removed, or running again
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from agents.wire import Presence
from commands.accepting.service import Actor, Commands
from commands.errors import Refused
from commands.logic.placement import scope
from commands.resource import Resource, fold
from commands.turns.fleet import DEAD, Fleet
from eventstore import Recorded, Unavailable

log = structlog.get_logger("corral.endings")

RUNNING, REMOVED = "running", "removed"

CLOCK_JUMP = 60_000
"""Milliseconds: a heartbeat that is older than that tells of a clock that was set back."""

SETTLED = 10.0
"""Seconds by which a heartbeat must be younger than the instance's last event, by the clocks of both, to say anything about it: one that
was told before the start may arrive after it, late or twice."""

MOST_AT_ONCE = 64
"""Instances looked up, or found ended, by one heartbeat."""


@dataclass(frozen=True, slots=True)
class Known:
    """An instance as far as this matters."""

    uuid: str
    state: str
    position: int
    at: datetime


class Endings:
    """Held against each heartbeat of the agents that are this engine's."""

    def __init__(self, commands: Commands, fleet: Fleet) -> None:
        self._commands, self._fleet = commands, fleet
        self._known: dict[str, Known] = {}
        self._missed: dict[str, int] = {}
        """Stream -> its position when a heartbeat missed it first."""
        self._heard: dict[int, int] = {}
        """Agent -> the time of its newest heartbeat."""

    def follow(self, event: Recorded) -> None:
        """Keeps what is known of an instance up to date; one that is asked for first later is read then."""
        if not event.stream.startswith("instance-"):
            return
        known = self._known.get(event.stream)
        if event.version == 1:
            changes = event.data.get("changes") or {}
            self._known[event.stream] = Known(changes.get("uuid", ""), changes.get("state", ""), event.position, event.at)
        elif known is not None and known.position < event.position:
            moved = event.data.get("to") or event.data.get("via") if event.data.get("field") == "state" else None
            state = moved if isinstance(moved, str) else known.state
            self._known[event.stream] = replace(known, state=state, position=event.position, at=event.at)
            if state == "purged":
                del self._known[event.stream]

    async def hear(self, presence: Presence) -> None:
        """One heartbeat at a time."""
        before = self._heard.get(presence.agent, 0)
        if presence.leaving or presence.trouble or before - CLOCK_JUMP < presence.time <= before:  # the same again, or an older one
            return
        self._heard[presence.agent] = presence.time
        try:
            await self._compare(presence)
        except Unavailable:
            self._missed.clear()  # nothing can be concluded from before an outage

    async def _compare(self, presence: Presence) -> None:
        told = datetime.fromtimestamp(presence.time / 1000, UTC)
        there = {uuid for uuid, state in presence.instances.items() if state == RUNNING}
        placed = self._placed(presence.agent)
        await self._learn(placed)
        ended: list[str] = []
        for stream in placed:
            known = self._known.get(stream)
            if known is None or known.state != RUNNING or known.uuid in there:
                self._missed.pop(stream, None)
            elif (told - known.at).total_seconds() < SETTLED:
                continue
            elif self._missed.get(stream) == known.position:
                ended.append(stream)
            else:
                self._missed[stream] = known.position  # the next one has to miss it, too
        for stream in ended[:MOST_AT_ONCE]:
            reason = f"it ended by itself: agent {presence.agent} does not see it run any more"
            await self._end(stream, self._missed.pop(stream), reason)

    def placed(self, agent: int) -> set[str]:
        """The uuids of instances that have their place at the agent, and are not removed, as far as they are known."""
        known = (self._known.get(stream) for stream in self._placed(agent))
        return {each.uuid for each in known if each is not None and each.state != REMOVED}

    def _placed(self, agent: int) -> list[str]:
        return [stream for host in self._fleet.having("host", "agentId", agent) for stream in self._fleet.holders(scope(host))]

    async def _learn(self, streams: Iterable[str]) -> None:
        """Those that are not known yet."""
        unknown = [stream for stream in streams if stream not in self._known]
        await asyncio.gather(*(self._read(stream) for stream in unknown[:MOST_AT_ONCE]))

    async def _read(self, stream: str) -> None:
        recorded = await self._commands.store.read(stream)
        instance = fold(stream, recorded)
        if recorded and stream not in self._known:
            self._known[stream] = Known(instance.row.get("uuid", ""), instance.state, instance.position, recorded[-1].at)

    async def lose(self, host: Resource) -> None:
        """Whoever removes a host, or declares it dead, says that nothing there is waited for any more. Raises Unavailable."""
        placed = self._fleet.holders(scope(host))
        await self._learn(placed)
        running = [stream for stream in placed if stream in self._known and self._known[stream].state == RUNNING]
        for stream in running[:MOST_AT_ONCE]:
            what = "removed" if host.removed else f"declared dead: {host.data.get(DEAD)}"
            reason = f"it ended with its host: {host.stream.replace('-', ' ')} was {what}"
            await self._end(stream, self._known[stream].position, reason, leaves=True)

    async def _end(self, stream: str, position: int, reason: str, *, leaves: bool = False) -> None:
        log.warning("An instance ended by itself", action="instance-ended", stream=stream, reason=reason)
        try:
            actor = Actor(correlation=f"corral:ended-{stream}")
            await self._commands.ended(int(stream.rpartition("-")[2]), reason, position, actor, leaves=leaves)
        except Refused as error:
            log.warning("What ended by itself can't be followed up", action="ending-refused", stream=stream, error=str(error))

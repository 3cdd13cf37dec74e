"""Tells agents what their hosts have to know of networks: who else takes part, and where each instance is.

    the log: an instance comes, moves, goes --> its root is read --> documents (commands.logic.segments) --> network.apply to each
    agent, ours, whose document has changed, until its answer or a heartbeat says that it has this one

Each is told all that concerns it, every time: whatever was lost is made good by the next. The position of the log that a document was
made at tells agents the newer one, also of two engines. Nothing of this is an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from agents.wire import NETWORK_APPLY, SPANNING, Message, Presence
from commands.accepting.service import Commands
from commands.logic.addresses import scope
from commands.logic.segments import Documents, Member, member
from commands.resource import Json, Resource, split_stream
from commands.sending.bus import Bus
from commands.sending.questions import Questions
from commands.snapshots import form, resumed
from commands.turns.answers import error_of
from commands.turns.fleet import Fleet
from commands.turns.world import World
from eventstore import Recorded, Unavailable

log = structlog.get_logger("corral.networks")

GATHER = 0.05
"""Seconds for which changes are gathered at least: a start is several appends."""

SHARE = 5.0
"""Making documents takes at most one part in so many of the time."""

TICK = 0.25

AGAIN, MOST_AGAIN = 1.0, 15.0
"""Seconds after which an agent is told again that did not answer."""

AT_ONCE = 256
"""Roots in one query, and addresses that are looked up at the same time."""

PARTS = frozenset({"instance", "nic", "ipAddress", "ipAddressNicMap", "instanceHostMap", "instanceLink"})
"""Of an instance's root: what its place on a network is told by."""

SHARED = frozenset({"network", "subnet", "host"})
"""Of the fleet."""


@dataclass(slots=True)
class _Agent:
    """`has`: the version that it has in force, as far as is known. `told`: the version that it was told last."""

    has: str
    told: str = ""
    next: float = 0.0
    pause: float = AGAIN


class NetworkWatch:
    """Of one engine; `mine` says whose agents it tells. `run` as a task."""

    def __init__(self, bus: Bus, commands: Commands, fleet: Fleet, mine: Callable[[str], bool]) -> None:
        self._bus, self._commands, self._fleet, self._mine = bus, commands, fleet, mine
        self._members: dict[str, Member] = {}
        """Root -> instance."""
        self._dirty: set[str] = set()
        """Roots to be read."""
        self._changed = True
        self._begun = False
        """Whether any agent takes part: before that nothing is kept, and nothing read."""
        self._news = asyncio.Event()
        self._agents: dict[int, _Agent] = {}
        """Those that take part, by what heartbeats say."""
        self._making = Documents()
        self._documents: Mapping[int, Json] = {}
        self._position = 0
        self._questions = Questions(bus, commands.catalogue, MOST_AGAIN)

    def follow(self, event: Recorded) -> None:
        """The log's next event. Roots without a nic are none of this one's business."""
        if not self._begun:
            return
        kind, _ = split_stream(event.stream)
        if kind in PARTS and (event.root in self._members or event.root in self._dirty or kind == "nic"):
            self._dirty.add(event.root)
        elif kind not in SHARED:
            return
        else:
            self._changed = True
        self._news.set()

    def heard(self, presence: Presence) -> None:
        """A heartbeat: what its agent has."""
        if presence.networks is None:
            self._agents.pop(presence.agent, None)
            return
        self._begun = True
        known = self._agents.get(presence.agent)
        if known is None or known.has != presence.networks:
            self._agents[presence.agent] = _Agent(presence.networks)
            self._news.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_track())
            group.create_task(self._tell_again())

    async def _keep_track(self) -> None:
        found = False
        while True:
            await self._news.wait()
            self._news.clear()
            began = asyncio.get_running_loop().time()
            try:
                found = found or await self._find_all()
                await self._look()
            except Unavailable:
                self._later()
            except Exception:  # what is told of networks must not end the engine
                log.exception("What changed on networks can't be told", action="networks-broke")
                self._later()
            await asyncio.sleep(max(GATHER, SHARE * (asyncio.get_running_loop().time() - began)))

    def _later(self) -> None:
        asyncio.get_running_loop().call_later(AGAIN, self._news.set)

    async def _find_all(self) -> bool:
        """True; who has an address on a network that spans hosts, as this engine begins. (Who takes one since is followed.)"""
        subnets = (each for network in self._fleet.all("network") if network.kind == SPANNING for each in self._of(network))
        holders = [stream for each in subnets for stream in self._fleet.held_by(scope(each.id))]
        for first in range(0, len(holders), AT_ONCE):
            found = await asyncio.gather(*(self._root_of(stream) for stream in holders[first : first + AT_ONCE]))
            self._dirty.update(root for root in found if root)
        return True

    def _of(self, network: Resource) -> list[Resource]:
        return self._fleet.having("subnet", "networkId", network.id)

    async def _root_of(self, stream: str) -> str:
        found = resumed(await self._commands.store.resume(stream, form())).get(stream)
        return found.root if found is not None else ""

    async def _look(self) -> None:
        position = self._fleet.followed
        dirty, self._dirty = self._dirty, set()
        try:
            await self._read(dirty)
        except BaseException:
            self._dirty |= dirty
            raise
        if self._changed:
            self._changed = False
            self._documents = self._making.made(self._fleet, self._members.values())
        self._position = position
        await self._tell()

    async def _read(self, roots: set[str]) -> None:
        wanted = sorted(roots)
        for first in range(0, len(wanted), AT_ONCE):
            part = wanted[first : first + AT_ONCE]
            resources = resumed(await self._commands.store.resume_roots(part, form()))
            by_root: dict[str, dict[str, Resource]] = {root: {} for root in part}
            for stream, each in resources.items():
                by_root.setdefault(each.root, {})[stream] = each
            for root in part:
                self._take(root, member(World(self._commands.catalogue, by_root[root], self._fleet), root))

    def _take(self, root: str, now: Member | None) -> None:
        if self._members.get(root) == now:
            return
        self._changed = True
        if now is None:
            del self._members[root]
        else:
            self._members[root] = now

    async def _tell_again(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            await self._tell()

    async def _tell(self) -> None:
        """All that lack what is in force by now, and were not told it just before."""
        if not self._bus.connected or not self._position:
            return
        now = asyncio.get_running_loop().time()
        for number, agent in list(self._agents.items()):
            document = self._documents.get(number, NOTHING)
            if agent.has == document["version"]:
                continue
            if agent.told != document["version"]:
                agent.next, agent.pause = 0.0, AGAIN
            if agent.next <= now and (told := self._to_tell(number)) is not None:
                agent.told, agent.next, agent.pause = document["version"], now + agent.pause, min(MOST_AGAIN, 2 * agent.pause)
                await self._send(told, document)

    def _to_tell(self, number: int) -> Resource | None:
        """An agent that hears, and is this engine's to tell."""
        agent = self._fleet.get("agent", number)
        return agent if agent is not None and agent.state == "active" and self._mine(agent.stream) else None

    async def _send(self, agent: Resource, document: Json) -> None:
        log.info("An agent is told of networks", action="network-apply", agent=agent.id, segments=len(document["segments"]))
        data = {**document, "position": self._position}
        await self._questions.ask(agent, NETWORK_APPLY, data, partial(self._answered, agent.id, document["version"]))

    def _answered(self, number: int, version: str, answer: Message) -> None:
        agent = self._agents.get(number)
        wrong = error_of(answer, NETWORK_APPLY) or answer.data.get("trouble")
        if wrong:
            log.warning("An agent can't put a network into force", action="network-trouble", agent=number, error=str(wrong))
        if agent is not None and answer.data.get("version") == version:
            agent.has = version


NOTHING: Json = {"version": "", "segments": []}

"""What is on a host under this cloud's label and should not be, by the log: found by inventories, told, and ended where that is safe.

    in an agent's inventory, without a place there --> once more in its next one --> a stray: told, counted
        left        its instance lives on elsewhere, or has no place --> stopped at once: no instance runs twice
        removed     its instance is removed in the log               `
        unknown     no instance of the log has its uuid               > removed, where the setting says so (REMOVE)
                    (and what was left, once it is stopped)          /
        unlabelled  it does not say whose it is --> left alone, always; so is what says that it is another cloud's, and is not told

What is sent carries the position of the log at which it was judged as its epoch: a start that came later is not undone by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import Literal

import structlog

from agents.wire import Message
from commands.accepting.service import Commands
from commands.cloud import cloud_of
from commands.resource import Json, Resource
from commands.sending.questions import Questions
from commands.snapshots import form, resumed
from commands.turns.answers import error_of
from commands.turns.fleet import Fleet
from commands.turns.unanswered import asked_of

log = structlog.get_logger("corral.strays")

REMOVE = "host.strays.remove"
"""The setting."""

MOST_AT_ONCE = 64
"""Of one inventory, so many are looked up; the next ones have the others' turn."""

MOST_TOLD = 100
"""In an engine's vitals."""

RUNNING = "running"

What = Literal["left", "removed", "unknown", "unlabelled"]


@dataclass(frozen=True, slots=True)
class Held:
    """An instance as an agent's inventory tells of it."""

    uuid: str
    state: str
    kind: str
    """The driver's."""
    epoch: int
    cloud: str | None


@dataclass(frozen=True, slots=True)
class Stray:
    agent: int
    held: Held
    what: What
    stream: str | None
    """Its instance's."""
    position: int
    """Of the log, when that was so."""

    def told(self) -> Json:
        held = self.held
        return {
            "agent": f"a{self.agent}", "uuid": held.uuid, "state": held.state, "kind": held.kind, "epoch": held.epoch, "what": self.what,
            "stream": self.stream,
        }  # fmt: skip


class Strays:
    """Those of an engine's agents."""

    def __init__(self, commands: Commands, fleet: Fleet, questions: Questions) -> None:
        self._commands, self._fleet, self._questions = commands, fleet, questions
        self._once: dict[int, dict[str, Stray]] = {}
        """Agent -> what one inventory told of, and the one before did not."""
        self._found: dict[int, dict[str, Stray]] = {}
        """Both in the order in which they were judged last."""
        self._foreign: dict[int, frozenset[str]] = {}
        """Agent -> what there is of other clouds."""
        self.ended: Counter[str] = Counter()
        """stopped, removed -> how often an agent was told to."""

    def all(self) -> list[Stray]:
        return [each for found in self._found.values() for each in found.values()]

    def count(self) -> Mapping[str, int]:
        return Counter(each.what for each in self.all())

    def told(self) -> list[Json]:
        return [each.told() for each in self.all()[:MOST_TOLD]]

    def keep(self, agents: Mapping[int, Resource]) -> None:
        """Of other agents nothing is known any more: another engine asks them, or nobody."""
        for known in (self._once, self._found, self._foreign):
            for agent in [agent for agent in known if agent not in agents]:
                del known[agent]

    def has_seen(self, agent: int, uuids: set[str]) -> bool:
        """Whether all of these were judged to have no place at the agent, or to be none of this cloud's."""
        seen = self._foreign.get(agent, frozenset()).union(self._found.get(agent, ()), self._once.get(agent, ()))
        return uuids <= seen

    async def judge(self, agent: Resource, held: list[Held], placed: set[str]) -> bool:
        """`placed`: the uuids of those that surely have a place there. -> whether it is worth asking again soon. Raises StoreError."""
        own = cloud_of(self._fleet)
        others = [each for each in held if each.uuid not in placed]
        self._foreign[agent.id] = frozenset(each.uuid for each in others if each.cloud is not None and each.cloud != own)
        candidates = [each for each in others if each.uuid not in self._foreign[agent.id]]
        once, before = self._once.get(agent.id, {}), self._found.get(agent.id, {})
        turn = {uuid: number for number, uuid in enumerate((*once, *before), 1)}
        candidates.sort(key=lambda each: (turn.get(each.uuid, 0), each.uuid))  # the new ones first, then who was not judged for longest
        judged = [await self._judge(agent, each) for each in candidates[:MOST_AT_ONCE]]
        strays = {each.held.uuid: each for each in judged if each is not None}
        waiting = {each.uuid for each in candidates[MOST_AT_ONCE:]}  # what is known of them stands until it is their turn
        found = {uuid: each for uuid, each in strays.items() if uuid in turn}
        self._found[agent.id] = _those(before, waiting) | found
        self._once[agent.id] = _those(once, waiting) | {uuid: each for uuid, each in strays.items() if uuid not in turn}
        for each in found.values():
            if each.held.uuid not in before or before[each.held.uuid].what != each.what:
                log.warning("A host has an instance that has no place there", action="stray", **each.told())
            await self._end(agent, each)
        return bool(self._once[agent.id])

    async def _judge(self, agent: Resource, held: Held) -> Stray | None:
        """None: it belongs there, or somebody is at it."""
        store = self._commands.store
        position = await store.head()  # what is read after this is at least as new
        stream = await store.holder("instance.uuid", held.uuid)
        stray = Stray(agent.id, held, "unknown", stream, position)
        if stream is not None:
            resources = resumed(await store.resume_root(stream, form()))
            removed = resources[stream].removed
            if self._is_awaited(agent.id, resources) or self._has_place(agent.id, resources, runs=held.state == RUNNING, removed=removed):
                return None
            stray = replace(stray, what="removed" if removed else "left")
        return replace(stray, what="unlabelled") if held.cloud is None else stray

    def _is_awaited(self, agent: int, resources: Mapping[str, Resource]) -> bool:
        """Whether the agent is asked for something about it just now."""
        return any(asked.agent == agent for each in resources.values() for _, _, asked in asked_of(each))

    def _has_place(self, agent: int, resources: Mapping[str, Resource], *, runs: bool, removed: bool) -> bool:
        """What does not run may lie there as long as its volume is there: it may be started again, or restored. What is removed may run
        only where its map is active still (it was removed by force, and what it left is being undone)."""
        places = {"instanceHostMap": "hostId", **({} if runs else {"volumeStoragePoolMap": "storagePoolId"})}
        present = [each for each in resources.values() if each.type in places and not each.removed]
        if runs and removed:
            present = [each for each in present if each.state != "inactive"]
        there = (self._fleet.get(places[each.type].removesuffix("Id"), each.row.get(places[each.type])) for each in present)
        return any(each is not None and each.row.get("agentId") == agent for each in there)

    async def _end(self, agent: Resource, stray: Stray) -> None:
        """Every inventory that still has it leads to another try."""
        if stray.what == "unlabelled":
            return
        if self._commands.settings[REMOVE]:
            command, how = "compute.instance.remove", "removed"
        elif stray.what == "left" and stray.held.state == RUNNING:
            command, how = "compute.instance.deactivate", "stopped"
        else:
            return
        instance = {"type": "instance", "uuid": stray.held.uuid, "data": {"fields": {}}}
        data = {"instanceHostMap": {"type": "instanceHostMap", "host": {"type": "host", "kind": stray.held.kind}, "instance": instance}}
        context = {
            "epoch": stray.position, "cloud": stray.held.cloud, "stream": agent.stream, "correlation": f"corral:stray-{stray.held.uuid}",
        }  # fmt: skip
        self.ended[how] += 1
        log.warning(f"An instance that has no place on its host is {how}", action=f"stray-{how}", **stray.told())
        await self._questions.ask(agent, command, data, lambda answer: _tell(stray, command, answer), context)


def held_in(reply: Json) -> list[Held] | None:
    """The instances that an answer to a ping tells of; None: it does not tell what there is."""
    options = reply.get("options")
    if not isinstance(options, dict) or options.get("instances") is not True:
        return None
    elements = [each for each in reply.get("resources") or () if isinstance(each, dict) and each.get("type") == "instance"]
    return [_held(each) for each in elements if isinstance(each.get("uuid"), str) and each["uuid"]]


def _those(strays: Mapping[str, Stray], uuids: Set[str]) -> dict[str, Stray]:
    return {uuid: each for uuid, each in strays.items() if uuid in uuids}


def _held(element: Json) -> Held:
    cloud, epoch = element.get("cloud"), element.get("epoch")
    return Held(
        element["uuid"], str(element.get("state") or RUNNING), str(element.get("kind") or ""), epoch if isinstance(epoch, int) else 0,
        cloud if isinstance(cloud, str) and cloud else None,
    )  # fmt: skip


def _tell(stray: Stray, command: str, answer: Message) -> None:
    if (answer.context or {}).get("stale"):
        log.info("An instance without a place has one by now", action="stray-stale", **stray.told())
    elif (wrong := error_of(answer, command)) is not None:
        log.warning("An instance without a place can't be ended", action="stray-failed", error=wrong, **stray.told())

"""What must always hold, checked at every append and every change of a box; and what must hold once all is calm (promises_at_rest)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agents.driver import RUNNING
from agents.wire import Message
from commands import events
from commands.catalogue.builtin import CATALOGUE
from commands.logic.keeping import OWED
from commands.resource import Open, Resource, empty, evolve
from commands.turns import purges
from commands.turns.fleet import Fleet
from commands.turns.purges import FORCED
from commands.turns.world import World
from eventstore import Claim, Recorded
from eventstore.memory import MemoryStore
from tests.simulation import sealed
from tests.simulation.broken import Broken
from tests.simulation.database import Landed
from tests.simulation.hosts import REMOVED, Machine
from tests.simulation.in_force import InForce

STOPPING_VERBS = frozenset({
    "stop", "restart", "remove", "delete", "purge", "deactivate", "create", "start", "restore", "cancel", "retry", "force-remove",
    "migrate", "dead",
})  # fmt: skip
"""Commands that may end a container: those that say so, and those whose failure is undone (create, start)."""


@dataclass(slots=True)
class Share:
    """A claim as the log has it."""

    holder: str
    claim: Claim


class Promises:
    """Folds the log by itself, as it grows, and looks at every step."""

    def __init__(self, store: MemoryStore, machines: list[Machine]) -> None:
        self.store, self.machines = store, machines
        self.log: list[Recorded] = []
        self.resources: dict[str, Resource] = {}
        self.roots: dict[str, set[str]] = {}
        self.handlers = InForce(self.resources)
        self.claims: dict[tuple[str, str], Share] = {}
        self.used: dict[str, int] = {}
        self.issued: dict[str, str] = {}
        """Correlation -> verb, of the commands that clients gave."""
        self.landed_keys: dict[str, int] = {}
        """Idempotency key -> the position at which it landed."""
        self._begun: dict[str, str] = {}
        """pid -> the id of the event that began it."""
        self._caused: set[str] = set()
        """Events whose chain of causes is known to end in a command or an observation."""
        self._failed: set[str] = set()
        """Correlations in which something failed: what follows may be its undoing."""
        self._newest: dict[tuple[str, str], tuple[int, str]] = {}
        """(machine, instance) -> the newest epoch that was carried out there, and by what."""
        self.ghosts: set[tuple[str, str]] = set()
        """(machine, instance): boxes that came back by themselves after they were removed, and that nobody has ended since."""
        self.ended: set[str] = set()
        """Instances whose box ended by itself at some time."""
        self._requested: dict[str, str] = {}
        """Command id -> the event that asks for it."""
        self.errors: set[tuple[int, str]] = set()
        """(agent, command) that some machine answered with an error."""

    # --- at every append ---

    def landed(self, what: Landed) -> None:
        if what.lease is not None:
            term = self.store._leases.get(what.lease.name)
            if term is None or term.lease != what.lease:
                raise Broken(f"{what.by.name} appended under {what.lease}, but it is {term.lease if term else 'nobody'}'s now")
        if what.command is not None:
            if what.command.key in self.landed_keys:
                raise Broken(f"the command {what.command.key} is in the log twice")
            self.landed_keys[what.command.key] = what.last
        touched: dict[str, None] = {}
        for event in what.recorded:
            self._take(event)
            touched[event.root] = None
        self._check_causes(what.recorded)
        for root in touched:
            self._check_work(root)

    def _take(self, event: Recorded) -> None:
        present = self.resources.get(event.stream) or empty(event.stream)
        if event.type == events.STEP_FAILED:
            self._check_error(present, event)
        elif event.type == events.STEP_SUCCEEDED:
            self._check_gone(present, event)
        if event.position != len(self.log) + 1:
            raise Broken(f"position {event.position} follows {len(self.log)}")
        if event.version != present.version + 1:
            raise Broken(f"{event.id} follows version {present.version}")
        sealed.is_kept(event)
        self._check_handlers(present, event)
        self.log.append(event)
        self.resources[event.stream] = evolve(present, event)
        self.handlers.take(event)
        self.roots.setdefault(event.root, set()).add(event.stream)
        for release in event.releases:
            self._release(event.stream, (release.scope, release.item))
        for claim in event.claims:
            self._claim(event.stream, claim)

    def _check_error(self, present: Resource, event: Recorded) -> None:
        """Silence is not failure: there is no error in the log that no agent told."""
        for asked in (each for bracket in present.open.values() for each in bracket.asked.values()):
            if asked.id == event.data["id"] and asked.command != "ping" and (asked.agent, asked.command) not in self.errors:
                raise Broken(f"{event.id} says that {asked.command} failed, and agent {asked.agent} never said so: {event.data['error']}")

    def _check_gone(self, present: Resource, event: Recorded) -> None:
        """What the log says is removed is gone, unless a newer command came to it since."""
        for asked in (each for bracket in present.open.values() for each in bracket.asked.values()):
            if asked.id != event.data["id"] or asked.command != "compute.instance.remove":
                continue
            uuid = self.resources[f"instance-{present.row['instanceId']}"].row["uuid"]
            [machine] = (each for each in self.machines if each.number == asked.agent)
            box = machine.boxes.get(uuid)
            if box is not None and box.state != REMOVED and self._newest[machine.name, uuid][0] <= asked.epoch:
                raise Broken(f"{event.id} says that {asked.command} is done, and {machine.name} has a box of {uuid} that is {box.state}")

    def _check_handlers(self, present: Resource, event: Recorded) -> None:
        bracket = next((each for each in present.open.values() if each.pid == event.data.get("pid")), None)
        if bracket is None:
            return
        if event.data.get("handler"):
            self.handlers.asked(event, bracket, self._horizon(event.root, bracket))
        elif event.type == events.PROCESS_SUCCEEDED:
            self.handlers.ended(event, bracket, self._horizon(event.root, bracket))

    def _horizon(self, root: str, bracket: Open) -> int:
        """The position as of which the tree of processes that it is in minds handlers."""
        open_here = {each.pid: each for stream in self.roots[root] for each in self.resources[stream].open.values()}
        while bracket.parent in open_here:
            bracket = open_here[bracket.parent]
        return bracket.horizon

    def _release(self, stream: str, key: tuple[str, str]) -> None:
        share = self.claims.get(key)
        if share is not None and share.holder == stream:
            del self.claims[key]
            self.used[key[0]] = self.used.get(key[0], 0) - share.claim.amount

    def _claim(self, stream: str, claim: Claim) -> None:
        key = (claim.scope, claim.item)
        present = self.claims.get(key)
        if present is not None:
            if present.holder != stream:
                raise Broken(f"{stream} claims {key}, which {present.holder} holds")
            return
        self.claims[key] = Share(stream, claim)
        used = self.used[claim.scope] = self.used.get(claim.scope, 0) + claim.amount
        if claim.limit is not None and used > claim.limit:
            raise Broken(f"{claim.scope} is over its limit with {stream}: {used} of {claim.limit}")

    def _check_causes(self, recorded: list[Recorded]) -> None:
        """Each has one, in the log or in the same append, and the chain ends with somebody who wanted it."""
        waiting: dict[str, str] = {}
        for event in recorded:
            if event.type == events.PROCESS_STARTED:
                self._begun.setdefault(event.data["pid"], event.id)
            elif event.type == events.STEP_REQUESTED:
                self._requested[event.data["id"]] = event.id
            if event.type in (events.PROCESS_FAILED, events.STEP_FAILED):
                self._failed.add(event.metadata.get("correlation", ""))
            cause = self._cause_of(event)
            if cause is None:
                if not self._is_wanted(event.metadata.get("correlation", "")):
                    raise Broken(f"{event.id} ({event.type} {event.data}) has no cause: {event.metadata}")
                self._caused.add(event.id)
            elif cause in self._caused:
                self._caused.add(event.id)
            else:
                waiting[event.id] = cause
        while found := [each for each, cause in waiting.items() if cause in self._caused]:
            for each in found:
                self._caused.add(each)
                del waiting[each]
        if waiting:
            raise Broken(f"caused by what is not in the log: {waiting}")

    def _cause_of(self, event: Recorded) -> str | None:
        """The event that it names, or else what asked for it, or the beginning of the process that it belongs to."""
        named: str | None = event.metadata.get("causation") or (self._requested.get(event.data["id"]) if event.data.get("late") else None)
        begun = self._begun.get(event.metadata.get("pid", ""))
        return named or (begun if begun != event.id else None)

    def _is_wanted(self, correlation: str) -> bool:
        return correlation in self.issued or correlation.startswith("corral:")

    def _check_work(self, root: str) -> None:
        """What has something under way, or a purge before it, has a row from which any engine goes on."""
        if root in self.store._work:
            return
        mine = World(CATALOGUE, {stream: self.resources[stream] for stream in self.roots[root]}, Fleet())
        for stream, each in mine.resources.items():
            if each.open:
                raise Broken(f"{stream} has {processes(each)} under way, and its root {root} has no work row: after a crash nobody goes on")
            if purges.next_due(mine, [each]):
                raise Broken(f"{stream} is to be purged, and its root {root} has no work row")

    # --- at every change of a box ---

    def acts(self, machine: Machine, request: Message, uuid: str, state: str) -> None:
        context = request.context or {}
        epoch = request.epoch
        known, last = self._newest.get((machine.name, uuid), (0, ""))
        if epoch < known and not request.name == last == "storage.volume.remove":  # a root volume leaves each of its pools
            raise Broken(f"{machine.name} does {request.name} of epoch {epoch} for {uuid}, after one of epoch {known}")
        self._newest[machine.name, uuid] = max((epoch, request.name), (known, last))
        ghost = (machine.name, uuid) in self.ghosts
        if state == REMOVED or context.get("correlation") != f"corral:stray-{uuid}":  # what is stopped there lies there still
            self.ghosts.discard((machine.name, uuid))
        if state == RUNNING:
            others = (each for each in self.machines if each is not machine and (each.name, uuid) not in self.ghosts)
            elsewhere = [each.name for each in others if _runs(each, uuid) and not self._given_up(each, uuid)]
            if elsewhere:
                raise Broken(f"{uuid} starts on {machine.name} while it runs on {elsewhere}")
        elif _runs(machine, uuid):
            correlation = context.get("correlation") or ""
            if correlation == f"corral:stray-{uuid}":
                if not ghost:
                    raise Broken(f"{machine.name} ends {uuid} for having no place, as of {epoch}, and it has one")
                return
            wanted = self.issued.get(correlation) in STOPPING_VERBS or correlation.startswith(("corral:purge-", "corral:rest-"))
            undoes = self._undoes(epoch)
            wanted = wanted or (uuid in self.ended and correlation.startswith("corral:ended-")) or undoes
            if not wanted:
                raise Broken(f"{machine.name} ends {uuid} by {request.name}, and nobody wanted that: {correlation or 'no correlation'}")
            forced = "forced" in self.resources[self.log[epoch - 1].stream].row["data"]
            if self.issued.get(correlation) in ("create", "start") and correlation not in self._failed and not forced and not undoes:
                raise Broken(f"{machine.name} ends {uuid} by {request.name} for a {self.issued[correlation]} in which nothing failed")

    def _given_up(self, machine: Machine, uuid: str) -> bool:
        """An operator declared the host dead on which it runs all the same: by their word, and until its agent answers."""
        instances = {each.id for each in self.resources.values() if each.type == "instance" and each.row.get("uuid") == uuid}
        maps = (each for each in self.resources.values() if each.type == "instanceHostMap" and each.row.get("instanceId") in instances)
        owed = (self.resources[f"host-{each.row['hostId']}"] for each in maps if each.data.get(FORCED) == OWED)
        return any(host.row.get("agentId") == machine.number for host in owed)

    def _undoes(self, epoch: int) -> bool:
        """A request that belongs to no process undoes the late success of one that was closed."""
        asked = self.log[epoch - 1]
        return asked.type == events.STEP_REQUESTED and "pid" not in asked.data

    # --- what clients were told ---

    def acknowledged(self, key: str, position: int) -> None:
        """A client was told that its command is done as of this position."""
        if position > len(self.log):
            raise Broken(f"the command {key} was acknowledged at {position}, and the log ends at {len(self.log)}")
        landed = self.landed_keys.get(key)
        if landed is not None and landed != position:
            raise Broken(f"the command {key} is in the log at {landed}, and was acknowledged at {position}")

    def refused(self, key: str, why: str) -> None:
        if key in self.landed_keys:
            raise Broken(f"the command {key} is in the log at {self.landed_keys[key]}, and its client was told: {why}")


def _runs(machine: Machine, uuid: str) -> bool:
    box = machine.boxes.get(uuid)
    return box is not None and box.state == RUNNING


def processes(resource: Resource) -> str:
    def told(each: Open) -> str:
        waits = ", ".join(asked.command for asked in each.asked.values() if not asked.answered)
        return f"{each.process}{f' waiting for {waits}' if waits else ''}"

    return ", ".join(told(each) for each in resource.open.values())


def outstanding(resources: Mapping[str, Resource]) -> list[str]:
    """What is under way."""
    return [f"{each.stream}: {processes(each)}" for each in resources.values() if each.open]

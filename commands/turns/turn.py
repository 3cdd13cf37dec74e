"""A turn: one root's processes taken as far as they go without an answer. Pure: it reads a world and drafts one append.

A process under way is a bracket in its resource's stream:

    accepted -> process-started -> [step-requested -> step-succeeded | step-failed]... -> process-succeeded
                                                                                       -> process-failed -> compensation
                     superseded, or its parent ended -> process-cancelled

A turn runs the open brackets' steps from their beginning; every step first looks whether it is done. So a turn may be
taken again at any time, after a crash or a conflict, and goes on from what the log holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, assert_never

from commands import events
from commands.catalogue.catalogue import Catalogue
from commands.catalogue.model import Ask, Await, Checkpoint, Child, Decide, Join, Own, Process, Step
from commands.errors import Failure
from commands.resource import Json, Resource
from commands.trace import Ties
from commands.turns import asking, calls, nesting, purges
from commands.turns.fleet import Fleet
from commands.turns.intake import Answer, Intake, Triggers
from commands.turns.unanswered import only_asked
from commands.turns.world import World
from eventstore import Claim

__all__ = ["Answer", "Failure", "NeedIds", "NeedRoot", "Others", "Triggers", "Turn"]


class NeedIds(Exception):
    """The turn needs new ids of a category: get some and take it again."""

    def __init__(self, category: str) -> None:
        super().__init__(category)
        self.category = category


class NeedRoot(Exception):
    """The turn needs to see another root: load it and take the turn again."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.root = root


Others = Callable[[str], Mapping[str, Resource] | None]
"""Root -> its resources as they are now, or None: they are not loaded."""


WAS_CANCELLED = "{} was cancelled"

ENDS = frozenset({"stop", "deactivate", "deallocate", "disassociate", "remove", "purge"})
"""The verbs by which things come to their end: nothing that a row holds may keep them from it."""


class Turn(Intake):
    """One turn over one root. Drafts events; the engine appends them and then sends what they ask for."""

    def __init__(
        self,
        catalogue: Catalogue,
        resources: Mapping[str, Resource],
        fleet: Fleet,
        *,
        triggers: Triggers = Triggers(),
        others: Others = lambda root: None,
        last_resort: bool = False,
        **surroundings: Any,
    ) -> None:
        """`surroundings`: what Draft takes (root, clock, ids, chance, settings, actor, correlation). `last_resort`: this turn broke again
        and again; a step that can't be run fails its process, and what ends a thing does without it."""
        super().__init__(catalogue, resources, fleet, triggers=triggers, **surroundings)
        self._others, self._last_resort = others, last_resort
        self.waited_for = only_asked(self.ours())
        """The one agent whose answers were all that its root waited for before."""
        self._watched: set[str] = set()
        self._delegating: set[str] = set()

    @property
    def waits_for(self) -> set[str]:
        """Streams of other roots whose process we joined, or whose end we watch for."""
        return self._watched | {stream for joined in self.joined.values() for stream, _ in joined}

    # --- what the engine calls ---

    def run(self) -> None:
        """Takes in the triggers, then advances every root process as far as it goes."""
        self.take_in()
        self.undo_again()
        self.give_up_asides()
        self._cancel_orphans()
        for stream in list(self.resources):
            for bracket in list(self.resources[stream].open.values()):
                if bracket.parent is None and self.find(stream, bracket.pid):
                    self.advance(stream, bracket.pid)
        self._purge_due()
        self._look_after()
        self.put_to_rest()
        self.tell()

    def park(self, reason: str) -> None:
        """Instead of `run`, where that went wrong: everything under way says why it does not go on."""
        self.wake_at = self.now  # whoever begins again tries it again
        for stream in list(self.resources):
            for bracket in list(self.resources[stream].open.values()):
                if self.resources[stream].root == self.root and bracket.parked != reason:
                    self.emit(stream, events.PROCESS_PARKED, {"pid": bracket.pid, "id": "", "reason": reason})

    # --- what steps call ---

    def create(
        self,
        type_name: str,
        row: Json,
        *,
        kind: str | None = None,
        claims: tuple[Claim, ...] = (),
        run: bool = True,
        input: Json | None = None,
        in_our_root: bool = False,
    ) -> Resource:
        """A new resource, with its create process taken as far as it goes. `row`: columns and fields, plain; `input`: that process's.
        `in_our_root`: of a type that may belong to others or to nobody, but this one is ours."""
        stream, pid = self.new_row(type_name, row, kind, claims, input, in_our_root)
        if run and pid is not None:
            self.advance(stream, pid)
        return self.resources[stream]

    def delegate(self) -> None:
        """The process that runs now hands its bracket to its delegate when its steps are done."""
        if self._pid is not None:
            self._delegating.add(self._pid)

    def follow_up(self, resource: Resource, process: str, because: Resource, reason: str) -> None:
        """A process that nobody commands: it follows from what happened to `because`, a resource of this root. One that failed
        is left to an operator's retry: an external handler that refuses it would be asked for ever. What was cancelled begins again."""
        cancelled = str(resource.fields.get("transitioningMessage")).startswith(WAS_CANCELLED.format(process))
        if resource.failed == process and not cancelled:
            return
        before = self._cause, self._ties
        self._cause, self._ties = f"{because.stream}@{self.resources[because.stream].version}", Ties(f"corral:rest-{resource.stream}")
        self.advance(resource.stream, self.begin(resource.stream, self.catalogue.process(process), reason=reason))
        self._cause, self._ties = before

    def elsewhere(self, root: str) -> World:
        """What another root holds just now, to be looked at."""
        found = self._others(root)
        if found is None:
            raise NeedRoot(root)
        return World(self.catalogue, found, self.fleet)

    def begin_elsewhere(self, resource: Resource, process: Process) -> None:
        """A process of another root, seen through `elsewhere`, unless it is under way there. Nobody waits for it."""
        if process.field not in resource.open:
            self.resources[resource.stream] = resource
            self.begin(resource.stream, process)

    def wait_for(self, stream: str, until: datetime) -> None:
        """The root takes a turn when a process on `stream` ends, and at the latest at `until`."""
        self._watched.add(stream)
        self.wake_at = min(self.wake_at or until, until)

    def advance(self, stream: str, pid: str) -> str | None:
        """Runs a bracket's steps. -> "done", "failed: why", or None while it waits."""
        before = (self._pid, self._actor, self._ties, self._cause)
        bracket = self.bracket(stream, pid)
        self._actor, self._ties = bracket.actor or self._actor, bracket.ties if bracket.correlation else self._ties
        self._cause = self.answers.get(pid, self._cause)
        try:
            return self._advance(stream, pid)
        finally:
            self._pid, self._actor, self._ties, self._cause = before

    def _advance(self, stream: str, pid: str) -> str | None:
        while True:
            self._pid = pid
            bracket = self.bracket(stream, pid)
            process = self.catalogue.process(bracket.process)
            self.reached.pop(pid, None)
            try:
                if bracket.cancel is not None:
                    raise Failure(f"{WAS_CANCELLED.format(bracket.process)}: {bracket.cancel}")
                if not calls.run(self, stream, bracket, process):
                    return None
            except Failure as failure:
                follower = self._fail(stream, pid, process, failure)
                if follower is None:
                    return f"failed: {failure}"
                pid = follower
                continue
            resource = self.resources[stream]
            if process.delegate and (pid in self._delegating or bracket.origin == process.delegate):
                self._delegating.discard(pid)
                following = self.catalogue.process(process.delegate)
                state = resource.row[process.field]
                if state in following.start:
                    data = {"pid": pid, "process": following.name, "field": process.field, "from": state, "via": following.via_of(state)}
                    self.emit(stream, events.PROCESS_STARTED, data)
                    continue
            chained = self._chained(resource, process)
            if chained:
                self.emit(stream, events.PROCESS_SUCCEEDED, {"pid": pid, "process": process.name, "field": process.field})
                pid = self.begin(stream, self.catalogue.process(chained[0]), input=chained[1])
                continue
            self.close(stream, pid, process)
            return "done"

    def _chained(self, resource: Resource, process: Process) -> tuple[str, Json] | None:
        try:
            return process.chain(self, resource) if process.chain else None
        except (AttributeError, LookupError, TypeError, ValueError):
            if not self._last_resort:
                raise
            return None

    # --- steps ---

    def step(self, stream: str, pid: str, step: Step) -> bool:
        """Runs a step; True when it is done."""
        try:
            return self._step(stream, pid, step)
        except (Failure, NeedIds, NeedRoot):
            raise
        except Exception as error:
            if not self._last_resort:
                raise
            process = self.catalogue.process(self.bracket(stream, pid).process)
            if process.verb not in ENDS:
                raise Failure(f"{process.name} {_helpless(self.resources[stream], error)}") from error
            if not isinstance(step, Decide):
                raise  # what an agent is to take down is not passed over
            return True  # its purge gives back what the log says that it has, whatever its row says

    def _step(self, stream: str, pid: str, step: Step) -> bool:
        self._pid = pid
        resource = self.resources[stream]
        match step:
            case Decide():
                step.decide(self, resource)
                return True
            case Child():
                if callable(step.via):
                    children = [each for each in step.via(self, resource) if step.removed or not each.removed]
                else:
                    children = self.children(step.type, step.via, resource.id, step.removed)
                wanted = [each for each in children if step.when is None or step.when(each)]
                outcomes = [nesting.nested(self, each.stream, step.process, pid, step.ignore_invalid) for each in wanted]
                return all(outcomes)
            case Own():
                under_way = resource.open.get(self.catalogue.process(step.process).field)
                begun = under_way is not None and step.process in (under_way.process, under_way.origin)
                if not begun and step.when is not None and not step.when(self, resource):
                    return True
                return nesting.nested(self, stream, step.process, pid)
            case Join():
                outcomes = [nesting.joined(self, stream, pid, target, step.process) for target in step.targets(self, resource)]
                return all(outcomes)
            case Ask():
                return asking.ask(self, stream, pid, step)
            case Checkpoint():
                before, weight, _ = self.reached.get(pid, (0, 0, ""))
                self.reached[pid] = (before + weight, step.weight, step.name)
                return True
            case Await():
                return step.until(self, resource)
            case _:
                assert_never(step)

    # --- ends ---

    def _fail(self, stream: str, pid: str, process: Process, failure: Failure) -> str | None:
        """Ends a bracket in failure; -> the pid of the compensation that follows from the via state, if any."""
        bracket = self.bracket(stream, pid)
        data: Json = {"pid": pid, "process": process.name, "field": process.field, "error": str(failure)}
        if process.verb == "purge":
            data["changes"] = purges.put_off(self.now)
        self._delegating.discard(pid)
        if bracket.parent is not None:
            self.emit(stream, events.PROCESS_FAILED, {**data, "parent": bracket.parent})
            self.cancel_children(pid)
            return None
        follower = failure.follower or (process.compensate(self, self.resources[stream]) if process.compensate else None)
        if follower is None:
            self.emit(stream, events.PROCESS_FAILED, {**data, "to": self.rest_after(process, bracket)})
            self.cancel_children(pid, back=True)
            return None
        self.emit(stream, events.PROCESS_FAILED, data)
        self.cancel_children(pid)
        return self.begin(stream, self.catalogue.process(follower), compensation=True)

    def _cancel_orphans(self) -> None:
        """Brackets whose parent was superseded by a command that saw only the parent's stream."""
        live = {bracket.pid for each in self.resources.values() for bracket in each.open.values()}
        for stream, resource in list(self.resources.items()):
            for state_field, bracket in resource.open.items():
                if bracket.parent is not None and bracket.parent not in live:
                    self.cancel(stream, bracket, state_field, "its parent process ended")

    # --- what is due ---

    def _look_after(self) -> None:
        before = self._cause
        for stream in list(self.resources):
            for process in self.catalogue.looked_after(self.resources[stream].type):
                resource = self.resources[stream]
                mine = resource.root == self.root and process.field not in resource.open
                if mine and process.at_rest is not None and resource.row.get(process.field) in process.dones:
                    self._cause = before or f"{stream}@{resource.version}"  # where it came to rest
                    process.at_rest(self, resource)
        self._cause = before

    def _purge_due(self) -> None:
        for stream in list(self.resources):
            resource = self.resources[stream]
            due = purges.due_at(resource)
            if due is None or due > self.now or resource.root != self.root:
                continue
            process = self.catalogue.process_of(resource.type, "purge")
            if process is not None and not resource.open and resource.state in process.start:
                # Nobody commands it: what led here is the removal, the last thing that happened to it.
                self._cause, self._ties = f"{stream}@{resource.version}", Ties(f"corral:purge-{stream}")
                if not purges.waits(self, resource):
                    self.advance(stream, self.begin(stream, process))
                elif resource.row["removeTime"] == resource.row["removed"]:  # by force: that it waits is to be known, or it stays due
                    self.merge(stream, purges.put_off(self.now))


def _helpless(resource: Resource, error: Exception) -> str:
    told = f"can't go on with what {resource.name} holds ({type(error).__name__}: {error})"
    return f"{told}: mend its data, or remove it. The engine's log tells more"

"""What a turn takes in from outside, and what it tells of waiting: answers (late ones too), progress, silence. Pure.

    answer to what is asked ----> step-succeeded | step-failed
    answer to what was closed --> the same, marked late; a success is undone where nothing else does it
    no answer, no progress -----> process-parked, on everything that waits for it, and process-resumed when it goes on
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from commands import events
from commands.catalogue.catalogue import Catalogue
from commands.catalogue.model import Ask, Process
from commands.errors import Gone
from commands.resource import Asked, Json, Open, Progress, Resource
from commands.turns import calls
from commands.turns.answers import Misread, read
from commands.turns.asking import MAX_BACKOFF
from commands.turns.draft import Draft
from commands.turns.fleet import Fleet
from commands.turns.replies import merge_related, reply_changes
from commands.turns.uniqueness import alike, same

ASIDE_LASTS = timedelta(days=1)
"""After this nobody wants any more what no process waited for, and what no server could send meanwhile."""

PROGRESS_SECONDS = 1.0
"""Between two events that tell how far a process is."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply to a command, as the turn takes it in."""

    ask: str
    command: str
    data: Json
    error: str | None = None
    stale: bool = False
    """Nothing was done: the agent knows a newer request about the same thing."""
    passes: bool = False
    """A handler's result that lets those after it run, too."""


@dataclass(frozen=True, slots=True)
class Triggers:
    """What made the turn necessary."""

    cause: str = ""
    """The id of the event that woke the root, where there is one."""
    answers: tuple[Answer, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    """Joined streams whose process failed -> why."""
    silent: frozenset[str] = frozenset()
    """Asks that had no answer within their time."""
    unsendable: Mapping[str, str] = field(default_factory=dict)
    """Asks that can't be sent again -> why."""
    progress: Mapping[str, tuple[int | None, str | None]] = field(default_factory=dict)
    """Asks whose agent says how far it is -> percent, words."""


class Intake(Draft):
    """The part of a turn that faces outwards."""

    def __init__(
        self, catalogue: Catalogue, resources: Mapping[str, Resource], fleet: Fleet, *, triggers: Triggers, **surroundings: Any
    ) -> None:
        super().__init__(catalogue, resources, fleet, cause=triggers.cause, **surroundings)
        self.triggers = triggers
        self.answered: dict[str, Json] = {}
        """pid -> the data of an answer taken in this turn (a ping's inventory is used, but is no event)."""
        self.answers: dict[str, str] = {}
        """pid -> the event of that answer: of several in one turn, each is the cause of what follows from it."""
        self.wake_at: datetime | None = None
        self.tell_at: datetime | None = None
        """When there is progress to be told. Nothing else depends on it."""
        self.joined: dict[str, list[tuple[str, str]]] = {}
        """pid -> the (stream, state field) of other roots that it waits for."""
        self.reached: dict[str, tuple[int, int, str]] = {}
        """pid -> where its steps are: percent done, weight of what is under way, its name."""

    # --- answers ---

    def take_in(self) -> None:
        for answer in self.triggers.answers:
            self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        """Records a reply on the bracket that waits for it, or as late; one that was answered before changes nothing."""
        for stream, resource in self.resources.items():
            if (aside := resource.asides.get(answer.ask)) is not None:
                self._take_undone(stream, aside, answer)
                return
            for bracket in resource.open.values():
                asked = next((each for each in bracket.asked.values() if each.id == answer.ask), None)
                if asked is not None:
                    if asked.unanswered:  # the first answer counts, an error too: agents repeat themselves
                        self._take(stream, bracket, asked, answer)
                    return
            if answer.ask in resource.undoing:
                self._take_undone(stream, resource.undoing[answer.ask], answer)
                return
            if answer.ask in resource.late:
                self._take_late(stream, resource.late[answer.ask], answer)
                return

    def _take(self, stream: str, bracket: Open, asked: Asked, answer: Answer) -> None:
        self._ties, self._actor = bracket.ties, bracket.actor
        data: Json = {"pid": bracket.pid, "id": asked.id}
        if answer.error is None and not answer.stale:
            try:
                answer = replace(answer, data=self._read(stream, asked, answer))
            except Misread as wrong:
                answer = replace(answer, data={}, error=f"the answer to {asked.command} can't be taken in: {wrong}")
        if answer.stale:  # what was newer is another process's, and this one still waits: it is asked for as the newest
            again = {"pid": bracket.pid, "command": asked.command, "id": self.new_id(), "agent": asked.agent}
            self.emit(stream, events.STEP_REQUESTED, {**again, "try": asked.tries} if asked.tries > 1 else again)
        elif answer.error is not None:
            self.emit(stream, events.STEP_FAILED, {**data, "error": answer.error})
        else:
            self.answered[bracket.pid] = answer.data
            resource = self.resources[stream]
            changes = reply_changes(self, resource, answer.data)
            data |= {"changes": changes} if changes else {}
            data |= {"passes": True} if answer.passes else {}
            self.emit(stream, events.STEP_SUCCEEDED, data)
            merge_related(self, self.resources[stream], answer.data)
        self._cause = self.answers[bracket.pid] = f"{stream}@{self.resources[stream].version}"

    def _read(self, stream: str, asked: Asked, answer: Answer) -> Json:
        return read(self, self.resources[stream], asked.command, answer.data, of_agent=not asked.handler)

    # --- what closed processes left behind ---

    def _take_late(self, stream: str, asked: Asked, answer: Answer) -> None:
        """The process that asked was cancelled or failed meanwhile: what was done all the same is undone, unless it is wanted again."""
        data: Json = {"id": asked.id, "late": True}
        self._ties = asked.ties
        if answer.error is not None:
            self.emit(stream, events.STEP_FAILED, {**data, "error": answer.error})
            return
        self.emit(stream, events.STEP_SUCCEEDED, data)
        self._cause = f"{stream}@{self.resources[stream].version}"
        self._undo(stream, asked)

    def _undo(self, stream: str, asked: Asked) -> None:
        resource = self.resources[stream]
        found = self.catalogue.asks(resource.type, asked.command)
        if found is None:
            return
        process, step = found
        command = step.undo_gone or step.undo if self._is_gone(resource) else step.undo
        if command is None or any(each.command == command for each in resource.undoing.values()):
            return
        if not self._is_wanted(resource, process) and not self._is_wanted_by_another(resource, process, step, asked.agent):
            self.emit(stream, events.STEP_REQUESTED, {"command": command, "id": self.new_id(), "agent": asked.agent})

    def _is_gone(self, resource: Resource) -> bool:
        """Neither it nor the root that it was part of comes back, and nothing else is in its place."""
        root = self.resources.get(resource.root, resource)
        kind = self.catalogue.type(resource.type)
        return resource.state in GONE and root.state in NEVER_BACK and same(kind, resource, self.resources.values()) is None

    def _finish_undoing(self, stream: str, asked: Asked) -> None:
        """A teardown that was cut off in its middle goes on, though nothing waits for it: what it was to end may run still."""
        resource = self.resources[stream]
        tears_down = any(asked.command in step.undoes for _, step in self.catalogue.asks_of(resource.type))
        if tears_down and not any(each.command == asked.command for each in resource.undoing.values()):
            self.emit(stream, events.STEP_REQUESTED, {"command": asked.command, "id": self.new_id(), "agent": asked.agent})

    def _is_wanted(self, resource: Resource, process: Process) -> bool:
        """What the process once did is there to stay, or another process sees to it."""
        return process.field in resource.open or (resource.row.get(process.field) in process.dones and resource.state not in GONE)

    def _is_wanted_by_another(self, resource: Resource, process: Process, step: Ask, agent: int) -> bool:
        """What has taken its place (a map of the same two) wants it from the same agent."""
        others = alike(self.catalogue.type(resource.type), resource, self.resources.values())
        return any(self._is_wanted(each, process) and self._is_agent_of(step, each, agent) for each in others)

    def _is_agent_of(self, step: Ask, resource: Resource, agent: int) -> bool:
        try:
            return step.agent(self, resource) == agent
        except Gone:
            return False

    def _is_moot(self, resource: Resource, undo: str, agent: int) -> bool:
        """Nothing is left to be undone: it was wanted again meanwhile, or went with its agent or place."""
        undone = [(process, step) for process, step in self.catalogue.asks_of(resource.type) if undo in step.undoes]
        asking = undone or [found for found in (self.catalogue.asks(resource.type, undo),) if found]  # it may stand beside a process
        for process, step in undone:
            if self._is_wanted(resource, process) or self._is_wanted_by_another(resource, process, step, agent):
                return True
        try:
            return all(step.agent(self, resource) is None for _, step in asking)
        except Gone:
            return True

    def _take_undone(self, stream: str, asked: Asked, answer: Answer) -> None:
        data: Json = {"id": asked.id, "late": True}
        self._ties = asked.ties
        if answer.error is None:
            self.emit(stream, events.STEP_SUCCEEDED, data)
        elif asked.unanswered:
            self.emit(stream, events.STEP_FAILED, {**data, "error": answer.error})

    def undo_again(self) -> None:
        """Undoing is not given up while there is somebody to ask: after an error answer it is asked again, by and by."""
        before = woken, _ = self._cause, self._ties
        for stream, resource in list(self.resources.items()):
            for asked in resource.undoing.values():
                # Where time alone led here, what led here is the last thing that happened to it.
                self._cause, self._ties = woken or f"{stream}@{resource.version}", asked.ties
                if self._is_moot(resource, asked.command, asked.agent):
                    self.emit(stream, events.STEP_SUCCEEDED, {"id": asked.id, "late": True})
                elif asked.error is not None and self.is_due(asked):
                    data: Json = {"command": asked.command, "id": self.new_id(), "agent": asked.agent, "try": asked.tries + 1}
                    self.emit(stream, events.STEP_REQUESTED, {**data, "instead": asked.id})
        self._cause, self._ties = before

    def give_up_asides(self) -> None:
        """What no process waits for is asked until it is answered, its time is over, or nobody is there to be asked any more."""
        before = woken, _ = self._cause, self._ties
        for stream, resource in list(self.resources.items()):
            for asked in resource.asides.values() if resource.root == self.root else ():
                old = asked.at is not None and self.now - asked.at > ASIDE_LASTS
                if asked.id in self.triggers.silent or old:
                    error = f"agent {asked.agent} has not answered {asked.command}: it is asked no more, as nothing waits for it"
                elif self._is_moot(resource, asked.command, asked.agent):
                    error = f"{asked.command} has become pointless: it is asked no more"
                else:
                    continue
                self._cause, self._ties = woken or f"{stream}@{resource.version}", asked.ties
                self.emit(stream, events.STEP_FAILED, {"id": asked.id, "error": error, "late": True})
        self._cause, self._ties = before

    def is_due(self, asked: Asked) -> bool:
        """Whether a command that was answered with an error is to be asked again now; else the turn is taken again then."""
        due = (asked.failed_at or self.now) + timedelta(seconds=min(MAX_BACKOFF, 0.5 * 2.0 ** (asked.tries - 1)))
        if due <= self.now:
            return True
        self.wake(due)
        return False

    def put_to_rest(self) -> None:
        """Where nothing is under way any more, no state may say otherwise: what an interruption left between two states is put to rest,
        and what its agent may have done is undone."""
        mine = self.ours()
        if any(each.open for each in mine):
            return
        for each in mine:
            for state_field in self.catalogue.state_fields(each.type):
                state = each.row.get(state_field) or ""
                if self.catalogue.transitional(each.type, state, state_field):
                    rest = self.catalogue.interrupted(each.type, state, state_field).failed
                    self._cause = self._cause or f"{each.stream}@{each.version}"  # what interrupted it is the last that happened to it
                    self.emit(each.stream, events.UPDATED, {"changes": {state_field: rest}})
                    for asked in each.late.values():
                        self._undo(each.stream, asked)
                        self._finish_undoing(each.stream, asked)

    # --- what waiting looks like ---

    def tell(self) -> None:
        """Parks and resumes what waits, and says how far it is. After the steps."""
        self._park_silent()
        for stream, resource in list(self.resources.items()):
            if resource.root == self.root:
                for bracket in list(resource.open.values()):
                    self._tell_parked(stream, bracket)
                    self._tell_progress(stream, bracket)

    def _park_silent(self) -> None:
        for stream, resource in list(self.resources.items()):
            for bracket in resource.open.values():
                for asked in bracket.asked.values():
                    reason = self.triggers.unsendable.get(asked.id)
                    if asked.id in self.triggers.silent:
                        reason = calls.silence(asked) if asked.handler else (
                            f"agent {asked.agent} has not answered {asked.command}: it is asked again every "
                            f"{MAX_BACKOFF:.0f} s and this goes on when it answers. See whether the agent runs and reaches NATS"
                        )
                    reason = reason or self._silent_before(resource, asked)
                    if reason is not None and asked.unanswered and bracket.parked is None:
                        self.emit(stream, events.PROCESS_PARKED, {"pid": bracket.pid, "id": asked.id, "reason": reason})

    def _silent_before(self, resource: Resource, asked: Asked) -> str | None:
        """What the agent has to answer first, where that is silent (commands.turns.inorder)."""
        first = next((each for each in resource.late.values() if each.id in self.triggers.silent and each.agent == asked.agent), None)
        return None if first is None else (
            f"agent {asked.agent} has not answered {first.command}, which it was asked before: {asked.command} follows when it has. "
            "See whether the agent runs and is subscribed"
        )

    def _tell_parked(self, stream: str, bracket: Open) -> None:
        """What waits for a parked process is parked with it, by its reason."""
        inherited = bracket.parked_for == "" or self.resources.get(bracket.parked_for) or self.fleet.resources.get(bracket.parked_for)
        if bracket.parked and not inherited:
            return  # for a command of its own
        found = next(((inner, each.parked) for inner, each in self._inside(bracket.pid) if each.parked), None)
        if found is not None and found[1] != bracket.parked:
            self.emit(stream, events.PROCESS_PARKED, {"pid": bracket.pid, "id": found[0], "reason": found[1]})
        elif found is None and bracket.parked:
            self.emit(stream, events.PROCESS_RESUMED, {"pid": bracket.pid})

    def _tell_progress(self, stream: str, bracket: Open) -> None:
        """At most one event a second, so what is quick has none."""
        told = next((self.triggers.progress[each.id] for each in bracket.asked.values() if each.id in self.triggers.progress), None)
        if told is None:
            told = self._progress_of(bracket)
        if told is None or (bracket.progress and (bracket.progress.percent, bracket.progress.message) == told):
            return
        since = bracket.progress.at if bracket.progress else bracket.at or self.now
        due = since + timedelta(seconds=PROGRESS_SECONDS)
        if due > self.now:
            self.tell_at = min(self.tell_at or due, due)
            return
        percent, message = told
        data = {"pid": bracket.pid, "percent": percent, "message": message}
        self.emit(stream, events.PROGRESSED, {key: value for key, value in data.items() if value is not None})

    def _progress_of(self, bracket: Open) -> tuple[int | None, str | None] | None:
        """From the checkpoint that its steps reached, and from what the process inside says that it waits for."""
        inner: Progress | None = next((each.progress for _, each in self._inside(bracket.pid) if each.progress), None)
        if bracket.pid not in self.reached:
            return (inner.percent, inner.message) if inner else None
        before, weight, name = self.reached[bracket.pid]
        percent = before + (weight * (inner.percent or 0) // 100 if inner else 0)
        return percent, (inner.message if inner else None) or name

    def _inside(self, pid: str) -> Iterator[tuple[str, Open]]:
        """The processes that this one waits for, innermost first: in its own root, and those it joined."""
        for stream, resource in self.resources.items():
            for bracket in resource.open.values():
                if bracket.parent == pid:
                    yield from self._inside(bracket.pid)
                    yield stream, bracket
        for stream, state_field in self.joined.get(pid, ()):
            joined = self.resources.get(stream) or self.fleet.resources.get(stream)
            if joined is not None and (found := joined.open.get(state_field)):
                yield stream, found

    def wake(self, when: datetime) -> None:
        """The turn is to be taken again then, at the latest."""
        self.wake_at = min(self.wake_at or when, when)


NEVER_BACK = ("purging", "purged")
GONE = ("removed", *NEVER_BACK)

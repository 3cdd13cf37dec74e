"""A resource as its stream tells it: fold(events) -> Resource. The write side, the projectors and replay all use this fold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from commands import events
from commands.merge import merged
from commands.trace import Ties, Trace, ties_of
from eventstore import Claim, Recorded, Release
from eventstore.unguarded import unguarded

Json = dict[str, Any]
T = TypeVar("T")

ACTIVE = frozenset({"active", "updating-active"})

LATE_KEPT = 8
"""Unanswered commands of closed processes that a resource remembers."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One command of a process, as far as it went."""

    command: str
    """An agent's command, or the name of the event that asks an external handler (instance.start;handler=demo)."""
    id: str
    agent: int
    """0 when an external handler is asked."""
    epoch: int
    """The position of its request: what the agent orders commands by."""
    at: datetime | None
    tries: int = 1
    answered: bool = False
    error: str | None = None
    failed_at: datetime | None = None
    handler: int = 0
    """The external handler that is asked; 0: an agent is."""
    passes: bool = False
    """Of a handler's answer: it lets those after it run, too."""
    correlation: str | None = None
    """Of the process that asked, once that is closed."""
    trace: Trace | None = None
    """The same."""
    aside: str = ""
    """The process that asked, where it did not wait for the answer."""

    @property
    def ties(self) -> Ties:
        return Ties(self.correlation, self.trace)

    @property
    def unanswered(self) -> bool:
        return not self.answered and self.error is None


def ask_key(command: str, handler: int = 0) -> str:
    """What a bracket knows an ask by. (Several handlers may have one name.)"""
    return f"{command}#{handler}" if handler else command


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a process says it is, and when it said so."""

    percent: int | None
    message: str | None
    at: datetime


@unguarded
@dataclass(frozen=True, slots=True)
class Open:
    """A process under way: a bracket of events that is not closed yet."""

    pid: str
    process: str
    origin: str
    """The process that was asked for; differs from `process` after a delegation (instance.create, now in instance.start)."""
    came_from: str
    input: Json
    parent: str | None
    """The pid of the process that waits for this one; None: a root process."""
    cause: str
    """The id of the event that began it."""
    correlation: str | None = None
    trace: Trace | None = None
    """Of the request, where that is known by another name to others."""
    actor: int | None = None
    asked: dict[str, Asked] = field(default_factory=dict)
    parked: str | None = None
    parked_for: str = ""
    """The id of the command that has no answer, or the stream whose parked process this one waits for."""
    parked_at: int = 0
    """The position of that event."""
    retried: int = 0
    """The position of the last retry: error answers from before it count no more."""
    cancel: str | None = None
    """Why an operator wants it ended."""
    progress: Progress | None = None
    at: datetime | None = None
    """When it began."""
    horizon: int = 0
    """The position up to which it minds external handlers: that of its beginning, or what the engine that began it had seen. 0: not in
    the log yet."""
    handlers: list[Json] = field(default_factory=list)
    """The external handlers that take part in it, as they were when it began."""

    @property
    def ties(self) -> Ties:
        return Ties(self.correlation, self.trace)


@unguarded
@dataclass(frozen=True, slots=True)
class Resource:
    """One thing: its row (columns, with `data` as the free map), its version, and the processes under way by state field."""

    type: str
    id: int
    version: int = 0
    position: int = 0
    row: Json = field(default_factory=dict)
    open: dict[str, Open] = field(default_factory=dict)
    root: str = ""
    """The stream whose root this one shares: they are loaded and written together."""
    late: dict[str, Asked] = field(default_factory=dict)
    """Commands of closed processes that had no answer yet, by id: a success that still comes is undone."""
    undoing: dict[str, Asked] = field(default_factory=dict)
    """Commands under way, by id, that undo what closed processes left behind."""
    asides: dict[str, Asked] = field(default_factory=dict)
    """Commands under way, by id, that no process waits for."""
    failed: str | None = None
    """The process that failed last, until another is commanded: what a retry begins again."""
    held: tuple[tuple[str, str], ...] = ()
    """(scope, item) of the exclusive claims that its stream has taken and not given back: no change of the row may make it forget one."""
    shares: tuple[tuple[str, str], ...] = ()
    """The same of what is counted (a host's capacity)."""
    active_since: int = 0
    """The position at which it became active; 0: it is not."""

    @property
    def stream(self) -> str:
        return f"{self.type}-{self.id}"

    @property
    def exists(self) -> bool:
        return self.version > 0

    @property
    def kind(self) -> str:
        kind: str = self.row.get("kind") or self.type
        return kind

    @property
    def state(self) -> str:
        state: str = self.row.get("state", "")
        return state

    @property
    def removed(self) -> bool:
        return self.row.get("removed") is not None

    @property
    def data(self) -> Json:
        """The free map: what is no column, and the fields."""
        data = self.row.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def fields(self) -> Json:
        """The values that have no column of their own."""
        fields = self.data.get("fields")
        return fields if isinstance(fields, dict) else {}

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.row.get("name") or self.stream

    def get(self, name: str) -> Any:
        """A column, or else a field."""
        value = self.row.get(name)
        return self.fields.get(name) if value is None else value


def split_stream(stream: str) -> tuple[str, int]:
    """instance-54 -> ("instance", 54). Raises ValueError for anything else."""
    kind, _, number = stream.rpartition("-")
    if not kind or not number.isdigit():
        raise ValueError(f"{stream!r} is not a stream: <type>-<number> is expected, e.g. instance-54")
    return kind, int(number)


def empty(stream: str) -> Resource:
    kind, number = split_stream(stream)
    return Resource(kind, number)


def fold(stream: str, recorded: Iterable[Recorded]) -> Resource:
    resource = empty(stream)
    for event in recorded:
        resource = evolve(resource, event)
    return resource


def fold_all(recorded: Iterable[Recorded]) -> dict[str, Resource]:
    """Several streams' events, in any interleaving that keeps each stream's order -> stream -> resource."""
    resources: dict[str, Resource] = {}
    for event in recorded:
        resources[event.stream] = evolve(resources.get(event.stream) or empty(event.stream), event)
    return resources


def evolve(resource: Resource, event: Recorded) -> Resource:
    """The resource after one more event of its stream. Pure; an unknown event type changes nothing but the version."""
    data = event.data
    row, brackets = resource.row, resource.open
    late, undoing, asides, failed = resource.late, resource.undoing, resource.asides, resource.failed
    if event.type == events.CREATED:
        row = {"id": resource.id, "data": {}}
    elif event.type in (events.TRANSITIONED, events.PROCESS_STARTED) and not data.get("compensation"):
        row = without_error(row, data["field"])
        failed = failed if data["field"] != "state" else None
    if changes := data.get("changes"):
        row = merged(row, changes)

    match event.type:
        case events.TRANSITIONED:
            row = {**row, data["field"]: data["to"]}
        case events.PROCESS_STARTED:
            row = {**row, data["field"]: data["via"]}
            brackets = {**brackets, data["field"]: _started(brackets.get(data["field"]), event)}
        case events.STEP_REQUESTED:
            asked = Asked(
                data["command"], data["id"], data.get("agent", 0), event.position, event.at, data.get("try", 1),
                answered="aside" in data,  # as far as the process is concerned
                handler=data.get("handler", 0),
            )
            if data.get("pid"):
                brackets = _asked(brackets, data["pid"], asked)
                if aside := data.get("aside"):
                    waits = replace(asked, answered=False, aside=aside, **ties_of(event.metadata)._asdict())
                    asides = {**asides, asked.id: waits}
            else:
                asked = replace(asked, **ties_of(event.metadata)._asdict())
                undoing = {**_without(undoing, data.get("instead", "")), asked.id: asked}
        case events.STEP_FAILED if data["id"] in undoing:
            undoing = {**undoing, data["id"]: replace(undoing[data["id"]], error=data["error"], failed_at=event.at)}
        case events.STEP_SUCCEEDED | events.STEP_FAILED if data.get("late"):
            late, undoing, asides = (_without(each, data["id"]) for each in (late, undoing, asides))
        case events.STEP_SUCCEEDED:
            brackets = _answered(brackets, data, None, event.at)
        case events.STEP_FAILED:
            brackets = _answered(brackets, data, data["error"], event.at)
        case events.HANDLERS_JOINED:
            brackets = _changed(brackets, data["pid"], handlers=list(data["handlers"]))
        case events.PROCESS_SUCCEEDED | events.PROCESS_FAILED | events.PROCESS_CANCELLED:
            late = _with_abandoned(late, brackets.get(data["field"]))
            brackets = _without(brackets, data["field"])
            if data.get("to"):
                row = {**row, data["field"]: data["to"]}
            if event.type == events.PROCESS_FAILED and not data.get("parent"):
                # A child's failure shows on the resource whose process it failed.
                row = merged(row, {"+data": {"+fields": {"transitioning": "error", "transitioningMessage": data["error"]}}})
                failed = data["process"] if data["field"] == "state" else failed
        case events.PROCESS_PARKED:
            brackets = _changed(brackets, data["pid"], parked=data["reason"], parked_for=data.get("id") or "", parked_at=event.position)
        case events.PROCESS_RESUMED:
            brackets = _changed(brackets, data["pid"], parked=None)
        case events.PROCESS_RETRIED:
            brackets = _changed(brackets, data["pid"], parked=None, retried=event.position)
        case events.CANCEL_REQUESTED:
            brackets = _changed(brackets, data["pid"], cancel=data["reason"])
        case events.PROGRESSED:
            progress = Progress(data.get("percent"), data.get("message"), event.at)
            brackets = _changed(brackets, data["pid"], progress=progress, parked=None)
    held, shares = resource.held, resource.shares
    if "claims" in event.metadata or "releases" in event.metadata:
        held, shares = held_after(held, event.releases, event.claims), shares_after(shares, event.releases, event.claims)
    since = (resource.active_since or event.position) if row.get("state") in ACTIVE else 0
    root = resource.root or event.root
    return Resource(
        resource.type, resource.id, event.version, event.position, row, brackets, root, late, undoing, asides, failed, held, shares, since
    )  # fmt: skip


def held_after(held: tuple[tuple[str, str], ...], releases: Sequence[Release], claims: Sequence[Claim]) -> tuple[tuple[str, str], ...]:
    """What a stream alone has after an event's releases, and then its claims."""
    return _kept(held, releases, (each for each in claims if each.limit is None))


def shares_after(shares: tuple[tuple[str, str], ...], releases: Sequence[Release], claims: Sequence[Claim]) -> tuple[tuple[str, str], ...]:
    """Its shares of what is counted, in the same way."""
    return _kept(shares, releases, (each for each in claims if each.limit is not None))


def _kept(present: tuple[tuple[str, str], ...], releases: Sequence[Release], claims: Iterable[Claim]) -> tuple[tuple[str, str], ...]:
    given_back = {(each.scope, each.item) for each in releases}
    taken = ((each.scope, each.item) for each in claims)
    return tuple(dict.fromkeys([*(each for each in present if each not in given_back), *taken]))


def leases_of(resource: Resource, owner: str, kind: str) -> list[tuple[int, str]]:
    """(number of the owner, item) of what it alone has in the scopes <owner>-<number>/<kind>. (The row's notes of it are for people.)"""
    found = ((scope.removesuffix(f"/{kind}"), item) for scope, item in resource.held if scope.endswith(f"/{kind}"))
    return [(split_stream(stream)[1], item) for stream, item in found if stream.rpartition("-")[0] == owner]


def without_error(row: Json, state_field: str) -> Json:
    """A process on `state` that begins anew erases the error that the last one left."""
    data = row.get("data") or {}
    fields = data.get("fields") or {}
    if state_field != "state" or not isinstance(fields, dict) or "transitioning" not in fields:
        return row
    kept = {key: value for key, value in fields.items() if key not in ("transitioning", "transitioningMessage")}
    return {**row, "data": {**data, "fields": kept}}


def _started(present: Open | None, event: Recorded) -> Open:
    data = event.data
    if present is not None and present.pid == data["pid"]:  # a delegation: the same bracket goes on as another process
        return replace(present, process=data["process"], asked={}, parked=None, handlers=list(data.get("handlers", ())))
    metadata = event.metadata
    return Open(
        pid=data["pid"],
        process=data["process"],
        origin=data.get("origin") or data["process"],
        came_from=data["from"],
        input=data.get("input") or {},
        parent=data.get("parent"),
        cause=event.id,
        **ties_of(metadata)._asdict(),
        actor=metadata.get("actor"),
        at=event.at,
        horizon=data.get("seen") or event.position,
        handlers=list(data.get("handlers", ())),
    )


def _changed(brackets: dict[str, Open], pid: str, **changes: Any) -> dict[str, Open]:
    return {key: replace(value, **changes) if value.pid == pid else value for key, value in brackets.items()}


def _asked(brackets: dict[str, Open], pid: str, asked: Asked) -> dict[str, Open]:
    return {
        key: replace(value, asked={**value.asked, ask_key(asked.command, asked.handler): asked}) if value.pid == pid else value
        for key, value in brackets.items()
    }


def _answered(brackets: dict[str, Open], data: Json, error: str | None, at: datetime) -> dict[str, Open]:
    result = dict(brackets)
    for key, value in brackets.items():
        if value.pid != data["pid"]:
            continue
        asked = {
            key: replace(
                each, answered=error is None, error=error, failed_at=at if error is not None else None, passes=bool(data.get("passes"))
            )
            if each.id == data["id"] else each
            for key, each in value.asked.items()
        }
        result[key] = replace(value, asked=asked, parked=None if error is None else value.parked)
    return result


def _with_abandoned(late: dict[str, Asked], closed: Open | None) -> dict[str, Asked]:
    """What a closed process asked and heard nothing of joins the few that are remembered."""
    asked = closed.asked.values() if closed else ()
    ties = closed.ties if closed else Ties()
    unanswered = {each.id: replace(each, **ties._asdict()) for each in asked if each.unanswered}
    return dict([*late.items(), *unanswered.items()][-LATE_KEPT:]) if unanswered else late


def _without(entries: dict[str, T], key: str) -> dict[str, T]:
    return {name: value for name, value in entries.items() if name != key} if key in entries else entries

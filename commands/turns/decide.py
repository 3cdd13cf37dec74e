"""Deciding a command on one resource: pure. It drafts events on the turn, drafts none (nothing to do), or refuses.

    given its events -> the resource; when a command -> then events, or Refused
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

from commands.catalogue.catalogue import Catalogue
from commands.catalogue.fields import changes_for
from commands.catalogue.model import Process
from commands.errors import Conflict, NotFound, Refused, a
from commands.resource import Json, Resource
from commands.turns import uniqueness
from commands.turns.interventions import Cancel, DeclareDead, ForceRemove, Intervention, Retry, intervene
from commands.turns.turn import Turn


@dataclass(frozen=True, slots=True)
class Update:
    """PUT: fields -> their new values, converted."""

    fields: Json


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE."""


@dataclass(frozen=True, slots=True)
class Run:
    """POST ?action=<verb>, with the action's input."""

    verb: str
    input: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ended:
    """Observed: what should run does not run any more, and nobody stopped it. Its instanceTriggeredStop says what follows."""

    reason: str
    position: int
    """The resource's, when that was seen: nothing follows where anything happened to it since (it may have been started again)."""
    leaves: bool = False
    """Its host is gone: it gives up its place there, and where it is to run again it is placed anew."""


Command = Ended | Update | Delete | Run | Intervention


def decide(command: Command, turn: Turn, type_name: str, resource: Resource) -> None:
    """`type_name` may be a child type (container); the resource is of its root type."""
    if not resource.exists or (resource.state == "purged" and not has_life(turn.catalogue, resource.type)):
        verb = command.verb if isinstance(command, Run) else type(command).__name__.lower()
        raise NotFound(f"cannot {verb} {a(type_name)} that is absent")
    match command:
        case Update(fields):
            _update(turn, type_name, resource, fields)
        case Delete():
            # A running instance stops first, and is removed by the stop's chain (api: "DELETE resource").
            running = resource.type == "instance" and resource.state == "running"
            process = turn.catalogue.process_of(type_name, "stop" if running else "remove")
            if process is not None:
                _begin(turn, resource, process, {"remove": True} if running else {})
            elif has_life(turn.catalogue, resource.type):
                raise Conflict(f"{a(type_name)} cannot be removed")
            else:
                turn.delete(resource)
        case Run(verb, given):
            process = turn.catalogue.process_of(type_name, verb)
            if process is None:
                raise Refused("InvalidAction", f"{a(type_name)} has no action {verb}")
            _begin(turn, resource, process, given)
        case Ended(reason, position, leaves):
            if resource.state == "running" and not resource.open and resource.position == position:
                process = turn.catalogue.process("instance.restart")
                given = {"haRestart": True, "deallocateFromHost": True} if leaves else {"haRestart": True}
                turn.begin(resource.stream, process, input=given, reason=reason)
        case Retry() | Cancel() | ForceRemove() | DeclareDead():
            intervene(turn, type_name, resource, command)
        case _:
            assert_never(command)


def _update(turn: Turn, type_name: str, resource: Resource, fields: Json) -> None:
    """The differences only; a field flagged so also runs <type>.update."""
    kind = turn.catalogue.type(type_name)
    differing = {name: value for name, value in fields.items() if resource.get(name) != value}
    if not differing:
        return
    changes = changes_for(kind, differing)
    if not changes:
        return
    claims, releases = uniqueness.swapped(turn.catalogue.root_type(type_name), resource, differing)
    turn.merge(resource.stream, changes, claims, releases)
    process = turn.catalogue.process_of(type_name, "update")
    if process and any(kind.fields[name].schedules_update for name in differing) and resource.state in process.start:
        turn.begin(resource.stream, process)


def _begin(turn: Turn, resource: Resource, process: Process, given: Json) -> None:
    """Begins the process; no event where it is under way or done already; refused where the state doesn't allow it."""
    state = resource.row.get(process.field) or ""
    bracket = resource.open.get(process.field)
    if bracket is not None and process.name in (bracket.process, bracket.origin):
        wanted = {**bracket.input, **{name: value for name, value in given.items() if value}}
        if not given.get("start"):
            wanted.pop("start", None)  # a stop is more than the one of a restart, which starts again
        if wanted == bracket.input:
            return  # stopping twice is stopping once, unless the second says more
        given = wanted
    if state in process.dones and state not in process.start and bracket is None:
        return
    if not turn.accepts(resource, process):
        told = f"{resource.name} is {state or 'absent'}"
        if process.verb == "remove" and state == "active" and turn.catalogue.process_of(resource.type, "deactivate"):
            told += f", so deactivate it first (POST /v1/{turn.catalogue.type(resource.type).plural.lower()}/<id>?action=deactivate)"
        raise Conflict(f"{told}: {process.name} is possible when it is {' or '.join(process.start)}")
    pid = turn.begin(resource.stream, process, input=given)
    under_way = turn.catalogue.process(bracket.process) if bracket is not None else None
    if under_way is not None and under_way.creates and under_way.delegate == process.name:
        turn.create_first(resource.stream, pid, under_way)


def has_life(catalogue: Catalogue, type_name: str) -> bool:
    """Whether a type has a state of its own. A row of one that has none is simply there, or not."""
    return "state" in catalogue.root_type(type_name).fields

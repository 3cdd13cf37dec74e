"""What an operator may do to any resource in any state: ask again, end what is under way, take it away. Pure; the engine carries it out.

Each is an event with its actor (metadata) and reason, so that the log tells who did it and why.
"""

from __future__ import annotations

from dataclasses import dataclass

from commands import events
from commands.catalogue.fields import date_text
from commands.errors import Conflict, a
from commands.resource import Json, Open, Resource
from commands.turns import dead
from commands.turns.intake import GONE
from commands.turns.purges import FORCED
from commands.turns.turn import Turn

WITHOUT_REASON = "no reason given"


@dataclass(frozen=True, slots=True)
class Retry:
    """What is under way: failed and silent commands are asked again at once. Else the process that failed last begins again."""

    reason: str = WITHOUT_REASON


@dataclass(frozen=True, slots=True)
class Cancel:
    """What is under way takes its failure path, as if a step had failed for this reason."""

    reason: str = WITHOUT_REASON


@dataclass(frozen=True, slots=True)
class ForceRemove:
    """Removed at once, whatever is under way. What agents must confirm to be gone is left to its purge, and stays claimed until then."""

    reason: str = WITHOUT_REASON


@dataclass(frozen=True, slots=True)
class DeclareDead:
    """Of a host: nothing there is waited for any more (commands.turns.dead)."""

    reason: str = WITHOUT_REASON


Intervention = Retry | Cancel | ForceRemove | DeclareDead


def intervene(turn: Turn, type_name: str, resource: Resource, intervention: Intervention) -> None:
    match intervention:
        case Retry(reason):
            _retry(turn, resource, reason)
        case Cancel(reason):
            for state_field, bracket in resource.open.items():
                if bracket.cancel is None:
                    turn.emit(resource.stream, events.CANCEL_REQUESTED, _about(bracket, state_field, reason))
        case ForceRemove(reason):
            _force_remove(turn, type_name, resource, reason)
        case DeclareDead(reason):
            dead.declare(turn, resource, reason)


def _retry(turn: Turn, resource: Resource, reason: str) -> None:
    for state_field, bracket in resource.open.items():
        turn.emit(resource.stream, events.PROCESS_RETRIED, _about(bracket, state_field, reason))
    if resource.open or resource.failed is None:
        return
    process = turn.catalogue.process(resource.failed)
    if not turn.accepts(resource, process):
        raise Conflict(f"{resource.name} is {resource.state} since {process.name} failed: it can't be retried from there")
    turn.begin(resource.stream, process, reason=reason)


def _force_remove(turn: Turn, type_name: str, resource: Resource, reason: str) -> None:
    if resource.removed or resource.state in GONE:
        return
    process = turn.catalogue.process_of(type_name, "remove")
    if process is None:
        raise Conflict(f"{a(type_name)} cannot be removed")
    for state_field, bracket in resource.open.items():
        turn.cancel(resource.stream, bracket, state_field, f"{type_name} removed by force: {reason}", back=state_field != process.field)
    now = date_text(turn.now)
    changes: Json = {"removed": now, "removeTime": now, "+data": {FORCED: reason}}
    data: Json = {
        "process": process.name, "field": process.field, "from": resource.state, "via": [process.via_of(resource.state)],
        "to": process.done_of(process.via_of(resource.state)), "forced": reason, "changes": changes,
    }  # fmt: skip
    turn.emit(resource.stream, events.TRANSITIONED, data)


def _about(bracket: Open, state_field: str, reason: str) -> Json:
    return {"pid": bracket.pid, "process": bracket.process, "field": state_field, "reason": reason}

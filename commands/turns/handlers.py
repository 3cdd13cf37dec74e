"""External handlers: which are in force, where they stand among a process' built-in logic, and the event that asks one. Pure.

    externalHandler --map--> externalHandlerProcess "pre.instance.start"      in force while all three are active

A process keeps the handlers that were in force when it began (handlers-joined): a change counts from the next one on. Only
a handler that is deactivated or removed is passed over at once, also by those that wait for it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agents.wire import Message
from commands.catalogue.catalogue import Catalogue
from commands.catalogue.ids import api_id
from commands.catalogue.model import PHASES, PRIORITIES, Logic, Phase, Process
from commands.catalogue.secrets import masked, secret_names
from commands.errors import Refused
from commands.resource import ACTIVE

if TYPE_CHECKING:
    from commands.resource import Asked, Json, Open, Resource
    from commands.turns.fleet import Fleet
    from commands.turns.world import World

HANDLER, PROCESS, MAP = "externalHandler", "externalHandlerProcess", "externalHandlerExternalHandlerProcessMap"

ROWS = (HANDLER, PROCESS, MAP)

EXAMPLES = {HANDLER: "instance.start;handler=demo", PROCESS: "pre.instance.start"}

ATTEMPTS = 3
TIMEOUT = 15.0
"""How often and how many seconds apart a handler is asked that says nothing else (Cattle: eventing.retry, eventing.timeout.millis)."""

CONTINUE = "continue"
"""What a result's key of this name, or an `onError`, says: those after this handler run too."""


@dataclass(frozen=True, slots=True)
class Handler:
    """An external handler's place in one phase of one process."""

    id: int
    name: str
    phase: Phase
    priority: int
    on_error: str | None = None
    """What its error leads to: "continue", or the process that undoes (of its `data.onError`); None: what the process' failure does."""
    since: int = 0
    """The position from which on it is in force."""

    def event(self, process: str) -> str:
        """pre.instance.start;handler=demo"""
        prefix = "" if self.phase == "handlers" else f"{self.phase}."
        return f"{prefix}{process};handler={self.name}"

    def recorded(self) -> Json:
        told = {"id": self.id, "name": self.name, "phase": self.phase, "priority": self.priority}
        return {**told, "onError": self.on_error} if self.on_error else told

    @classmethod
    def of(cls, recorded: Mapping[str, Any]) -> Handler:
        return cls(recorded["id"], recorded["name"], recorded["phase"], recorded["priority"], recorded.get("onError"))


def in_force(fleet: Fleet) -> dict[str, tuple[Handler, ...]]:
    """Process -> the handlers that take part in one that begins now."""
    found: dict[str, list[Handler]] = {}
    for each in fleet.all(MAP):
        handler = fleet.get(HANDLER, each.row.get("externalHandlerId"))
        process = fleet.get(PROCESS, each.row.get("externalHandlerProcessId"))
        if handler is None or process is None or not all(row.state in ACTIVE and not row.removed for row in (each, handler, process)):
            continue
        phase, name = phase_and_process(str(process.row.get("name") or ""))
        since = max(row.active_since for row in (each, handler, process))
        found.setdefault(name, []).append(Handler(handler.id, name_of(handler), phase, priority_of(handler), on_error(handler), since))
    return {name: tuple({(each.id, each.phase): each for each in handlers}.values()) for name, handlers in found.items()}


def name_of(handler: Resource) -> str:
    return str(handler.row.get("name") or handler.row["uuid"])


def priority_of(handler: Resource) -> int:
    given = _whole(handler.row.get("priority"))
    return PRIORITIES.get(str(handler.fields.get("priorityName")), PRIORITIES["specific"]) if given is None else given


def on_error(handler: Resource) -> str | None:
    given = handler.data.get("onError")
    return str(given) if given else None


def phase_and_process(name: str) -> tuple[Phase, str]:
    first, _, rest = name.strip().lower().partition(".")
    for phase in PHASES:
        if first == phase != "handlers" and "." in rest:
            return phase, rest
    return "handlers", name.strip().lower()


# --- what one may be told -------------------------------------------------------------------------------------------


def check(catalogue: Catalogue, type_name: str, fields: Mapping[str, Any], *, creating: bool) -> None:
    """Raises Refused for a handler that nobody could listen as, or for a process that there is not: neither would ever be answered."""
    if type_name in (HANDLER, PROCESS) and (creating or "name" in fields) and not str(fields.get("name") or "").strip():
        raise Refused("MissingRequired", f"give a name, as in {EXAMPLES[type_name]}", "name")
    if type_name == PROCESS and "name" in fields:
        check_process(catalogue, str(fields["name"]), "name")
    for name in names_in(fields.get("processNames")) if type_name == HANDLER else ():
        check_process(catalogue, name, "processNames")


def check_process(catalogue: Catalogue, name: str, field: str) -> None:
    _, process = phase_and_process(name)
    if process in catalogue.processes:
        return
    kind = process.partition(".")[0]
    siblings = sorted(each for each in catalogue.processes if each.startswith(f"{kind}."))
    near = siblings or [*difflib.get_close_matches(process, catalogue.processes, 3, 0.7), "<type>.<process> as in instance.start"]
    possible = f"{', '.join(near)}; each also after pre. or post."
    raise Refused("InvalidOption", f"there is no process {name!r}; possible: {possible}", field)


def names_in(given: Iterable[Any] | None) -> list[str]:
    """pre.instance.start, ...: from a list, of which each may be several with commas between them."""
    written = (each.strip() for text in given or () for each in str(text).split(","))
    return list(dict.fromkeys(each for each in written if each))


# --- the order in which a process runs ------------------------------------------------------------------------------


def merged_logic(process: Process, handlers: Iterable[Handler]) -> dict[Phase, list[Logic | Handler]]:
    """All that a process runs, by phase, in order: the built-in as the catalogue has it, each handler before the first built-in
    of a higher (priority, name)."""
    taking_part = list(handlers)
    return {phase: _merged(process.logic[phase], [each for each in taking_part if each.phase == phase]) for phase in PHASES}


def _merged(built_in: Iterable[Logic], handlers: list[Handler]) -> list[Logic | Handler]:
    waiting = sorted(handlers, key=lambda each: (each.priority, each.name, each.id))
    merged: list[Logic | Handler] = []
    for logic in built_in:
        while waiting and (waiting[0].priority, waiting[0].name) < (logic.priority, logic.name):
            merged.append(waiting.pop(0))
        merged.append(logic)
    return [*merged, *waiting]


# --- asking one -----------------------------------------------------------------------------------------------------


def event(world: World, resource: Resource, bracket: Open, asked: Asked, reply_to: str) -> Message:
    """The request as Cattle's handlers know it, whatever carries it."""
    handler = world.fleet.get(HANDLER, asked.handler)
    _, top = top_of(world, resource, bracket)
    ident = api_id(resource.type, resource.id, world.catalogue)
    return Message(
        id=asked.id,
        name=asked.command,
        replyTo=reply_to,
        resourceType=resource.type,
        resourceId=ident,
        data=masked(launch_data(world, resource, bracket), secret_names(world.catalogue)),
        publisher="corral",
        timeoutMillis=int(timeout_of(handler) * 1000),
        context={
            "epoch": asked.epoch, "stream": resource.stream, **bracket.ties.context(asked.id, bracket.process),
            "processUuid": bracket.pid, "topProcessName": top.origin, "logicName": asked.command,
            "prettyProcess": f"{bracket.process}[{ident}]", "prettyResource": f"{resource.type}:{ident}",
        },
    )  # fmt: skip


def launch_data(world: World, resource: Resource, bracket: Open) -> Json:
    """What the process was started with: an action's input, of a create what it was created from, nested its parent's."""
    whole, top = top_of(world, resource, bracket)
    if bracket.input or top.input:
        return bracket.input or top.input
    if not any(name.endswith(".create") for name in (top.process, top.origin)):
        return {}
    kind = world.catalogue.type(whole.kind if whole.kind in world.catalogue.types else whole.type)
    given = {name: whole.get(name) for name, each in kind.fields.items() if "c" in each.admin and each.store in ("col", "fld")}
    return {name: value for name, value in given.items() if value is not None and name != "data"}


def attempts_of(handler: Resource | None) -> int:
    """How often it is asked until the process is parked."""
    given = _whole(handler.fields.get("retries")) if handler is not None else None
    return ATTEMPTS if given is None else max(1, given)


def timeout_of(handler: Resource | None) -> float:
    """Seconds between two of these."""
    given = _whole(handler.fields.get("timeoutMillis")) if handler is not None else None
    return TIMEOUT if given is None else max(1.0, given / 1000)


def top_of(world: World, resource: Resource, bracket: Open) -> tuple[Resource, Open]:
    """The process that began the tree that this one is nested in, and its resource."""
    while bracket.parent is not None:
        outer = next(((each, b) for each in world.resources.values() for b in each.open.values() if b.pid == bracket.parent), None)
        if outer is None:
            break
        resource, bracket = outer
    return resource, bracket


def _whole(value: Any) -> int | None:
    """Fields may be set through `data`, unchecked: what is no whole number says nothing."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None

"""What an external handler's activation decides: which processes it names, each found or created, and its maps to them."""

from __future__ import annotations

from commands.catalogue.model import Target
from commands.resource import Resource
from commands.turns.handlers import names_in, phase_and_process
from commands.turns.turn import Turn
from eventstore import Release

NAMES = "externalHandlerProcess.name"
"""The claims' scope that makes a process' name the name of one externalHandlerProcess."""

BEGINNING = frozenset({"requested", "registering", "activating"})

MAP = "externalHandlerExternalHandlerProcessMap"


def named_processes(turn: Turn, handler: Resource) -> list[Target]:
    """The processes named and not there yet, or on their way. (One that is there is left as it is: inactive if somebody made it so.)"""
    targets = []
    for name in _names(turn, handler):
        present = _process(turn, name)
        if present is None:
            targets.append(Target("externalHandlerProcess", None, {"name": name}, (NAMES, name)))
        elif present.state in BEGINNING:
            targets.append(Target("externalHandlerProcess", present.id))
    return targets


def map_processes(turn: Turn, handler: Resource) -> None:
    mapped = {each.row.get("externalHandlerProcessId") for each in turn.children(MAP, "externalHandlerId", handler.id)}
    for name in _names(turn, handler):
        process = _process(turn, name)
        if process is not None and process.id not in mapped:
            turn.create(MAP, {"externalHandlerId": handler.id, "externalHandlerProcessId": process.id})


def forget_names(turn: Turn, handler: Resource) -> None:
    """The maps hold them from now on."""
    if handler.fields.get("processNames") is not None:
        turn.change(handler, {"processNames": None})


def leave_name(turn: Turn, process: Resource) -> None:
    """externalHandlerProcess.remove: whoever names it next makes one anew."""
    if names := tuple(Release(*each) for each in process.held if each[0] == NAMES):
        turn.merge(process.stream, {}, releases=names)


def _names(turn: Turn, handler: Resource) -> list[str]:
    """Those that it names and that there are (free data may hold anything)."""
    given = handler.fields.get("processNames")
    written = names_in(given if isinstance(given, list) else [given] if given else None)
    return [each for each in written if phase_and_process(each)[1] in turn.catalogue.processes]


def _process(turn: Turn, name: str) -> Resource | None:
    """The oldest of the name."""
    own = [each for each in turn.resources.values() if each.type == "externalHandlerProcess"]
    seen = {each.id: each for each in (*turn.fleet.all("externalHandlerProcess"), *own)}
    of_name = (each for each in seen.values() if each.row.get("name") == name and not each.removed)
    return min(of_name, key=lambda each: each.id, default=None)

"""A turn's processes that a step waits for: on what its root holds, inside ours (Child, Own), or on what others share (Join).

Each looks first how far it is: done, under way, failed, or to be begun.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands import events
from commands.catalogue.model import Target
from commands.errors import Failure
from commands.resource import Resource
from commands.turns import asking
from eventstore import Claim

if TYPE_CHECKING:
    from commands.turns.turn import Turn


def nested(turn: Turn, stream: str, name: str, parent: str, ignore_invalid: bool = False) -> bool:
    """A process on a resource of this root, inside ours. True: it is done."""
    process = turn.catalogue.process(name)
    resource = turn.resources[stream]
    other = resource.open.get(process.field)
    if other is not None and other.parent is None and name not in (other.process, other.origin) and not turn.accepts(resource, process):
        if turn.advance(stream, other.pid) is None:  # somebody's own command to it (an update, say): it ends first
            return False
        resource = turn.resources[stream]
    bracket = resource.open.get(process.field)
    state = resource.row.get(process.field) or ""
    if bracket is not None and name in (bracket.process, bracket.origin):
        pid = bracket.pid
    elif state in process.dones and state not in process.start and bracket is None:
        return True
    elif turn.accepts(resource, process):
        pid = turn.begin(stream, process, parent=parent)
    elif ignore_invalid:
        return True
    else:
        raise _impossible(resource, state, name)
    outcome = turn.advance(stream, pid)
    if outcome is not None and outcome.startswith("failed: "):
        raise Failure(outcome.removeprefix("failed: "))
    return outcome == "done"


def joined(turn: Turn, stream: str, pid: str, target: Target, name: str) -> bool:
    """A process on a shared resource, as a root of its own: begun, or the one under way; its end wakes ours. True: it is done."""
    process = turn.catalogue.process(name)
    resource = turn.get(target.type, target.id)
    if resource is None:
        if target.create is None:
            raise Failure(f"{target.type} {target.id} does not exist")
        claims = (Claim(*target.claim),) if target.claim else ()
        resource = turn.create(target.type, dict(target.create), claims=claims)
    if resource.stream in turn.triggers.failed:
        raise Failure(turn.triggers.failed[resource.stream])
    under_way = resource.open.get(process.field)
    if under_way is None:
        state = resource.row.get(process.field) or ""
        if state in process.dones:
            return True
        if not turn.accepts(resource, process):
            raise _impossible(resource, state, name)
        turn.begin(resource.stream, process)
    elif under_way.retried < asking.retried(turn, stream, pid):
        data = {"pid": under_way.pid, "process": under_way.process, "field": process.field, "reason": f"for {stream}"}
        turn.emit(resource.stream, events.PROCESS_RETRIED, data)
    turn.joined.setdefault(pid, []).append((resource.stream, process.field))
    return False


def _impossible(resource: Resource, state: str, process: str) -> Failure:
    return Failure(f"{resource.name} is {state}: {process} is not possible")

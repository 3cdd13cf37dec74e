"""External handlers' part of a turn: they run among the built-in logic of a process, in the order that commands.turns.handlers tells.

    asked -> waits -> a result: merged; in the handlers phase it replaces what comes after it, unless it says continue
                   -> an error: the process fails, or goes on, as the handler's onError says
                   -> silence:  asked again, then the process is parked; it goes on with the answer, or once the handler is deactivated
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from agents.wire import handler_subject
from commands import events
from commands.catalogue.model import Process
from commands.errors import Failure
from commands.resource import Asked, Open, ask_key
from commands.turns import asking
from commands.turns.handlers import CONTINUE, Handler, merged_logic, top_of

if TYPE_CHECKING:
    from commands.turns.turn import Turn

Outcome = Literal["waits", "replaces", "passes"]


def run(turn: Turn, stream: str, bracket: Open, process: Process) -> bool:
    """Runs the process' logic and stops at the first of it that waits. True: all is done."""
    pid = bracket.pid
    handlers = _taking_part(turn, stream, bracket, process)
    if not handlers:
        return all(turn.step(stream, pid, step) for step in process.steps)
    for phase, logic in merged_logic(process, handlers).items():
        replaced = built_in = False
        for each in logic:
            if not isinstance(each, Handler):
                if replaced and not each.always:
                    continue
                if not all(turn.step(stream, pid, step) for step in each.steps):
                    return False
                built_in = built_in or (phase == "handlers" and not each.continues and not each.always)
            elif not replaced and not built_in:
                outcome = _call(turn, stream, pid, process, each)
                if outcome == "waits":
                    return False
                replaced = phase == "handlers" and outcome == "replaces"
    return True


def silence(asked: Asked) -> str:
    """Why a process is parked whose handler does not answer."""
    return (
        f"external handler {asked.command.partition(';handler=')[2]} has not answered {asked.command}: it is asked again, and this goes on "
        f"when it answers or is deactivated. See whether it runs and listens to {handler_subject(asked.command)}"
    )


def _taking_part(turn: Turn, stream: str, bracket: Open, process: Process) -> list[Handler]:
    """The handlers in force when the tree of processes began that this one is part of: recorded as soon as there are any."""
    if bracket.handlers:
        return [Handler.of(each) for each in bracket.handlers]
    in_force = turn.fleet.handlers.get(process.name)  # there are none, mostly
    if not in_force:
        return []
    found = [each for each in in_force if _minds(turn, stream, bracket, each)]
    if found:
        turn.join_handlers(stream, bracket.pid, [each.recorded() for each in found])
    return found


def _minds(turn: Turn, stream: str, bracket: Open, handler: Handler) -> bool:
    """Whether the handler was in force already when the tree of processes began."""
    _, top = top_of(turn, turn.resources[stream], bracket)
    return not top.horizon or handler.since <= top.horizon


def _call(turn: Turn, stream: str, pid: str, process: Process, handler: Handler) -> Outcome:
    bracket = turn.bracket(stream, pid)
    command = handler.event(process.name)
    asked = bracket.asked.get(ask_key(command, handler.id))
    if asked is not None and asked.answered:
        return "passes" if asked.passes else "replaces"
    present = (each for each in turn.fleet.handlers.get(process.name, ()) if (each.id, each.phase) == (handler.id, handler.phase))
    if not any(_minds(turn, stream, bracket, each) for each in present):
        if asked is not None and asked.error is None:
            turn.emit(stream, events.STEP_SUCCEEDED, {"pid": pid, "id": asked.id, "passes": True, "skipped": "the handler is deactivated"})
        return "passes"
    asking.resumed(turn, stream, bracket)
    if asked is None:
        data = {"pid": pid, "command": command, "id": turn.new_id(), "handler": handler.id}
        turn.emit(stream, events.STEP_REQUESTED, data)
    elif asked.error is not None:
        if handler.on_error != CONTINUE:
            raise Failure(asked.error, _undoing(turn, stream, bracket, handler))
        return "passes"
    return "waits"


def _undoing(turn: Turn, stream: str, bracket: Open, handler: Handler) -> str | None:
    """The process that the handler names in onError, where it can follow."""
    name = handler.on_error
    process = turn.catalogue.processes.get(name or "")
    if process is None or bracket.parent is not None or name in (bracket.process, bracket.origin):
        return None
    resource = turn.resources[stream]
    mine = turn.catalogue.process(bracket.process)
    fits = (process.type, process.field) == (mine.type, mine.field) and turn.accepts(resource, process)
    return process.name if fits else None

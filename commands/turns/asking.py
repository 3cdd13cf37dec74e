"""A turn's commands to agents (the step Ask): each looks whether it was asked, and answered, before anything is drafted.

    not asked -> step-requested -> waits -> answered: done
                      ^                  -> an error: asked again later, until its tries are over: the process fails
                      `------------------------- one without such an end is parked, and goes on being asked
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands import events
from commands.catalogue.model import Ask
from commands.errors import Failure, Gone
from commands.resource import Json, Open

if TYPE_CHECKING:
    from commands.turns.turn import Turn

MAX_BACKOFF = 15.0
"""Seconds at most between two tries of a command that is answered with an error."""

PARK_AFTER = 3
"""Error answers to a command that is never given up, until people are told (it goes on being asked)."""


def ask(turn: Turn, stream: str, pid: str, step: Ask) -> bool:
    """A command to an agent: requested, answered, or asked again after an error answer. True: nothing is waited for."""
    bracket = turn.bracket(stream, pid)
    asked = bracket.asked.get(step.command)
    if asked is not None and asked.answered:
        return True
    try:
        agent = step.agent(turn, turn.resources[stream])
    except Gone as gone:
        if step.aside or not step.tries:
            return True
        raise Failure(str(gone)) from gone
    if agent is None:
        return True
    bracket = resumed(turn, stream, bracket)
    if asked is None:
        _request(turn, stream, pid, step.command, agent, 1, step.aside)
        return step.aside
    elif asked.error is not None:
        tries = step.tries(turn, turn.resources[stream]) if callable(step.tries) else step.tries
        if asked.epoch < retried(turn, stream, pid):
            _request(turn, stream, pid, step.command, agent, 1)
        elif tries and asked.tries >= tries:
            raise Failure(asked.error)
        elif turn.is_due(asked):
            _request(turn, stream, pid, step.command, agent, asked.tries + 1)
        elif not tries and asked.tries >= PARK_AFTER and bracket.parked is None:
            reason = f"{step.command} fails: {asked.error}. It is asked again every {MAX_BACKOFF:.0f} s"
            turn.emit(stream, events.PROCESS_PARKED, {"pid": pid, "id": asked.id, "reason": reason})
    return False


def resumed(turn: Turn, stream: str, bracket: Open) -> Open:
    """A process that waits for an answer, which an operator's retry takes out of its parking."""
    if bracket.parked and bracket.parked_at < retried(turn, stream, bracket.pid):
        turn.emit(stream, events.PROCESS_RESUMED, {"pid": bracket.pid})
    return turn.bracket(stream, bracket.pid)


def retried(turn: Turn, stream: str, pid: str) -> int:
    """The position of the last retry of this process, or of one that waits for it; 0: none."""
    bracket = turn.find(stream, pid)
    newest = 0
    while bracket is not None:
        newest = max(newest, bracket.retried)
        parent = bracket.parent
        outer = (each for resource in turn.resources.values() for each in resource.open.values() if parent and each.pid == parent)
        bracket = next(outer, None)
    return newest


def _request(turn: Turn, stream: str, pid: str, command: str, agent: int, attempt: int, aside: bool = False) -> None:
    data: Json = {"pid": pid, "command": command, "id": turn.new_id(), "agent": agent}
    if aside:
        data["aside"] = turn.bracket(stream, pid).process
    if attempt > 1:
        data["try"] = attempt
    turn.emit(stream, events.STEP_REQUESTED, data)

"""An execution of a task: a row of the log from its beginning to its end, and a claim in between. So there is one of a task at a time.

    created {taskId, startTime} + claim tasks/<name> --> every engine does its part --> updated {endTime, serverId, exception?} + release
"""

from __future__ import annotations

from commands.accepting.service import Actor, Commands, Outcome
from commands.catalogue.fields import date_text
from commands.catalogue.tasks import BY_NUMBER, TASK_INSTANCE
from commands.errors import Conflict
from commands.resource import Resource
from commands.snapshots import latest
from commands.turns.turn import Turn
from eventstore import Claim, CommandKey, Release, Taken, WrongVersion

SCOPE = "tasks"

TRIES = 20

MOST_TEXT = 255
"""Characters of an exception."""


async def begin(commands: Commands, number: int, actor: Actor, key: CommandKey | None = None) -> Outcome:
    """-> the task's execution that is under way then, whoever began it."""
    task = BY_NUMBER[number]

    def draft(turn: Turn) -> str:
        row = {"name": task.name, "taskId": number, "startTime": date_text(turn.now)}
        return turn.new_row(TASK_INSTANCE, row, None, (Claim(SCOPE, task.name),))[0]

    if key is not None and (before := await commands.before(key, TASK_INSTANCE)) is not None:
        return before
    for _ in range(TRIES):
        try:
            return await commands.carry_out(draft, actor, key=key)
        except Taken as taken:
            execution = await latest(commands.store, taken.holder)
        try:
            return await commands.nothing_to_do(execution, key, 200)
        except WrongVersion:  # it ended meanwhile: then there is room for another
            continue
    raise Conflict(f"{task.name} is executed by others again and again: try again")


async def end(commands: Commands, stream: str, server: str, error: str | None = None) -> None:
    """Whoever is first; for anybody else there is nothing to do any more."""
    execution = await latest(commands.store, stream)
    if not is_under_way(execution):
        return

    def draft(turn: Turn) -> str:
        changes = {"endTime": date_text(turn.now), "serverId": server[:128], "exception": error[:MOST_TEXT] if error else None}
        turn.merge(stream, changes, releases=(Release(SCOPE, str(execution.row["name"])),))
        return stream

    try:
        await commands.carry_out(draft, Actor(correlation=f"corral:{stream}"), about=execution)
    except WrongVersion:
        return


def is_under_way(execution: Resource) -> bool:
    return execution.exists and execution.row.get("endTime") is None and not execution.removed

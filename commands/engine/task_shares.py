"""What an engine does of a task that is executed: for the partitions that it has, as soon as the log tells of the execution."""

from __future__ import annotations

from commands.catalogue import tasks
from commands.engine.wakeups import Wakeups
from commands.sending.dispatch import Dispatch
from commands.watching.presence import PresenceWatch


def do_share(wakeups: Wakeups, dispatch: Dispatch, presence: PresenceWatch, task: str) -> None:
    """What is done once, whatever the number of engines, is not here but in TaskRunner."""
    match task:
        case tasks.REPLAY | tasks.MONITOR:
            wakeups.look(everything=True)
        case tasks.PURGE:
            wakeups.look()
        case tasks.PING:
            presence.ask()
        case tasks.RETRY:
            dispatch.hurry_all()

"""Named places where a test kills the whole server: CORRAL_FAILPOINT=<name> ends the process there as kill -9 would.

The names are made from the catalogue (see `of_process`), so that a new command is covered as soon as it exists.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Sequence

from commands import events
from commands.catalogue.builtin import commands_of
from commands.catalogue.catalogue import Catalogue
from eventstore import Write

VARIABLE = "CORRAL_FAILPOINT"

_armed = os.environ.get(VARIABLE, "")


def reach(name: str) -> None:
    """Ends this process at once if `name` is the armed failpoint."""
    if _armed and name == _armed:
        os.kill(os.getpid(), signal.SIGKILL)


def reach_all(when: str, what: str, names: Iterable[str]) -> None:
    if _armed:
        for name in names:
            reach(f"{when}-{what}-{name}")


def of_writes(writes: Sequence[Write]) -> Iterator[str]:
    """The moments of an engine's append: the commands it asks for, the processes it ends."""
    for write in writes:
        for event in write.events:
            if event.type == events.STEP_REQUESTED:
                yield event.data["command"]
            elif event.type == events.PROCESS_SUCCEEDED:
                yield f"{event.data['process']}-done"


def of_process(catalogue: Catalogue, process: str) -> list[str]:
    """Before and after every append, publish and reply of a process: append-<command>, publish-<command>, reply-<command>;
    append-accepted and append-<done state> for the first and the last append."""
    commands = commands_of(catalogue, process)
    described = catalogue.process(process)
    last = catalogue.process(described.delegate) if described.delegate else described
    moments = [f"append-{process}"]
    for command in commands:
        moments += [f"append-{command}", f"publish-{command}", f"reply-{command}"]
    moments += [f"append-{last.name}-done"]
    return [f"{when}-{moment}" for moment in moments for when in ("before", "after")]

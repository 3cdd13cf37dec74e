"""The closed vocabulary of the log: event types, and what their data holds.

The names are the storage format and the last tokens of NATS subjects. Every event may carry `changes`, in the merge
syntax of commands.merge, which evolve applies to the row.

    created            {kind?, changes}                            a resource's first event
    updated            {changes, actor's words?}                   fields changed outside or inside a process
    transitioned       {process, field, from, via: [..], to, changes?}   a process that began and ended within one turn
    process-started    {pid, process, field, from, via, input?, parent?, compensation?, origin?, handlers?, seen?}
                                                                   seen: how far the engine that began it by itself had followed the log
    handlers-joined    {pid, handlers: [{id, name, phase, priority, onError?}]}   the external handlers that take part in a process
    step-requested     {pid?, command, id, agent | handler, try?, instead?, aside?}  a command to an agent (its epoch is this event's
                                                                   position), or to a handler. Without pid: it undoes what a closed
                                                                   process left behind, `instead` of one that was answered with an
                                                                   error. aside: the process that asks, and doesn't wait for the answer
    step-succeeded     {pid?, id, changes?, late?, passes?, skipped?}   late: what asked waits no more, or never did; nothing is merged.
                                                                   passes: a handler's result that lets others run after it
    step-failed        {pid?, id, error, late?}                    an error answer
    progressed         {pid, percent?, message?}                   at most one a second
    process-succeeded  {pid, process, field, to?, changes?}        to absent: another process follows from the via state
    process-failed     {pid, process, field, error, to?, parent?}  to absent: compensation follows from the via state
    process-parked     {pid, id, reason}                           no answer in time; goes on by itself when it comes. id: the
                                                                   command's, or the stream's whose process is parked
    process-resumed    {pid}                                       what it was parked for goes on
    process-retried    {pid, process, field, reason}               an operator: what failed or is silent is asked again at once
    cancel-requested   {pid, process, field, reason}               an operator: the process takes its failure path
    process-cancelled  {pid, process, field, reason, to?}          superseded by another process, or ended with its parent

A removal that an operator forces is a `transitioned` with {forced: reason}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CREATED = "created"
UPDATED = "updated"
TRANSITIONED = "transitioned"
PROCESS_STARTED = "process-started"
HANDLERS_JOINED = "handlers-joined"
STEP_REQUESTED = "step-requested"
STEP_SUCCEEDED = "step-succeeded"
STEP_FAILED = "step-failed"
PROCESS_SUCCEEDED = "process-succeeded"
PROCESS_FAILED = "process-failed"
PROGRESSED = "progressed"
PROCESS_PARKED = "process-parked"
PROCESS_RESUMED = "process-resumed"
PROCESS_RETRIED = "process-retried"
CANCEL_REQUESTED = "cancel-requested"
PROCESS_CANCELLED = "process-cancelled"

ENDS = frozenset({TRANSITIONED, PROCESS_SUCCEEDED, PROCESS_FAILED, PROCESS_CANCELLED})
"""What wakes those who wait for a process."""

NEWS = frozenset({PROCESS_PARKED, PROCESS_RESUMED, PROGRESSED})
"""What those who wait for a process show of it meanwhile."""

WAKES = frozenset({PROCESS_STARTED, PROCESS_RETRIED, CANCEL_REQUESTED, STEP_SUCCEEDED, STEP_FAILED})
"""What a command, or an answer that came without NATS, appends to have the root take a turn."""

_BRACKET = frozenset({"pid", "process", "field"})

KEYS: Mapping[str, frozenset[str]] = {
    CREATED: frozenset(),
    UPDATED: frozenset(),
    TRANSITIONED: frozenset({"process", "field", "from", "via", "to", "compensation", "forced"}),
    PROCESS_STARTED: _BRACKET | {"from", "via", "input", "parent", "compensation", "reason", "handlers", "seen"},
    HANDLERS_JOINED: frozenset({"pid", "handlers"}),
    STEP_REQUESTED: frozenset({"pid", "command", "id", "agent", "handler", "try", "instead", "aside"}),
    STEP_SUCCEEDED: frozenset({"pid", "id", "late", "passes", "skipped"}),
    STEP_FAILED: frozenset({"pid", "id", "error", "late"}),
    PROGRESSED: frozenset({"pid", "percent", "message"}),
    PROCESS_SUCCEEDED: _BRACKET | {"to"},
    PROCESS_FAILED: _BRACKET | {"error", "to", "parent"},
    PROCESS_PARKED: frozenset({"pid", "id", "reason"}),
    PROCESS_RESUMED: frozenset({"pid"}),
    PROCESS_RETRIED: _BRACKET | {"reason"},
    CANCEL_REQUESTED: _BRACKET | {"reason"},
    PROCESS_CANCELLED: _BRACKET | {"reason", "to"},
}
"""Event type -> what its data may hold beside `changes`. Each of it is in tests/golden, as it was written once: docs/adding.md."""

ALL = tuple(KEYS)


def wakes(kind: str, data: dict[str, Any]) -> bool:
    """Whether an event asks for a turn of its root."""
    return kind in WAKES or bool(data.get("forced"))

"""The closed vocabulary of the log: event types, and what their data holds.

The names are the storage format and the last tokens of NATS subjects. Every event may carry `changes`, in the merge
syntax of commands.merge, which evolve applies to the row.

    created            {kind?, changes}                            a resource's first event
    updated            {changes, actor's words?}                   fields changed outside or inside a process
    transitioned       {process, field, from, via: [..], to, changes?}   a process that began and ended within one turn
    process-started    {pid, process, field, from, via, input?, parent?, compensation?, origin?}
    step-requested     {pid, command, id, agent, try}              a command to an agent; its epoch is this event's position
    step-succeeded     {pid, id, changes?, late?}
    step-failed        {pid, id, error, late?}                     an error answer
    process-succeeded  {pid, process, field, to?, changes?}        to absent: another process follows from the via state
    process-failed     {pid, process, field, error, to?, parent?}  to absent: compensation follows from the via state
    process-parked     {pid, id, reason}                           no answer in time; goes on by itself when it comes
    process-cancelled  {pid, process, field, reason, by?}          superseded by another process, or by an operator
"""

CREATED = "created"
UPDATED = "updated"
TRANSITIONED = "transitioned"
PROCESS_STARTED = "process-started"
STEP_REQUESTED = "step-requested"
STEP_SUCCEEDED = "step-succeeded"
STEP_FAILED = "step-failed"
PROCESS_SUCCEEDED = "process-succeeded"
PROCESS_FAILED = "process-failed"
PROCESS_PARKED = "process-parked"
PROCESS_CANCELLED = "process-cancelled"

ENDS = frozenset({TRANSITIONED, PROCESS_SUCCEEDED, PROCESS_FAILED, PROCESS_CANCELLED})
"""What wakes those who wait for a process."""

ALL = (
    CREATED, UPDATED, TRANSITIONED, PROCESS_STARTED, STEP_REQUESTED, STEP_SUCCEEDED, STEP_FAILED,
    PROCESS_SUCCEEDED, PROCESS_FAILED, PROCESS_PARKED, PROCESS_CANCELLED,
)

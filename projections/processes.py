"""What a process came to, folded from the events of its bracket: the row of the view of processes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime

from commands import events
from commands.resource import split_stream
from eventstore import Recorded


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """`state`: started, parked, succeeded, failed or cancelled. `parent`: the pid of the process that waits for it.
    `cause`: the id of the event that began it. `number`: that event's position, which names the process in the API."""

    number: int
    pid: str
    process: str
    type: str
    id: int
    field: str
    state: str
    started_at: datetime
    ended_at: datetime | None
    error: str | None
    parked: str | None
    parent: str | None
    cause: str
    correlation: str | None
    actor: int | None
    position: int


PROCESS_COLUMNS = tuple(field.name for field in fields(ProcessRow))


def pid_of(event: Recorded) -> str | None:
    """The process an event tells of. One that began and ended within a turn has its event's id."""
    if event.type == events.TRANSITIONED:
        return event.id
    pid = event.data.get("pid")
    return pid if isinstance(pid, str) else None


def evolve_process(row: ProcessRow | None, event: Recorded) -> ProcessRow | None:
    """The row after one more event of its bracket. Pure. None: nothing is known of it (its start was not seen)."""
    data = event.data
    match event.type:
        case events.TRANSITIONED:
            return replace(_begun(event, event.id), state="succeeded", ended_at=event.at)
        case events.PROCESS_STARTED if row is None:
            return _begun(event, data["pid"])
        case _ if row is None:
            return None
        case events.PROCESS_STARTED:  # a delegation: the same bracket goes on as another process
            return replace(row, process=str(data["process"]), state="started", parked=None, position=event.position)
        case events.STEP_SUCCEEDED if not data.get("late") and row.state == "parked":
            return replace(row, state="started", parked=None, position=event.position)
        case events.PROCESS_RESUMED | events.PROCESS_RETRIED if row.state == "parked":
            return replace(row, state="started", parked=None, position=event.position)
        case events.PROCESS_PARKED:
            return replace(row, state="parked", parked=str(data["reason"]), position=event.position)
        case events.PROCESS_SUCCEEDED:
            return _ended(row, event, "succeeded", None)
        case events.PROCESS_FAILED:
            return _ended(row, event, "failed", str(data["error"]))
        case events.PROCESS_CANCELLED:
            return _ended(row, event, "cancelled", str(data["reason"]))
    return row


def _begun(event: Recorded, pid: str) -> ProcessRow:
    type, number = split_stream(event.stream)
    data, metadata = event.data, event.metadata
    actor = metadata.get("actor")
    return ProcessRow(
        number=event.position,
        pid=pid,
        process=str(data["process"]),
        type=type,
        id=number,
        field=str(data["field"]),
        state="started",
        started_at=event.at,
        ended_at=None,
        error=None,
        parked=None,
        parent=_text(data.get("parent")),
        cause=str(metadata.get("causation") or event.id),
        correlation=_text(metadata.get("correlation")),
        actor=actor if isinstance(actor, int) else None,
        position=event.position,
    )


def _ended(row: ProcessRow, event: Recorded, state: str, error: str | None) -> ProcessRow:
    return replace(row, state=state, ended_at=event.at, error=error, parked=None, position=event.position)


def _text(value: object) -> str | None:
    return None if value is None else str(value)

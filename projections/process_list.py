"""The view of processes as the API lists them: as Cattle's process instances, filtered and sorted in SQL. Queries only; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from projections.processes import PROCESS_COLUMNS
from projections.query import SECONDS, Filter, Statement


class Told(NamedTuple):
    """What Cattle says of a process in one of our states."""

    phase: str
    result: str | None
    exit_reason: str


OUTCOMES: dict[str, Told] = {
    "started": Told("STARTED", None, "SCHEDULED"),
    "parked": Told("STARTED", None, "TIMEOUT"),
    "succeeded": Told("DONE", "SUCCESS", "DONE"),
    "failed": Told("DONE", "CANCELED", "CANCELED"),
    "cancelled": Told("DONE", "CANCELED", "CANCELED"),
}
"""By the state of a row. A process that failed is followed by what undoes it, which ends it as cancelled in Cattle, too."""

NO_PRIORITY = 0


def _time(column: str) -> str:
    return f"left(to_char({column} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS'), {SECONDS})"


def _outcome(index: int) -> str:
    return f"case state {' '.join(f'when {_text(state)} then {_text(told[index])}' for state, told in OUTCOMES.items())} end"


def _text(constant: str | None) -> str:
    return "null::text" if constant is None else f"'{constant}'"


EXPRESSIONS: dict[str, tuple[str, str]] = {
    "id": ("number", "bigint"),
    "processName": ("process", "text"),
    "resourceType": ("type", "text"),
    "resourceId": ("id::text", "text"),
    "startTime": (_time("started_at"), "text"),
    "endTime": (_time("ended_at"), "text"),
    "phase": (_outcome(0), "text"),
    "result": (_outcome(1), "text"),
    "exitReason": (_outcome(2), "text"),
    "priority": (f"{NO_PRIORITY}::bigint", "bigint"),
    "startProcessServerId": ("null::text", "text"),
    "runningProcessServerId": ("null::text", "text"),
    "uuid": ("pid", "text"),
}
"""Field of a process instance, or of its execution (uuid) -> what it is in SQL, and of which type."""

OPERATORS = {"eq": "=", "ne": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "like": "like", "notlike": "not like"}


@dataclass(frozen=True, slots=True)
class ProcessQuery:
    """`filters`, `sort`: of the fields of a process instance. Oldest first unless it says otherwise."""

    filters: Sequence[Filter] = ()
    sort: str | None = None
    descending: bool = False
    limit: int = 100
    offset: int = 0


def select_processes(query: ProcessQuery) -> tuple[str, list[Any]]:
    statement = Statement()
    where = " and ".join(_condition(each, statement) for each in query.filters) or "true"
    order = "number desc" if query.descending else "number"
    if query.sort is not None and query.sort != "id":
        order = f"{EXPRESSIONS[query.sort][0]} {'desc nulls last' if query.descending else 'asc nulls first'}, number"
    limit, offset = statement.add(query.limit, "bigint"), statement.add(query.offset, "bigint")
    columns = ", ".join(PROCESS_COLUMNS)
    return f"select {columns} from processes where {where} order by {order} limit {limit} offset {offset}", statement.values


def _condition(filter: Filter, statement: Statement) -> str:
    name, value = filter.field.name, filter.value
    left, type = EXPRESSIONS[name]
    match filter.modifier:
        case "null":
            return f"{left} is null"
        case "notnull":
            return f"{left} is not null"
        case "prefix":
            return f"starts_with({left}, {statement.add(value)})"
        case "eq" if name == "resourceId":  # so that the index on it serves
            whole = value.isascii() and value.isdigit() and len(value) <= 18
            return f"id = {statement.add(int(value), 'bigint')}" if whole and str(int(value)) == value else "false"
    return f"{left} {OPERATORS[filter.modifier]} {statement.add(value, type)}"

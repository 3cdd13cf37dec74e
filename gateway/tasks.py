"""/v1/tasks: what servers do now and then, as resources. They are data; their executions (taskInstance) are rows like any other."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from commands.catalogue.tasks import BY_NUMBER, TASK, TASKS
from commands.resource import Resource
from gateway.secret_filters import fits
from projections.query import Filter, Query
from projections.rows import Seen

COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge,
}  # fmt: skip


def task(number: int) -> Seen | None:
    found = BY_NUMBER.get(number)
    return Seen(Resource(TASK, number, version=1, row={"name": found.name})) if found is not None else None


def tasks(query: Query) -> list[Seen]:
    """Those that a list shows, as the views would answer it."""
    found = [seen for each in TASKS if (seen := task(each.number)) is not None and _fits(seen, query.filters)]
    if query.sort is not None:
        name = query.sort.name
        found.sort(key=lambda seen: seen.resource.id if name == "id" else str(seen.resource.row.get(name)), reverse=query.descending)
    end = None if query.limit is None else query.offset + query.limit
    return found[query.offset : end]


def _fits(seen: Seen, filters: Sequence[Filter]) -> bool:
    return all(_is_as(seen.resource, each) for each in filters)


def _is_as(task: Resource, filter: Filter) -> bool:
    """Its only two fields are never null."""
    if filter.modifier in ("null", "notnull"):
        return filter.modifier == "notnull"
    if filter.field.name == "id":
        return COMPARED[filter.modifier](task.id, filter.value)
    return fits(task.row.get(filter.field.name), filter)

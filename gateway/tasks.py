"""/v1/tasks: what servers do now and then, as resources. They are data; their executions (taskInstance) are rows like any other."""

from __future__ import annotations

from commands.catalogue.tasks import BY_NUMBER, TASK, TASKS
from commands.resource import Resource
from projections.query import Query
from projections.rows import Seen
from projections.selection import in_order, matches


def task(number: int) -> Seen | None:
    found = BY_NUMBER.get(number)
    return Seen(Resource(TASK, number, version=1, row={"name": found.name})) if found is not None else None


def tasks(query: Query) -> list[Seen]:
    """Those that a list shows, as the views would answer it."""
    found = [seen for each in TASKS if (seen := task(each.number)) is not None and matches(seen, query.filters)]
    found = in_order(found, query.sort, descending=query.descending)
    end = None if query.limit is None else query.offset + query.limit
    return found[query.offset : end]

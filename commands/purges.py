"""When what was removed is purged: once its removeTime has come, and after a purge that failed not again before a while. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from commands.catalogue.fields import date_text, parsed_date
from commands.resource import Json, Resource

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

AGAIN_SECONDS = 60.0
"""After a purge that failed or was cancelled. (A retry begins it at once.)"""


def due_at(resource: Resource) -> datetime | None:
    due = resource.row.get("removeTime")
    try:
        return parsed_date(due) if isinstance(due, str) else None
    except (ValueError, OverflowError):  # of before such a date was refused: that is no reason to keep it
        return LONG_AGO


def next_due(resources: Iterable[Resource]) -> datetime | None:
    return min((due for each in resources if each.state == "removed" and (due := due_at(each))), default=None)


def put_off(now: datetime) -> Json:
    """The changes that make it wait."""
    return {"removeTime": date_text(now + timedelta(seconds=AGAIN_SECONDS))}

"""A list query over rows in memory, answered as projections.query has the database answer it: for what is in no view."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from commands.catalogue.model import Field
from projections.query import SECONDS, Filter
from projections.rows import Seen

COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge,
}  # fmt: skip

_NUMBER = re.compile(r"-?[0-9]{1,18}")


def matches(seen: Seen, filters: Iterable[Filter]) -> bool:
    return all(fits(value_of(seen, each.field), each) for each in filters)


def fits(value: Any, filter: Filter) -> bool:
    """Whether a field's value fits a filter: null fits no comparison."""
    if filter.modifier in ("null", "notnull"):
        return (value is None) is (filter.modifier == "null")
    if value is None:
        return False
    match filter.modifier:
        case "prefix":
            return bool(value.startswith(filter.value))
        case "like":
            return _pattern(filter.value).fullmatch(value) is not None
        case "notlike":
            return _pattern(filter.value).fullmatch(value) is None
    return COMPARED[filter.modifier](value, filter.value)


def in_order(rows: Iterable[Seen], field: Field | None, *, descending: bool) -> list[Seen]:
    """By value, nulls first, then by id; descending the other way round."""

    def key(seen: Seen) -> tuple[bool, Any, int]:
        value = value_of(seen, field) if field is not None else None
        return (value is not None, value, seen.resource.id) if value is not None else (False, 0, seen.resource.id)

    return sorted(rows, key=key, reverse=descending)


def value_of(seen: Seen, field: Field) -> Any:
    """What of a row is compared. Rows may hold what agents sent: what is not of the field's type counts as null."""
    if field.name == "id":
        return seen.resource.id
    value = seen.shown.row.get(field.name)
    if field.name == "kind":
        return value or seen.resource.type
    if value is None:
        return None
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    if field.reference or field.type == "int":
        return int(text) if _NUMBER.fullmatch(text) else None
    if field.type == "boolean":
        return {"true": True, "false": False}.get(text)
    return text[:SECONDS] if field.type == "date" else text


def _pattern(like: str) -> re.Pattern[str]:
    """% any text, _ any character, a backslash takes the next one as it is."""
    parts = re.findall(r"\\(.)|([%_])|([^\\])", like, re.DOTALL)
    words = {"%": ".*", "_": "."}
    return re.compile("".join(words[wild] if wild else re.escape(escaped or plain) for escaped, wild, plain in parts), re.DOTALL)

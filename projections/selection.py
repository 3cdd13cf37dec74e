"""A list query over rows in memory, answered as projections.query has the database answer it: for what is in no view."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
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
            return like(filter.value).fits(value)
        case "notlike":
            return not like(filter.value).fits(value)
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


@dataclass(frozen=True, slots=True)
class Like:
    """What LIKE takes: % any text, _ any character, a backslash the next one as it is. What stands between two % is looked for from left to
    right, and once found stays: as one expression of `.*`, a few % would try for hours."""

    first: re.Pattern[str]
    others: tuple[re.Pattern[str], ...]
    """Those behind a %."""
    last: int
    """Characters of the last of them."""

    def fits(self, text: str) -> bool:
        found, end = self.first.match(text), len(text) - self.last
        if not self.others:
            return found is not None and found.end() == len(text)
        *middle, last = self.others
        for each in middle:
            found = each.search(text, found.end(), end) if found is not None else None
        return found is not None and found.end() <= end and last.match(text, end) is not None


@lru_cache(maxsize=100)
def like(pattern: str) -> Like:
    parts: list[list[str]] = [[]]
    for escaped, wild, plain in re.findall(r"\\(.)|([%_])|([^\\])", pattern, re.DOTALL):
        if wild == "%":
            parts.append([])
        else:
            parts[-1].append("." if wild else re.escape(escaped or plain))
    first, *others = (re.compile("".join(each), re.DOTALL) for each in parts)
    return Like(first, tuple(others), len(parts[-1]))

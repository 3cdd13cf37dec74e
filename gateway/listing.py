"""The query parameters of a list - filters, sort, limit, marker, include - read leniently: what is not known is passed over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import prod
from typing import Any

from commands.catalogue.fields import parsed_date, storable
from commands.catalogue.ids import number_of
from commands.catalogue.model import Field, ResourceType
from gateway.joining.shown import guesses_keys
from gateway.request import ApiRequest
from projections.query import Filter

Json = dict[str, Any]

LIMIT = 100
MOST = 1000

_SECONDS = len("2026-01-31T10:00:00")


class _Nothing:
    """A value that no row can have."""


_NOTHING = _Nothing()


@dataclass(frozen=True, slots=True)
class Listing:
    """`shown`: the filters as the answer repeats them. `nothing`: a filter that no row can match."""

    filters: tuple[Filter, ...]
    shown: dict[str, list[Json]]
    nothing: bool
    sort: Field | None
    descending: bool
    limit: int
    offset: int

    def sort_document(self, request: ApiRequest) -> Json | None:
        if self.sort is None:
            return None
        order, flipped = ("desc", "asc") if self.descending else ("asc", "desc")
        return {"name": self.sort.name, "order": order, "reverse": request.with_params(order=flipped, marker=None)}

    def fitting(self, included: Sequence[Mapping[str, Any]]) -> int:
        """How many resources a page has, by what is included of each: the rows of a join count, and a resource comes whole."""
        rows = 0
        for count, each in enumerate(included):
            rows += prod(max(1, len(linked)) for linked in each.values() if isinstance(linked, list))
            if rows > self.limit and count:
                return count
        return len(included)

    def pagination(self, request: ApiRequest, shown: int, more: bool) -> Json:
        following = request.with_params(marker=f"m{self.offset + shown}") if more else None
        return {"first": None, "previous": None, "next": following, "limit": self.limit, "total": None, "partial": more}


def read_listing(type: ResourceType, request: ApiRequest) -> Listing:
    allowed = request.caller.filters(type)
    chosen: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for param, text in request.params:
        name, _, modifier = param.partition("_")
        modifier = modifier or "eq"
        if modifier not in allowed.get(name, ()) or guesses_keys(type, name, modifier, request):
            continue
        if chosen.get(name) != modifier:  # of two modifiers of a field the later stays
            chosen[name] = modifier
            values[name] = []
        values[name].append(text)

    filters: list[Filter] = []
    nothing = False
    for name, given in values.items():
        field, modifier = type.fields[name], chosen[name]
        for each in given:
            value = None if modifier in ("null", "notnull") else _value(field, each, request.plain_ids)
            if modifier in ("like", "notlike") and isinstance(value, str):
                value = _pattern(value)
            nothing = nothing or value is _NOTHING
            filters.append(Filter(field, modifier, value))
    sort = request.param("sort")
    return Listing(
        tuple(filters),
        {name: [{"value": value, "modifier": chosen[name]} for value in given] for name, given in values.items()},
        nothing,
        type.fields[sort] if sort in allowed and not guesses_keys(type, sort, "sort", request) else None,
        (request.param("order") or "").lower() == "desc",
        min(max(_number(request.param("limit"), LIMIT), 1), MOST),
        _offset(request.param("marker")),
    )


def _value(field: Field, text: str, plain: bool) -> Any:
    if not storable(text):
        return _NOTHING
    if field.reference or field.name == "id":
        number = number_of(text, plain=plain)
        return _NOTHING if number is None else number
    if field.type == "int":
        number = _number(text, None)
        return _NOTHING if number is None or abs(number) >= 2**63 else number
    if field.type == "boolean":
        return {"true": True, "false": False}.get(text.lower(), _NOTHING)
    return _date(text) if field.type == "date" else text


def _pattern(text: str) -> str:
    """A backslash at the end, which escapes nothing, stands for itself: the database would refuse the pattern."""
    loose = (len(text) - len(text.rstrip("\\"))) % 2
    return text + "\\" * loose


def _date(text: str) -> Any:
    """To the second, as dates are shown; milliseconds since 1970 are understood too."""
    try:
        when = datetime.fromtimestamp(int(text) / 1000, UTC) if text.isdigit() and len(text) > 8 else parsed_date(text)
    except (ValueError, OverflowError, OSError):
        return _NOTHING
    return when.isoformat()[:_SECONDS]


def _number(text: str | None, default: Any) -> Any:
    try:
        return int(text) if text is not None and len(text) < 20 else default
    except ValueError:
        return default


def _offset(marker: str | None) -> int:
    digits = (marker or "").removeprefix("m")
    if marker is None or not marker.startswith("m") or not digits.isascii() or not digits.isdigit() or len(digits) > 12:
        return 0
    return int(digits)

"""From what a client submitted to the values of a type's fields: the gateway checks every body and every action input here.

Order and codes are the API's: skip what the caller may not set, convert, check, then on create the defaults and what is
required. Clients send loosely ("false", "64", a scalar for an array); what comes out has the field's own type.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal

import orjson

from commands.catalogue.kept import from_outside, is_kept_field
from commands.catalogue.model import Field, ResourceType
from commands.errors import Refused
from commands.merge import plain

Json = dict[str, Any]

Lookup = Callable[[str, str], Awaitable[int | None]]
"""(type, id as submitted) -> its number, or None: no such thing, or the caller can't see it."""

IsTaken = Callable[[str, Any], Awaitable[bool]]
"""(field, value) -> another visible resource of the type has it."""

_TRUE = frozenset({"true", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "no", "n", "off", "0"})
BIGGEST = 2**63 - 1
"""Of a whole number, in a column."""

_RANGE = re.compile(r"(.)-(.)", re.DOTALL)


async def _nothing_found(type_name: str, given: str) -> int | None:
    return None


async def _never_taken(name: str, value: Any) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Submission:
    """What validation needs to know beside the values. `letters`: what the caller may do with a field, r(ead) c(reate) u(pdate)."""

    purpose: Literal["create", "update"] = "create"
    letters: Callable[[Field], str] = lambda field: field.admin
    lookup: Lookup = _nothing_found
    is_taken: IsTaken = _never_taken

    def may_set(self, field: Field) -> bool:
        letter = self.purpose[0]
        return letter in self.letters(field) and not (self.purpose == "update" and field.name == "id")


async def validated(type: ResourceType, submitted: Mapping[str, Any], submission: Submission) -> Json:
    """The accepted fields with converted values; on create with the defaults. Raises Refused for the first that is wrong."""
    values: Json = {}
    for name, given in submitted.items():
        field = type.fields.get(name)
        if field is None or not submission.may_set(field):
            continue
        value = await _with_references(field, given, submission.lookup)
        await _check(field, value, submission)
        values[name] = await _free(type, value, submission.lookup) if name == "data" and value is not None else value
    if submission.purpose == "create":
        _complete(type, values, submission)
    return values


def changes_for(type: ResourceType, values: Mapping[str, Any]) -> Json:
    """Values as an event's changes: columns plain, the rest under data.fields; a submitted `data` merges key by key,
    and null for it takes nothing away: what Corral itself keeps there stays.

    A name the type doesn't know is kept among the fields, so that nothing is lost; computed ones are left out.
    """
    changes: Json = {}
    data: Json = {}
    kept: Json = {}
    for name, value in values.items():
        field = type.fields.get(name)
        if name == "data" and value is None:
            continue
        if name == "data" and isinstance(value, dict):
            data = {key: each for key, each in value.items() if key != "fields"}
            kept = {**(value["fields"] if isinstance(value.get("fields"), dict) else {}), **kept}
        elif field is None or field.store == "fld":
            kept[name] = value
        elif field.store == "col":
            changes[name] = value
    if kept:
        data["+fields"] = kept
    if data:
        changes["+data"] = data
    return changes


def parsed_date(text: str) -> datetime:
    """ISO 8601, UTC where no zone is given. Raises ValueError."""
    when = datetime.fromisoformat(text.strip())
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def date_text(when: datetime) -> str:
    """As rows hold dates: UTC, milliseconds, Z."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def _free(type: ResourceType, data: Json, lookup: Lookup) -> Json:
    """A submitted `data`, which is free but for two things: what Corral keeps there, and the values of known fields inside it. An id there
    is plain, as it is shown."""
    data = from_outside(type, plain(data))
    if data.get("fields") is None:
        return data
    if not isinstance(data["fields"], dict):
        raise Refused("InvalidFormat", "data.fields must be a map", "data")
    fields: Json = {}
    for name, given in data["fields"].items():
        field = type.fields.get(name)
        if is_kept_field(type, name):
            continue
        value = given if field is None or given is None else await _with_references(field, given, lookup, number_in)
        if field is not None:
            check_limits(field, value)
        fields[name] = value
    return {**data, "fields": fields}


Named = Callable[[str, Any], int | None]
"""(type, id as given) -> its number; None: it is none."""


async def _with_references(field: Field, given: Any, lookup: Lookup, known: Named = lambda type, given: None) -> Any:
    """`given` as a value of the field's type. `known`: ids that need no looking up."""
    found: dict[tuple[str, str], int | None] = {}
    for target, each in _references(field.type, given):
        found[target, str(each)] = known(target, each) or await lookup(target, str(each))
    return converted(field, given, lambda target, each: found.get((target, str(each))))


def number_in(type: str, given: Any) -> int | None:
    """An id that is a plain number: of an agent, or of what a document shows inside `data`."""
    return given if isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= BIGGEST else None


def _references(type: str, given: Any) -> Iterator[tuple[str, Any]]:
    """The ids in a value that is to be of a type: (type that it refers to, id)."""
    form, inner = _form(type)
    if form == "reference" and isinstance(given, str | int) and not isinstance(given, bool):
        yield inner, given
    elif form in ("array", "map"):
        inside = given.values() if isinstance(given, dict) else given if isinstance(given, list) else [given]
        for each in inside:
            yield from _references(inner, each)


def _form(type: str) -> tuple[str, str]:
    """array[reference[host]] -> ("array", "reference[host]"); int -> ("int", "")."""
    form, _, inner = type.partition("[")
    return form, inner[:-1]


def converted(field: Field, given: Any, named: Named) -> Any:
    """`given` as a value of the field's type. Raises Refused where it can't be one."""
    return _converted(field, field.type, given, named)


def _converted(field: Field, type: str, given: Any, named: Named) -> Any:
    """Of `type`, which is the field's type or, for an element, the part in its brackets."""
    form, inner = _form(type)
    if given is None or (form == "map" and given == ""):
        return None
    match form:
        case "array":
            return [_converted(field, inner, each, named) for each in (given if isinstance(given, list) else [given])]
        case "map":
            if not isinstance(given, dict):
                raise Refused("InvalidFormat", f"{field.name} must be a map", field.name)
            return {str(key): _converted(field, inner, value, named) for key, value in given.items()}
        case "reference":
            number = named(inner, given) if isinstance(given, str | int) and not isinstance(given, bool) else None
            if number is None:
                raise Refused("InvalidReference", f"there is no {inner} {given!r}", field.name)
            return number
        case "json":
            return given
        case "int":
            return _integer(field, given)
        case "boolean":
            return _boolean(field, given)
        case "date":
            return _date(field, given)
        case _:
            return _text(field, given)


def _text(field: Field, given: Any) -> str:
    if isinstance(given, dict | list):
        raise Refused("InvalidFormat", f"{field.name} must be text", field.name)
    return given if isinstance(given, str) else orjson.dumps(given).decode()


def _integer(field: Field, given: Any) -> int:
    try:
        if isinstance(given, bool | dict | list) or (isinstance(given, float) and not given.is_integer()):
            raise ValueError
        number = int(given)
        if abs(number) > BIGGEST:
            raise ValueError
    except (ValueError, OverflowError):
        raise Refused("InvalidFormat", f"{field.name} must be a whole number", field.name) from None
    return number


def _boolean(field: Field, given: Any) -> bool:
    if isinstance(given, bool):
        return given
    text = str(given).strip().lower()
    if text not in _TRUE | _FALSE:
        raise Refused("InvalidFormat", f"{field.name} must be true or false", field.name)
    return text in _TRUE


def _date(field: Field, given: Any) -> str | None:
    """Text in ISO 8601, or milliseconds since 1970; empty text is no date."""
    if given == "":
        return None
    try:
        if isinstance(given, int) and not isinstance(given, bool):
            return date_text(datetime.fromtimestamp(given / 1000, UTC))
        if isinstance(given, str):
            return date_text(parsed_date(given))
    except (ValueError, OverflowError, OSError):
        pass  # refused below, as everything else that is no date
    raise Refused("InvalidDateFormat", f"{field.name} must be a date such as 2026-01-31T10:00:00Z", field.name)


async def _check(field: Field, value: Any, submission: Submission) -> None:
    if value is None:
        if not field.nullable:
            raise Refused("NotNullable", f"{field.name} can't be null", field.name)
        return
    if not storable(value):
        raise Refused("InvalidCharacters", f"{field.name} holds NUL or half of a surrogate pair", field.name)
    if field.unique and await submission.is_taken(field.name, value):
        raise Refused("NotUnique", f"another one has this {field.name}", field.name)
    if isinstance(value, list) and None in value:
        raise Refused("NotNullable", f"{field.name} can't hold null", field.name)
    check_limits(field, value)


def check_limits(field: Field, value: Any) -> None:
    """Raises Refused for a value, or one in a list of them, that is out of the field's limits. Null has none."""
    for each in value if isinstance(value, list) else [value]:
        if each is not None:
            _check_limits(field, each)


def _check_limits(field: Field, value: Any) -> None:
    if isinstance(value, int) and not isinstance(value, bool):
        if field.min is not None and value < field.min:
            raise Refused("MinLimitExceeded", f"{field.name} must be at least {field.min}", field.name)
        if field.max is not None and value > field.max:
            raise Refused("MaxLimitExceeded", f"{field.name} must be at most {field.max}", field.name)
    text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    if field.min_length is not None and len(text) < field.min_length:
        raise Refused("MinLengthExceeded", f"{field.name} must have at least {field.min_length} characters", field.name)
    if field.max_length is not None and len(text) > field.max_length:
        raise Refused("MaxLengthExceeded", f"{field.name} must have at most {field.max_length} characters", field.name)
    if field.options and text not in field.options:
        raise Refused("InvalidOption", f"{field.name} must be one of {', '.join(field.options)}", field.name)
    if field.valid_chars is not None and not set(text) <= _characters(field.valid_chars):
        raise Refused("InvalidCharacters", f"{field.name} may hold only {field.valid_chars}", field.name)


@cache
def _characters(written: str) -> frozenset[str]:
    """Those that e.g. "._a-z" means; a dash stands for itself at either end."""
    ranges = _RANGE.findall(written)
    spans = (chr(code) for first, last in ranges for code in range(ord(first), ord(last) + 1))
    return frozenset((*spans, *_RANGE.sub("", written)))


def storable(value: Any) -> bool:
    """False when text in it, however deep, holds what the log can't: NUL or lone surrogates."""
    match value:
        case str():
            return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
        case dict():
            return all(storable(key) and storable(each) for key, each in value.items())
        case list():
            return all(storable(each) for each in value)
        case _:
            return True


def _complete(type: ResourceType, values: Json, submission: Submission) -> None:
    """Defaults for what is absent, then what is required."""
    for field in type.fields.values():
        if field.default is not None and field.name not in values and field.store != "calc":
            values[field.name] = field.default
    for field in type.fields.values():
        if field.required and submission.may_set(field) and values.get(field.name) in (None, []):
            raise Refused("MissingRequired", f"{field.name} is required", field.name)

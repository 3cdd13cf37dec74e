"""What came back from an agent or a handler, before a turn takes it in: is it what it should be? Pure.

Answers are anybody's. What is wrong with one is found here, by the types of the catalogue, so that a turn need not expect it: an answer
that can't be taken in counts as an error answer, and whatever fails later is Corral's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from commands.catalogue.fields import parsed_date
from commands.catalogue.model import ResourceType
from commands.replies import NEVER_MERGED
from commands.resource import Json, Resource
from commands.world import World
from eventstore import unholdable

BIGGEST = 2**63 - 1
"""Of a whole number, in a column."""


def legible(text: str | None) -> str | None:
    """Words as the log can hold them: without NUL characters and halves of surrogate pairs."""
    return text and text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def wrong_with(world: World, resource: Resource, command: str, data: Json) -> str | None:
    """Why the answer to a command of a resource's can't be taken in; None: it can."""
    if (why := unholdable(data)) is not None:
        return why
    asked = world.catalogue.asks(resource.type, command)
    misread = asked[1].misread if asked is not None else None
    return _wrong_row(world, resource, data) or (misread(data) if misread is not None else None)


def _wrong_row(world: World, resource: Resource, data: Json) -> str | None:
    """Of what concerns the row itself, and those that it leads to (as commands.replies merges them)."""
    kind = world.catalogue.type(resource.kind if resource.kind in world.catalogue.types else resource.type)
    wrong = _wrong_fields(kind, {name: value for name, value in data.items() if name != "data"})
    for name in ("data", "+data"):
        if wrong is None and data.get(name) is not None:
            wrong = wrong_data(kind, data[name])
    for name, value in data.items():
        link = world.catalogue.type(resource.type).links.get(name)
        if wrong is None and link is not None and link.cardinality == "ref" and isinstance(value, dict):
            related = world.get(world.catalogue.root_type(link.to).name, resource.row.get(link.via))
            inner = _wrong_row(world, related, value) if related is not None else None
            wrong = inner and f"{name}: {inner}"
    return wrong


def wrong_data(kind: ResourceType, data: Any) -> str | None:
    """Of what is to be merged into a row's data."""
    if not isinstance(data, dict):
        return f"data is {_called(data)}, and not a map"
    for name in ("fields", "+fields"):
        fields = data.get(name, {})
        if not isinstance(fields, dict):
            return f"data.fields is {_called(fields)}, and not a map"
        if wrong := _wrong_fields(kind, fields):
            return wrong
    return None


def _wrong_fields(kind: ResourceType, values: Mapping[str, Any]) -> str | None:
    known = ((name, value, kind.fields.get(name)) for name, value in values.items() if name not in NEVER_MERGED)
    wrong = (
        f"{name} is {_called(value)}, and not of type {field.type}"
        for name, value, field in known
        if field is not None and not fits(field.type, value)
    )
    return next(wrong, None)


def fits(type: str, value: Any) -> bool:
    """Whether a value is of a field's type (commands.catalogue.model.Field)."""
    if value is None or type == "json":
        return True
    if type.startswith("array["):
        return isinstance(value, list) and all(fits(type[len("array[") : -1], each) for each in value)
    if type.startswith("map["):
        inner = type[len("map[") : -1]
        # Texts in maps come as numbers, too: dockerPorts.
        return isinstance(value, dict) and all(fits(inner, each) or (inner == "string" and _is_whole(each)) for each in value.values())
    if type in ("int", "id") or type.startswith("reference["):
        return _is_whole(value)
    if type == "boolean":
        return isinstance(value, bool)
    return isinstance(value, str) and (type != "date" or _is_date(value))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= BIGGEST


def _is_date(text: str) -> bool:
    try:
        parsed_date(text)
    except (ValueError, OverflowError):
        return False
    return True


def _called(value: Any) -> str:
    return repr(value)[:60]

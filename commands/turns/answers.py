"""What came back from an agent or a handler, before a turn takes it in: is it what it should be? Pure.

Answers are anybody's. What is wrong with one is found here, by the types of the catalogue, so that a turn need not expect it: an answer
that can't be taken in counts as an error answer, and whatever fails later is Corral's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.wire import Message
from commands.catalogue.catalogue import Catalogue
from commands.catalogue.fields import check_limits, converted, number_in
from commands.catalogue.kept import OF_NO_AGENT, from_outside, is_kept_field, of_clients_alone
from commands.catalogue.model import Field, ResourceType
from commands.errors import Refused
from commands.resource import Json, Resource
from commands.turns.world import World
from eventstore import unholdable

NEVER_MERGED = frozenset({"id", "uuid", "kind", "accountId", "created", "removed", "attachedState"})
"""What no answer sets, beside the states that processes move."""


class Misread(Exception):
    """An answer can't be taken in: says why."""


def legible(text: str | None) -> str | None:
    """Words as the log can hold them: without NUL characters and halves of surrogate pairs."""
    return text and text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def error_of(message: Message, command: str) -> str | None:
    """What an error answer says; None: it is none."""
    if message.transitioning != "error":
        return None
    said = (message.transitioningMessage or f"{command} failed", message.transitioningInternalMessage)
    return legible(" : ".join(part for part in said if part))


def read(world: World, resource: Resource, command: str, data: Json, *, of_agent: bool = True) -> Json:
    """The answer to a command of a resource's as it is to be merged: without what no answer sets, with values of their fields' types.

    `of_agent`: and not of a handler, which admins have made. Raises Misread.
    """
    if (why := unholdable(data)) is not None:
        raise Misread(why)
    read = _row(world, resource, data, of_agent)
    asked = world.catalogue.asks(resource.type, command)
    if asked is not None and asked[1].misread is not None and (why := asked[1].misread(data)) is not None:
        raise Misread(why)
    return read


def _row(world: World, resource: Resource, data: Json, of_agent: bool) -> Json:
    """Of what concerns the row itself, and those that it leads to (as commands.turns.replies merges them)."""
    kind = world.catalogue.type(resource.kind if resource.kind in world.catalogue.types else resource.type)
    alone = of_clients_alone(kind) if of_agent else frozenset()
    never = never_merged(world.catalogue, resource.type) | alone
    links = world.catalogue.type(resource.type).links
    row: Json = {}
    for name, value in data.items():
        link, field = links.get(name), kind.fields.get(name)
        if name in never:
            continue
        if name in ("data", "+data"):
            if value is not None:
                row[name] = _as_clients_said(resource, free(world.catalogue, kind, value), alone, whole=name == "data")
        elif link is not None and link.cardinality == "ref" and isinstance(value, dict):
            if of_agent and world.catalogue.root_type(link.to).name in OF_NO_AGENT:
                continue
            related = world.get(world.catalogue.root_type(link.to).name, resource.row.get(link.via))
            if related is not None:
                row[name] = _within(name, world, related, value, of_agent)
        elif field is None or field.store in ("col", "fld"):
            row[name] = value if field is None else _value(field, value)
    return row


def _as_clients_said(resource: Resource, data: Json, alone: frozenset[str], *, whole: bool) -> Json:
    """What a row's data is to become, or is to be merged with, with what clients alone say left as it is."""
    said = _left_as_it_is(resource.data, data, alone, whole=whole)
    for name in {"fields", "+fields"} & said.keys():
        said[name] = _left_as_it_is(resource.fields, said[name], alone, whole=name == "fields")
    return said


def _left_as_it_is(present: Mapping[str, Any], said: Json, alone: frozenset[str], *, whole: bool) -> Json:
    left = {name: value for name, value in present.items() if name in alone} if whole else {}
    return {**{name: value for name, value in said.items() if name.removeprefix("+") not in alone}, **left}


def _within(name: str, world: World, related: Resource, value: Json, of_agent: bool) -> Json:
    try:
        return _row(world, related, value, of_agent)
    except Misread as inner:
        raise Misread(f"{name}: {inner}") from None


def never_merged(catalogue: Catalogue, root_type: str) -> frozenset[str]:
    return NEVER_MERGED | {"state", *catalogue.state_fields(root_type)}


def free(catalogue: Catalogue, kind: ResourceType, data: Any) -> Json:
    """What is to be merged into a row's data. Raises Misread."""
    if not isinstance(data, dict):
        raise Misread(f"data is {_called(data)}, and not a map")
    read = from_outside(kind, data, answer=True)
    for name in ("fields", "+fields"):
        if name in read:
            if not isinstance(read[name], dict):
                raise Misread(f"data.fields is {_called(read[name])}, and not a map")
            read[name] = _fields(kind, never_merged(catalogue, kind.parent or kind.name), read[name])
    return read


def _fields(kind: ResourceType, never: frozenset[str], values: Mapping[str, Any]) -> Json:
    taken: Json = {}
    for name, value in values.items():
        plain = name.removeprefix("+")
        field = kind.fields.get(plain)
        if plain not in never and not is_kept_field(kind, plain):
            taken[name] = value if field is None else _value(field, value)
    return taken


def _value(field: Field, value: Any) -> Any:
    """Converted and checked as a client's are. Agents name rows by plain numbers; texts in maps may be numbers, too: dockerPorts."""
    try:
        found = converted(field, value, number_in)
        check_limits(field, found)
    except Refused as refused:
        if refused.code.startswith(("InvalidFormat", "InvalidReference", "InvalidDateFormat")):
            raise Misread(f"{field.name} is {_called(value)}, and not of type {field.type}") from None
        raise Misread(f"{field.name} is {_called(value)}: {refused}") from None
    return found


def _called(value: Any) -> str:
    return repr(value)[:60]

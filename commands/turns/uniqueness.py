"""What only one row may have: its claims from its creation, while it is restored, changed, removed and purged. Pure.

    unique (the uuid, a type's own keys)   claimed by created ........................ released by purge
    single (what a map ties together)      claimed by created ... released by remove, claimed again by restore

Rows that share a root are decided in that root's turns alone: these need no claim on what they tie together, only a look at each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from commands.catalogue.model import ResourceType
from commands.resource import Json, Resource
from eventstore import Claim, Release

Key = tuple[str, ...]


def unique_keys(kind: ResourceType) -> tuple[Key, ...]:
    return (("uuid",), *kind.unique) if "uuid" in kind.fields else kind.unique


def single_keys(kind: ResourceType) -> tuple[Key, ...]:
    """Those that are claimed."""
    return () if kind.owner else kind.single


def claims(kind: ResourceType, keys: Iterable[Key], row: Json) -> tuple[Claim, ...]:
    """`kind`: the root type. None for a key that has a null."""
    return tuple(Claim(_scope(kind, key), item) for key in keys if (item := _item(key, row)) is not None)


def releases(kind: ResourceType, keys: Iterable[Key], row: Json) -> tuple[Release, ...]:
    return tuple(Release(each.scope, each.item) for each in claims(kind, keys, row))


def swapped(kind: ResourceType, resource: Resource, changed: Json) -> tuple[tuple[Claim, ...], tuple[Release, ...]]:
    """What a change of some columns takes, and what it lets go."""
    held = unique_keys(kind) + (() if resource.removed else single_keys(kind))
    moved = [key for key in held if any(name in changed for name in key)]
    return claims(kind, moved, {**resource.row, **changed}), releases(kind, moved, resource.row)


def same(kind: ResourceType, resource: Resource, others: Iterable[Resource]) -> Resource | None:
    """Another that lives and ties together the same."""
    return next(alike(kind, resource, others), None)


def alike(kind: ResourceType, resource: Resource, others: Iterable[Resource]) -> Iterator[Resource]:
    """All of these."""
    ties = [(key, item) for key in kind.single if (item := _item(key, resource.row)) is not None]
    alive = (each for each in others if each.type == resource.type and each.id != resource.id and not each.removed)
    return (other for other in alive if any(_item(key, other.row) == item for key, item in ties))


def _scope(kind: ResourceType, key: Key) -> str:
    return f"{kind.name}.{'+'.join(key)}"


def _item(key: Key, row: Json) -> str | None:
    values: list[Any] = [row.get(name) for name in key]
    if any(value is None for value in values):
        return None
    return str(values[0]) if len(values) == 1 else orjson.dumps(values).decode()

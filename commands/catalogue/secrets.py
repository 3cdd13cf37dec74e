"""Secrets, from the fields' own flag: where they stand in an event or a row, and what is shown instead of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from commands.catalogue.catalogue import Catalogue
from commands.merge import plain

Json = dict[str, Any]

MASK = "***"

SEALED = "sealed"
"""A secret in the log and in whatever is folded from it: {"sealed": <ciphertext>}. commands/secrets/sealing.py makes and opens it."""

_WITHIN = ("data", "fields")
"""Where a row holds fields that have no column: data.fields."""


@cache
def secret_names(catalogue: Catalogue) -> frozenset[str]:
    """The names that mean a secret wherever they stand: every field of the name is flagged as one (a setting's `value` is none)."""
    every = [field for type in catalogue.types.values() for field in type.fields.values()]
    return frozenset(field.name for field in every if field.secret) - {field.name for field in every if not field.secret}


@cache
def secrets_of(catalogue: Catalogue, root_type: str, *, told_agents: bool = True) -> frozenset[str]:
    """The secret fields of a root type and of its children: a row's kind may not be known yet where it is written.

    `told_agents=False`: without those that commands to agents carry.
    """
    return frozenset(
        field.name
        for type in catalogue.types.values()
        if type.name == root_type or type.parent == root_type
        for field in type.fields.values()
        if field.secret and (told_agents or not field.told_agents)
    )


def masked(value: Any, names: frozenset[str]) -> Any:
    """The value with every secret, however deep, replaced."""
    match value:
        case dict() if is_sealed(value):
            return MASK
        case dict():
            return {
                key: MASK if each is not None and key.removeprefix("+") in names else masked(each, names) for key, each in value.items()
            }
        case list():
            return [masked(each, names) for each in value]
    return value


def is_sealed(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(SEALED), str)


def replaced(row: Json, names: frozenset[str], change: Callable[[str, Any], Any], within: tuple[str, ...] = _WITHIN) -> Json:
    """A row, or changes to one, with each secret that it holds changed: its columns, and what is in its data and data.fields.

    The very same object where there is none. A merge into a secret (+name) becomes its new value: what is sealed can't be merged into.
    """
    result = row
    for key, value in row.items():
        name = key.removeprefix("+")
        if name in names:
            fresh = value if value is None else change(name, plain(value))
        elif within and name == within[0] and isinstance(value, dict):
            name, fresh = key, replaced(value, names, change, within[1:])
        else:
            continue
        if fresh is not value:
            result = {each: result[each] for each in result if each not in (key, name)} if name != key else dict(result)
            result[name] = fresh
    return result


def replaced_in_event(
    data: Json, fields: frozenset[str], inputs: frozenset[str], change: Callable[[str, Any], Any]
) -> Json:
    """An event's data with each secret changed: `fields` in its changes, `inputs` in what a process was started with."""
    result = data
    for key, names, within in (("changes", fields, _WITHIN), ("input", inputs, ())):
        part = data.get(key)
        if names and part:
            fresh = replaced(part, names, change, within)
            if fresh is not part:
                result = {**result, key: fresh}
    return result


def found(row: Mapping[str, Any], names: frozenset[str], within: tuple[str, ...] = _WITHIN) -> list[tuple[str, Any]]:
    """(name, value) of each secret that a row holds."""
    values: list[tuple[str, Any]] = []

    def note(name: str, value: Any) -> Any:
        values.append((name, value))
        return value

    replaced(dict(row), names, note, within)
    return values

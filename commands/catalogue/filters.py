"""Which list filters a type has: they follow from its fields."""

from __future__ import annotations

from commands.catalogue.model import Field, ResourceType

_NULL = ("null", "notnull")
SAME = ("eq", "ne", *_NULL)
ORDERED = ("eq", "ne", "lt", "lte", "gt", "gte", *_NULL)
TEXT = ("eq", "ne", "prefix", "like", "notlike", *_NULL)


def modifiers_of(field: Field) -> tuple[str, ...]:
    """The modifiers a field can be filtered by; none for what is not a plain column."""
    if field.store != "col" or not field.filtered or field.type.startswith(("map[", "array[")):
        return ()
    if field.reference or field.type == "boolean" or (field.name == "state" and field.type == "enum"):
        return SAME
    return ORDERED if field.type in ("int", "date") else TEXT


def filters_of(type: ResourceType, *, user: bool = False) -> dict[str, tuple[str, ...]]:
    """field -> modifiers. Users filter only by what they may read: else a filter would tell them what a field holds."""
    return {
        field.name: modifiers
        for field in sorted(type.fields.values(), key=lambda each: each.name)
        if (modifiers := modifiers_of(field)) and (not user or "r" in field.user)
    }

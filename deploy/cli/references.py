"""What a field that names another thing says to people: account-1 in what is told from the log, 1a1 (admin) in what the API shows."""

from __future__ import annotations

from typing import Any

from commands.catalogue.ids import number_of
from commands.resource import split_stream
from deploy.cli.catalogue import catalogue
from deploy.cli.client import Client
from deploy.cli.errors import ServerRefused
from deploy.cli.show import written
from deploy.cli.things import path_of

Json = dict[str, Any]


def pointed_at(type_name: str, field: str) -> str | None:
    """The root type of what a field of this type names, if it names anything."""
    known = catalogue().types.get(type_name)
    found = known.fields.get(field) if known is not None else None
    target = found.reference if found is not None else None
    return catalogue().root_type(target).name if target in catalogue().types else None


def told(stream: str, kind: str, field: str, value: Any) -> str:
    """A value as the log has it, on one line: numbers that name things as their streams."""
    own = (kind, split_stream(stream)[0])
    target = next((found for each in own if (found := pointed_at(each, field)) is not None), None)
    numbers = value if isinstance(value, list) else [value]
    if target is None or not all(isinstance(each, int) for each in numbers):
        return "" if value is None else written(value)
    return ", ".join(f"{target}-{each}" for each in numbers)


def names_of(client: Client, document: Json) -> dict[str, str]:
    """field -> what people call the one thing that it names; each thing is asked for by its id, once."""
    found: dict[str, str] = {}
    asked: dict[str, str] = {}
    for field, value in document.items():
        target = pointed_at(str(document.get("type")), field)
        number = number_of(value) if isinstance(value, str) else None
        if target is None or number is None:
            continue
        path = path_of(target, number)
        if path not in asked:
            asked[path] = name_at(client, path)
        if asked[path]:
            found[field] = asked[path]
    return found


def name_at(client: Client, path: str) -> str:
    """"": it has none, or who asks may not see it."""
    try:
        return str((client.find(path) or {}).get("name") or "")
    except ServerRefused:
        return ""

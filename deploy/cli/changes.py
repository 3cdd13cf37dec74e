"""corral replay: a stream's events -> what each changed, and the state after it, by the very fold that everything else uses. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from commands.resource import Resource, empty, evolve
from deploy.cli.telling import document
from eventstore import Recorded

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class After:
    """One event, and the resource after it. `changed`: name -> (old, new), with data.fields under their own names."""

    event: Recorded
    resource: Resource
    state: Json
    changed: dict[str, tuple[Any, Any]]

    def document(self) -> Json:
        """For programs."""
        changed = {name: {"from": old, "to": new} for name, (old, new) in self.changed.items()}
        return {"event": document(self.event), "changed": changed, "state": self.state}


def after_each(events: Iterable[Recorded]) -> Iterator[After]:
    resource: Resource | None = None
    before: Json = {}
    for event in events:
        resource = evolve(resource or empty(event.stream), event)
        state = flat(resource)
        yield After(event, resource, state, changes(before, state))
        before = state


def flat(resource: Resource) -> Json:
    """The row as people know it: columns, and the fields without a column beside them; nulls left out."""
    row = {name: value for name, value in resource.row.items() if name != "data"}
    data = resource.row.get("data") or {}
    row.update({f"data.{name}": value for name, value in data.items() if name != "fields"})
    row.update(resource.fields)
    return {name: value for name, value in row.items() if value is not None}


def changes(before: Json, after: Json) -> dict[str, tuple[Any, Any]]:
    names = [name for name in (*before, *(each for each in after if each not in before)) if before.get(name) != after.get(name)]
    return {name: (before.get(name), after.get(name)) for name in names}


def written(value: Any, longest: int = 100) -> str:
    """On one line; long values are cut."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"

"""Between a folded Resource and its row in the views: the projector writes with this, the queries read with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from commands.resource import Resource
from commands.snapshots import open_of

COLUMNS = (
    "type", "id", "kind", "name", "uuid", "account", "removed", "gone", "refs", "root", "version", "position", "claimed", "row", "open",
)  # fmt: skip

FOREVER = datetime.max.replace(tzinfo=UTC)
"""asyncpg sends it as infinity."""

CLAIMED_FIELD = "computeFree"
"""Shown less what is claimed; the row itself holds the capacity."""

FOUND_BY = frozenset({"publicValue"})
"""Texts by which one of many is looked up, each time that somebody brings it: they stand in the column refs, too, as digests."""


ENGINE_ID = "engineId"
ENGINE_LETTERS = 4
"""So many first letters of a container engine's id stand in the column refs, too: by them, and more, an instance is addressed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A resource as a view holds it, and how much of it is claimed."""

    resource: Resource
    claimed: int = 0

    @property
    def shown(self) -> Resource:
        """The resource as readers see it: what is free is its capacity less the claims on it."""
        free = self.resource.row.get(CLAIMED_FIELD)
        if not self.claimed or not isinstance(free, int):
            return self.resource
        return replace(self.resource, row={**self.resource.row, CLAIMED_FIELD: free - self.claimed})


def to_record(seen: Seen) -> tuple[Any, ...]:
    """The values of COLUMNS. Raises for what can't be written, which poisons the stream."""
    resource = seen.resource
    row = resource.row
    return (
        resource.type,
        resource.id,
        str(row.get("kind") or resource.type),
        _text(row.get("name")),
        _text(row.get("uuid")),
        _number(row.get("accountId")),
        parsed_time(row.get("removed")),
        parsed_time(row.get("removeTime")) or FOREVER,
        sorted({*_engine_refs(resource), *(refers(key, value) for key, value in row.items() if _is_found_by(key, value))}),
        resource.root or resource.stream,
        resource.version,
        resource.position,
        seen.claimed,
        orjson.dumps(row).decode(),
        orjson.dumps(resource.open).decode(),
    )


def refers(name: str, value: int | str) -> str:
    """An entry of the column refs."""
    if isinstance(value, int):
        return f"{name}:{value}"
    return f"{name}:{hashlib.blake2b(value.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


def engine_id(resource: Resource) -> str | None:
    """What the engine of its host calls an instance's container, as it told last."""
    container = resource.data.get("dockerContainer")
    told = container.get("Id") if isinstance(container, Mapping) else None
    return told if isinstance(told, str) else None


def refers_to_engine(begin: str) -> str:
    """An entry of the column refs: of all whose engine's id begins with the same letters. `begin`: ENGINE_LETTERS at least."""
    return refers(ENGINE_ID, begin[:ENGINE_LETTERS])


class Record(Protocol):
    """A database's record: values by column name."""

    def __getitem__(self, name: str, /) -> Any: ...


def from_record(record: Record) -> Seen:
    resource = Resource(
        record["type"],
        record["id"],
        record["version"],
        record["position"],
        orjson.loads(record["row"]),
        {key: open_of(value) for key, value in orjson.loads(record["open"]).items()},
        record["root"],
    )
    return Seen(resource, record["claimed"])


def _engine_refs(resource: Resource) -> tuple[str, ...]:
    own = engine_id(resource) if resource.type == "instance" else None
    return (refers_to_engine(own),) if own is not None else ()


def _is_found_by(key: str, value: Any) -> bool:
    return _number(value) is not None if key.endswith("Id") else key in FOUND_BY and isinstance(value, str)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None


def parsed_time(value: Any) -> datetime | None:
    """A date column; None for what is no date."""
    if not isinstance(value, str):
        return None
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)

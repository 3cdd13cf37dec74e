"""An event as its caller may see it: the rows and fields of a plain read, and every secret masked.

Who sees all rows sees all events. Anybody else sees an event of a row that was theirs to see after it, and that is so now: what
became another's tells its past to neither of both. For that, each stream's owner is folded along.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from commands.catalogue.catalogue import Catalogue
from commands.catalogue.model import ResourceType
from commands.catalogue.secrets import masked, secret_names
from commands.resource import Resource, empty, evolve, fold, split_stream
from commands.snapshots import latest
from eventstore import Recorded, Store
from gateway.access.caller import Caller
from gateway.joining.shown import KEYS, REGISTER

Json = dict[str, Any]

MOST = 2000
"""Streams whose owner is remembered; of others it is read again."""

TOLD = frozenset({
    "pid", "process", "field", "from", "via", "to", "parent", "command", "id", "try", "error", "reason", "late", "compensation", "percent",
    "message",
})  # fmt: skip
"""What an event's data may say, beside `changes`, to those who don't see `data` and with it all of a row. Not: who was asked (agents and
handlers are not theirs to see), and with what a process was started."""

VALUES = frozenset({"from", "via", "to"})
"""Values of the state field that the event names."""

OWNER = ("accountId", "isPublic", "kind")
"""Of a row, what decides who sees it, and what of it."""


@dataclass(frozen=True, slots=True)
class _Met:
    """A stream as of the last event of its that was looked at. `seen`: by the caller."""

    resource: Resource
    seen: bool


class Sight:
    """One caller's. Tell it a stream's events in order: then it reads each stream once."""

    def __init__(self, store: Store, catalogue: Catalogue, caller: Caller) -> None:
        self._store, self._catalogue, self._caller = store, catalogue, caller
        self._met: OrderedDict[str, _Met] = OrderedDict()
        self._names: dict[str, frozenset[str]] = {}
        self._varying: dict[str, bool] = {}

    async def documents(self, found: Iterable[Recorded]) -> list[Json]:
        """Of those that the caller may see."""
        return [document for event in found if (document := await self.document(event)) is not None]

    async def document(self, event: Recorded) -> Json | None:
        seen = await self.seen(event)
        return None if seen is None else event_document(seen)

    async def seen(self, event: Recorded) -> Recorded | None:
        """The event with what the caller may see of it; None: nothing."""
        root = self._root(event.stream)
        if root is None:  # of no type, or of one whose extension is gone
            return self._shown(event, event.data, event.metadata) if self._caller.sees_all else None
        if self._caller.sees_all:
            type = self._type(root, await self._after(event)) if self._varies(root) else root
            return self._shown(event, self._data(event, type), event.metadata, type)
        if not any(self._caller.sees(type) for type in self._family(root)):
            return None
        met = await self._meet(event, root)
        if not met.seen:
            return None
        type = self._type(root, met.resource)
        return self._shown(event, self._data(event, type), _metadata(event), type)

    def _shown(self, event: Recorded, data: Json, metadata: Json, type: ResourceType | None = None) -> Recorded:
        names = secret_names(self._catalogue)
        if type is not None and type.name == REGISTER:  # a plain read shows a machine's keys to that machine alone
            names = names | set(KEYS)
        data = masked(data, names)
        return Recorded(event.position, event.stream, event.version, event.type, data, metadata, event.at)

    # --- rows ---

    def _root(self, stream: str) -> ResourceType | None:
        try:
            found = self._catalogue.types.get(split_stream(stream)[0])
        except ValueError:
            return None
        return found if found is not None and found.parent is None else None

    async def _meet(self, event: Recorded, root: ResourceType) -> _Met:
        known = self._met.get(event.stream)
        after = await self._after(event)
        seen = self._caller.sees_row(root, after) and self._caller.sees(self._type(root, after))
        if seen and (known is None or not known.seen):
            now = await latest(self._store, event.stream)
            seen = self._caller.sees_row(root, now) and self._caller.sees(self._type(root, now))
        met = self._met[event.stream] = _Met(after, seen)
        return met

    async def _after(self, event: Recorded) -> Resource:
        """The event's row after it, as far as its owner goes."""
        known = self._met.get(event.stream)
        if known is not None and known.resource.version == event.version - 1:
            after = evolve(known.resource, event)
        elif event.version == 1:
            after = evolve(empty(event.stream), event)
        else:
            after = fold(event.stream, await self._store.read(event.stream, to_position=event.position))
        row = {name: after.row[name] for name in OWNER if name in after.row}
        after = Resource(after.type, after.id, event.version, event.position, row)
        self._met[event.stream] = _Met(after, known is not None and known.seen)
        self._met.move_to_end(event.stream)
        while len(self._met) > MOST:
            self._met.popitem(last=False)
        return after

    # --- fields ---

    def _family(self, root: ResourceType) -> list[ResourceType]:
        return [root, *(self._catalogue.type(name) for name in root.children if name in self._catalogue.types)]

    def _type(self, root: ResourceType, resource: Resource) -> ResourceType:
        """As a document's: the child type of its kind, if the caller sees that."""
        kind = self._catalogue.types.get(resource.kind)
        return kind if kind is not None and kind.parent == root.name and self._caller.sees(kind) else root

    def _varies(self, root: ResourceType) -> bool:
        """Whether the caller's columns are others in one of its children."""
        if root.name not in self._varying:
            columns = {
                frozenset(name for name, each in type.fields.items() if each.store == "col" and not self._caller.reads(type, each))
                for type in self._family(root)
            }
            self._varying[root.name] = len(columns) > 1 or REGISTER in root.children
        return self._varying[root.name]

    def _readable(self, type: ResourceType) -> frozenset[str]:
        """The fields that a document of this type has for the caller."""
        found = self._names.get(type.name)
        if found is None:
            shown = (each.name for each in type.fields.values() if not each.hidden and self._caller.reads(type, each))
            found = self._names[type.name] = frozenset(shown)
        return found

    def _data(self, event: Recorded, type: ResourceType) -> Json:
        names = self._readable(type)
        # Who sees `data` sees of a row all but some columns.
        whole = self._caller.sees_all or "data" in names
        data = {key: value for key, value in event.data.items() if whole or key in TOLD}
        if data.get("field", "state") not in names and data.get("field", "state") in type.fields:
            data = {key: value for key, value in data.items() if key not in VALUES}
        if changes := event.data.get("changes"):
            shown = {key: value for key, value in changes.items() if key.removeprefix("+") in names}
            shown |= {} if "data" in names else _fields(changes, names)
            data["changes"] = shown
        return data


def event_document(event: Recorded) -> Json:
    """An event as the API and the CLI show it: its time to the microsecond, which tells appends apart."""
    return {
        "id": event.id,
        "position": event.position,
        "stream": event.stream,
        "version": event.version,
        "type": event.type,
        "data": event.data,
        "metadata": event.metadata,
        "at": event.at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
    }


def _metadata(event: Recorded) -> Json:
    """Without who did it, and what it took of what other rows offer: its request, and its cause where that is of the same stream."""
    kept = {key: value for key, value in event.metadata.items() if key in ("correlation", "pid", "traceparent")}
    cause = str(event.metadata.get("causation") or "")
    return kept | ({"causation": cause} if cause.rpartition("@")[0] == event.stream else {})


def _fields(changes: Mapping[str, Any], names: frozenset[str]) -> Json:
    """Of a row's free map, the fields that may be seen: the rest of it is none of theirs."""
    shown: Json = {}
    for key in ("data", "+data"):
        inner = changes.get(key)
        inner = inner if isinstance(inner, dict) else {}
        for name in ("fields", "+fields"):
            fields = inner.get(name)
            kept = {each: value for each, value in fields.items() if each.removeprefix("+") in names} if isinstance(fields, dict) else {}
            if kept:
                shown.setdefault(key, {})[name] = kept
    return shown


"""Looking back: the whole state, or one resource, as of a position or a time; and what changed between two positions, by whom.

Folded from the log (archive included), never from a cache or a view. It only reads: nothing is published, nothing is done again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from commands import events
from commands.resource import Json, Resource, empty, evolve, fold
from eventstore import Recorded, Store
from projections.fold import Picture, is_resource
from projections.rows import Seen

BATCH = 1000

OnProgress = Callable[[int, int], None]
"""(positions read, positions in all)"""


# --- moments ---


async def position_of(store: Store, when: datetime) -> int:
    """The position at which the log stood at this time; 0: nothing had happened yet."""

    async def at(position: int) -> datetime:
        [event] = await store.read_all(position - 1, 1)
        return event.at

    return await search_position(at, await store.head(), when)


async def search_position(at: Callable[[int], Awaitable[datetime]], head: int, when: datetime) -> int:
    """The last position whose event is not later than `when`. Times never go back along the log, so about 25 looks are enough."""
    low, high = 0, head
    while low < high:
        middle = (low + high + 1) // 2
        if await at(middle) <= when:
            low = middle
        else:
            high = middle - 1
    return low


# --- one resource, or all ---


async def resource_at(store: Store, stream: str, position: int) -> Resource | None:
    """One resource as it was; None: it did not exist yet. A host's computeFree is its capacity: what was claimed of it is not looked up."""
    resource = fold(stream, await store.read(stream, to_position=position))
    return resource if resource.exists else None


async def state_at(store: Store, position: int, on_progress: OnProgress = lambda done, all: None) -> Picture:
    """Everything as it was: rows, processes and claims, in memory, by the very fold that makes the views."""
    picture = Picture()
    async for batch in read_to(store, position):
        picture.fold(batch)
        on_progress(batch[-1].position, position)
    return picture


async def read_to(store: Store, position: int, after: int = 0) -> AsyncIterator[list[Recorded]]:
    """The log's events after + 1 .. position, in batches."""
    while after < position:
        batch = await store.read_all(after, BATCH, to_position=position)
        if not batch:
            return
        yield batch
        after = batch[-1].position


def rows_of(picture: Picture, type_name: str | None = None, *, removed: bool = False) -> Iterator[Seen]:
    """The resources of a root type or of a kind (container), by stream; without `removed` only those that were there."""
    for stream in sorted(picture.rows, key=lambda each: (each.rpartition("-")[0], int(each.rpartition("-")[2]))):
        seen = picture.rows[stream]
        resource = seen.resource
        if resource.exists and (type_name in (None, resource.type, resource.kind)) and (removed or not resource.removed):
            yield seen


def counts(picture: Picture, called: Callable[[Resource], str] = lambda resource: resource.kind) -> dict[str, dict[str, int]]:
    """What it is called (its kind, unless said otherwise) -> state -> how many, removed ones too."""
    found: dict[str, dict[str, int]] = {}
    for seen in rows_of(picture, removed=True):
        states = found.setdefault(called(seen.resource), {})
        states[seen.resource.state] = states.get(seen.resource.state, 0) + 1
    return {kind: dict(sorted(states.items())) for kind, states in sorted(found.items())}


def flat(resource: Resource) -> Json:
    """The row as people know it: columns, the fields without a column beside them, other data as data.<key>; nulls left out."""
    row = {name: value for name, value in resource.row.items() if name != "data"}
    row.update({f"data.{name}": value for name, value in resource.data.items() if name != "fields"})
    row.update(resource.fields)
    return {name: value for name, value in row.items() if value is not None}


def differences(before: Json, after: Json) -> dict[str, tuple[Any, Any]]:
    """name -> (old, new), of what is not the same."""
    return {name: (before.get(name), after.get(name)) for name in sorted({*before, *after}) if before.get(name) != after.get(name)}


# --- what changed ---


@dataclass(frozen=True, slots=True)
class Change:
    """What one request did to one resource. `what`: created, changed or removed; `fields`: name -> (before, after)."""

    stream: str
    what: str
    kind: str
    name: str
    fields: dict[str, tuple[Any, Any]]


@dataclass(slots=True)
class Deed:
    """All that followed from one request, or that Corral did by itself for one reason (`actor` None)."""

    actor: int | None
    correlation: str | None
    first: Recorded
    last: Recorded
    events: int = 0
    processes: list[str] = field(default_factory=list)
    """The processes that the request itself asked for; none for a plain change of fields."""
    changes: list[Change] = field(default_factory=list)


async def deeds_between(
    store: Store, a: int, b: int, wanted: Callable[[str], bool] = lambda stream: True, on_progress: OnProgress = lambda done, all: None
) -> list[Deed]:
    """What happened after position a, up to b, to the streams that are wanted."""
    heard: list[Recorded] = []
    async for batch in read_to(store, b, a):
        heard += [event for event in batch if is_resource(event.stream) and wanted(event.stream)]
        on_progress(batch[-1].position - a, b - a)
    streams = {event.stream for event in heard if event.version > 1}
    firsts = {event.stream for event in heard if event.version == 1}
    before = {stream: fold(stream, await store.read(stream, to_position=a)) for stream in sorted(streams - firsts)}
    return deeds(before, heard)


def deeds(before: Mapping[str, Resource], heard: Iterable[Recorded]) -> list[Deed]:
    """Grouped by actor and request, in the order in which they began. Pure. Each change tells from what to what its own deed led."""
    found: dict[tuple[Any, Any], Deed] = {}
    touched: dict[tuple[Any, Any], dict[str, tuple[Resource, Resource, dict[str, tuple[Any, Any]]]]] = {}
    present = dict(before)
    for event in heard:
        key = (event.metadata.get("actor"), event.metadata.get("correlation"))
        deed = found.get(key)
        if deed is None:
            deed = found[key] = Deed(*key, event, event)
        deed.last, deed.events = event, deed.events + 1
        process = event.data.get("process") if event.type in (events.PROCESS_STARTED, events.TRANSITIONED) else None
        if process and process not in deed.processes and not event.metadata.get("causation"):
            deed.processes.append(process)
        old = present.get(event.stream) or empty(event.stream)
        new = present[event.stream] = evolve(old, event)
        begin, _, fields = touched.setdefault(key, {}).get(event.stream, (old, new, {}))
        for name, (was, is_now) in differences(flat(old), flat(new)).items():
            fields[name] = (fields[name][0] if name in fields else was, is_now)
        touched[key][event.stream] = (begin, new, fields)
    for key, deed in found.items():
        deed.changes = list(_changes(touched[key].values()))
    return list(found.values())


def _changes(touched: Iterable[tuple[Resource, Resource, dict[str, tuple[Any, Any]]]]) -> Iterator[Change]:
    for begin, end, fields in touched:
        kept = {name: pair for name, pair in sorted(fields.items()) if pair[0] != pair[1]}
        if not begin.exists:
            yield Change(end.stream, "created", end.kind, end.name, kept)
        elif end.removed and not begin.removed:
            yield Change(end.stream, "removed", end.kind, end.name, kept)
        elif kept:
            yield Change(end.stream, "changed", end.kind, end.name, kept)


def resources_touched(found: Sequence[Deed]) -> set[str]:
    return {change.stream for deed in found for change in deed.changes}

"""Resource <-> what the log keeps of it as a snapshot, and resuming from there. Pure, but for `latest`.

For whoever wants a resource as it is now (turns, commands, answers by id). History, replay and ?at fold the events themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from pathlib import Path

import orjson
from pydantic import TypeAdapter

from commands.resource import Json, Open, Resource, empty, evolve, split_stream
from eventstore import Loaded, Recorded, Resumed, Snapshot, Store

ROOT = Path(__file__).parents[1]

SOURCES = (
    "commands/events.py", "commands/merge.py", "commands/resource.py", "commands/snapshots.py", "commands/trace.py", "commands/upcast.py",
)  # fmt: skip
"""What decides how a stream is folded, and how the result is written."""


STATE = tuple(each.name for each in fields(Resource) if each.name not in ("type", "id", "version", "position"))
"""What a snapshot's state holds: every field that the log does not know, also one that a later hand adds to the class."""

_RESOURCE, _OPEN = TypeAdapter(Resource), TypeAdapter(Open)


@cache
def form() -> str:
    """A hash of that code: changed code takes no snapshot of before, and folds anew."""
    digest = hashlib.sha256()
    for source in SOURCES:
        digest.update((ROOT / source).read_bytes())
    return digest.hexdigest()[:16]


def frozen(resource: Resource) -> Snapshot:
    """All that the fold knows of it."""
    state = {name: getattr(resource, name) for name in STATE}
    return Snapshot(resource.stream, form(), resource.version, resource.position, orjson.loads(orjson.dumps(state)))


def thawed(snapshot: Snapshot) -> Resource:
    """frozen(resource), the other way round: equal to the resource."""
    kind, number = split_stream(snapshot.stream)
    place = {"type": kind, "id": number, "version": snapshot.version, "position": snapshot.position}
    return _RESOURCE.validate_python({**snapshot.state, **place})


def open_of(value: Json) -> Open:
    """A bracket as JSON has it."""
    return _OPEN.validate_python(value)


def resumed(found: Resumed | Loaded) -> dict[str, Resource]:
    """stream -> resource: each from its snapshot on."""
    return folded_on({each.stream: thawed(each) for each in found.snapshots}, found.events)


def folded_on(resources: dict[str, Resource], events: Iterable[Recorded]) -> dict[str, Resource]:
    """The resources after more events of theirs, and of others."""
    for event in events:
        resources[event.stream] = evolve(resources.get(event.stream) or empty(event.stream), event)
    return resources


async def latest(store: Store, stream: str) -> Resource:
    """The resource as it is now; one that does not exist is empty."""
    return resumed(await store.resume(stream, form())).get(stream) or empty(stream)

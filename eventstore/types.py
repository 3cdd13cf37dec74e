"""The log's vocabulary: what goes into an append, and what a reader gets back.

Nothing here knows a resource, HTTP or NATS: a stream is a name, an event is a type and a JSON object.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from eventstore.unguarded import unguarded

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """What an event takes for its stream: a thing nobody else may hold, or a share of a counted one.

    `limit is None`: exclusive. (scope, item) belongs to the stream that claimed it; another stream's claim raises
    Taken, the holder's own repeated claim changes nothing.
    `limit` given: counted. `amount` is added to what `scope` has in use; more than `limit` raises Full. `item` names
    this share (e.g. "instance-54" in scope "host-2/compute"), so that claiming it again changes nothing and
    releasing it gives back what it took.
    """

    scope: str
    item: str
    amount: int = 1
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """Gives (scope, item) back. Releasing what nobody holds, or what another stream holds by now, changes nothing.

    An event's releases come before its claims, so that one event can swap them.
    """

    scope: str
    item: str


@dataclass(frozen=True, slots=True)
class Held:
    """A claim in force, and the stream that holds it."""

    holder: str
    claim: Claim


@dataclass(frozen=True, slots=True)
class Event:
    """A fact to append. Its claims are taken and recorded (in its metadata) with it, so the claims table can be rebuilt."""

    type: str
    data: Json
    metadata: Json = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    releases: tuple[Release, ...] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """Events for one stream, which must stand at version `expected` (0: it does not exist yet).

    `root` groups streams that are loaded together; it is set by a stream's first write and then kept ("": the stream itself).
    """

    stream: str
    expected: int
    events: tuple[Event, ...]
    root: str = ""


@unguarded
@dataclass(frozen=True, slots=True)
class Recorded:
    """An event of the log. `version` counts from 1 in its stream; `position` from 1 in the log, gapless, in commit order."""

    position: int
    stream: str
    version: int
    type: str
    data: Json
    metadata: Json
    at: datetime

    @property
    def id(self) -> str:
        """The event's id, e.g. instance-54@7: unique, and it needs no storage."""
        return f"{self.stream}@{self.version}"

    @property
    def root(self) -> str:
        """The stream's root (written into the metadata where it differs from the stream)."""
        root: str = self.metadata.get("root") or self.stream
        return root

    @property
    def trace(self) -> str | None:
        """The id of its request's trace, where that has another name than the request."""
        parent = self.metadata.get("traceparent")
        return parent[3:35] if isinstance(parent, str) else None

    def is_of(self, request: str) -> bool:
        """Whether it belongs to the request with this correlation id, or to one of the trace with this id."""
        return request in (self.metadata.get("correlation"), self.trace)

    @property
    def claims(self) -> tuple[Claim, ...]:
        return tuple(Claim(*each) for each in self.metadata.get("claims", ()))

    @property
    def releases(self) -> tuple[Release, ...]:
        return tuple(Release(*each) for each in self.metadata.get("releases", ()))


Upcast = Callable[[Recorded], Recorded]
"""What a store does with every event that it reads, before anybody sees it: old forms become new ones. It is told, as it knows no types."""


@dataclass(frozen=True, slots=True)
class Work:
    """`root` has something left to do, from `due` on (None: now). One row a root; a later Work replaces it.

    `waits_for`: it waits for nothing but an answer of this one (whom the store does not know). A due time that has come stays, then.
    `since`: told by the store, where in the log that was said."""

    root: str
    partition: int
    due: datetime | None = None
    waits_for: int | None = None
    since: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to act for `name`. Each new holder gets a higher epoch; an append under an older one is refused."""

    name: str
    holder: str
    epoch: int


@dataclass(frozen=True, slots=True)
class CommandKey:
    """An idempotent request: `key` as the client gave it, unique for the account, and a hash of what it asked for."""

    account: str
    key: str
    request_hash: str
    status: int = 200


@dataclass(frozen=True, slots=True)
class Appended:
    """Where an append landed: its events have the positions first..last, in the order in which they were given."""

    first: int
    last: int
    at: datetime

    def recorded(self, writes: Sequence[Write]) -> list[Recorded]:
        """The appended events as a reader will see them (the store's own metadata, claims and root, included)."""
        events: list[Recorded] = []
        position = self.first
        for write in writes:
            for version, event in enumerate(write.events, start=write.expected + 1):
                metadata = stored_metadata(event, write)
                events.append(Recorded(position, write.stream, version, event.type, event.data, metadata, self.at))
                position += 1
        return events


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the events of a stream up to `version` were folded to: the reader's own JSON, which the log keeps and never looks into.

    `form` names the code that folded it: a reader asks for its own form, and never sees another's. Disposable at any time.
    """

    stream: str
    form: str
    version: int
    position: int
    state: Json


@dataclass(frozen=True, slots=True)
class Resumed:
    """Streams from their latest snapshots on: those there are, and all events after them, by position."""

    snapshots: list[Snapshot]
    events: list[Recorded]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A consistent picture of some streams and claims at `position`: follow(position) continues exactly from it."""

    position: int
    events: list[Recorded]
    claims: list[Held]
    snapshots: Sequence[Snapshot] = ()
    """Where there is one of a stream, `events` holds only what came after it."""


def stored_metadata(event: Event, write: Write) -> Json:
    """The metadata as it is stored: the event's own, its claims and releases, and the root where it is another stream."""
    metadata = dict(event.metadata)
    if event.claims:
        metadata["claims"] = [[c.scope, c.item, c.amount, c.limit] for c in event.claims]
    if event.releases:
        metadata["releases"] = [[r.scope, r.item] for r in event.releases]
    if write.root and write.root != write.stream:
        metadata["root"] = write.root
    return metadata

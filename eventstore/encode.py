"""append() -> here -> the writer's batch: checks what a caller wants to append and encodes it, once, before anything is sent.

Both stores use it, so what one refuses the other refuses too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from eventstore.errors import BadData
from eventstore.types import CommandKey, Event, Json, Lease, Work, Write, stored_metadata

Key = str | tuple[str, ...]
EventRow = tuple[str, int, str, str, str]  # stream, version, type, data, metadata
StreamRow = tuple[str, int, int, str]  # stream, the version it must have, the version it will have, root ("": itself)

RESERVED = frozenset({"root", "claims", "releases"})  # see types.stored_metadata
LONGEST = 1000  # bytes in a name; an index row of Postgres holds two and a half times that
NUL_IN_JSON = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(slots=True)  # not frozen: one is made for every append, and a frozen one costs three times as much to make
class Encoded:
    """An append, ready to send.

    `keys`: what no other append of its batch may touch (streams written; its command; the roots of its work).
    `unchanged`: streams only read, with the versions they must have; no other append of its batch may write them.
    `whole`: roots of which no other stream may exist than those written and unchanged.
    `ops`: claims and releases in the order in which they take effect. `closed`: streams whose last event closes them.
    """

    keys: list[Key]
    streams: list[StreamRow]
    events: list[EventRow]
    ops: Sequence[Json] = ()
    closed: Sequence[str] = ()
    unchanged: Mapping[str, int] | None = None
    whole: Sequence[str] = ()
    lease: Lease | None = None
    command: CommandKey | None = None
    work: Sequence[Work] = ()
    done: Sequence[str] = ()

    @property
    def plain(self) -> bool:
        """Nothing but events for streams."""
        return not (self.ops or self.closed or self.unchanged or self.whole or self.lease or self.command or self.work or self.done)


def encode_append(
    writes: Sequence[Write],
    unchanged: Mapping[str, int] | None = None,
    lease: Lease | None = None,
    command: CommandKey | None = None,
    work: Sequence[Work] = (),
    done: Sequence[str] = (),
    whole: Sequence[str] = (),
) -> Encoded:
    """Raises BadData for what the log can't hold, ValueError for a call that makes no sense."""
    if len(writes) > 1 and len({write.stream for write in writes}) < len(writes):
        raise ValueError(f"an append writes each stream once, not {[write.stream for write in writes]}: join the events of a stream")
    encoded = Encoded([], [], [])
    for write in writes:
        _encode_write(write, encoded)
    if unchanged:
        for stream in unchanged:
            check_text(stream, "a stream's name")
        encoded.unchanged = {**unchanged, **(encoded.unchanged or {})}
    if command is not None:
        for text in (command.account, command.key, command.request_hash):
            check_text(text, "a command's key")
        encoded.command = command
        encoded.keys.append(("command", command.account, command.key))
    if lease is not None:
        check_text(lease.name, "a lease's name")
        check_text(lease.holder, "a lease's holder")
        encoded.lease = lease
    if work or done or whole:
        encoded.work = list({each.root: each for each in work}.values())  # the last one counts
        encoded.done, encoded.whole = done, whole
        for root in {*(each.root for each in work), *done, *whole}:
            check_text(root, "a root's name")
            encoded.keys.append(("work", root))
    return encoded


def check_text(text: str, what: str) -> None:
    """Raises BadData for a name that Postgres can't hold."""
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise BadData(f"{what} holds half a surrogate pair: {text!r}") from error
    if "\0" in text:
        raise BadData(f"{what} holds a NUL character: {text!r}")
    if size > LONGEST:
        raise BadData(f"{what} is {size} bytes long, and {LONGEST} are the most: {text[:60]!r}...")


def encode_json(value: Json, part: str, event: Event, stream: str) -> str:
    """JSON text that jsonb takes; BadData says where it doesn't."""
    try:
        raw = orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise BadData(f"the {part} of {event.type} for {stream} is not JSON: {error}") from error
    if _has_nul(raw):
        raise BadData(f"the {part} of {event.type} for {stream} holds a NUL character")
    return raw.decode()


def unholdable(value: Json) -> str | None:
    """Why the log can't hold this, for who takes it from elsewhere and has to say so; None: it can."""
    try:
        return "it holds a NUL character" if _has_nul(orjson.dumps(value)) else None
    except orjson.JSONEncodeError as error:
        return f"it is not JSON: {error}"


def _has_nul(raw: bytes) -> bool:
    """The search for the six bytes is cheap; only a hit needs the exact look (a backslash may itself be escaped)."""
    return b"\\u0000" in raw and NUL_IN_JSON.search(raw) is not None


def _encode_write(write: Write, encoded: Encoded) -> None:
    stream, version = write.stream, write.expected
    if not stream:
        raise ValueError("a stream needs a name")
    check_text(stream, "a stream's name")
    if not write.events:  # nothing to write is still a promise about the version
        encoded.unchanged = {**(encoded.unchanged or {}), stream: version}
        return
    if write.root:
        check_text(write.root, "a root's name")
    for event in write.events:
        version += 1
        metadata = event.metadata
        if metadata and not RESERVED.isdisjoint(metadata):
            raise ValueError(f"{event.type} for {stream}: the store itself writes {sorted(RESERVED)} into the metadata")
        if event.claims or event.releases:
            encoded.ops = [*encoded.ops, *_ops(event, stream)]
            metadata = stored_metadata(event, write)
        elif write.root and write.root != stream:
            metadata = stored_metadata(event, write)
        check_text(event.type, "an event's type")
        data, about = encode_json(event.data, "data", event, stream), "{}"
        if metadata:
            about = encode_json(metadata, "metadata", event, stream)
        encoded.events.append((stream, version, event.type, data, about))
    if write.events[-1].metadata.get("closed") is True:
        encoded.closed = [*encoded.closed, stream]
    encoded.keys.append(stream)
    encoded.streams.append((stream, write.expected, version, write.root))


def _ops(event: Event, stream: str) -> list[Json]:
    """Releases first, so that one event can swap one claim for another."""
    ops: list[Json] = []
    for release in event.releases:
        check_text(release.scope, "a claim's scope")
        check_text(release.item, "a claim's item")
        ops.append({"o": "release", "h": stream, "s": release.scope, "i": release.item, "a": 0, "l": None})
    for claim in event.claims:
        if claim.amount < 0:
            raise ValueError(f"a claim of {claim.amount} in {claim.scope}: amounts are not negative")
        check_text(claim.scope, "a claim's scope")
        check_text(claim.item, "a claim's item")
        ops.append({"o": "claim", "h": stream, "s": claim.scope, "i": claim.item, "a": claim.amount, "l": claim.limit})
    return ops

"""append() -> here -> the writer's batch: checks what a caller wants to append and encodes it, once, before anything is sent.

Both stores use it, so what one refuses the other refuses too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from eventstore.errors import BadData
from eventstore.types import CommandKey, Event, Json, Lease, Work, Write, stored_metadata

Key = str | tuple[str, ...]
EventRow = tuple[str, int, str, str, str]  # stream, version, type, data, metadata
StreamRow = tuple[str, int, str, bool]  # stream, version, root, closed

NUL_IN_JSON = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class Encoded:
    """An append, ready to send.

    `keys`: what no other append of its batch may touch (streams written; its command; the roots of its work).
    `reads`: streams that no other append of its batch may write.
    `checks`: streams and the versions they must be at. `ops`: claims and releases in the order in which they take effect.
    """

    keys: tuple[Key, ...]
    reads: tuple[str, ...]
    checks: tuple[tuple[str, int], ...]
    streams: tuple[StreamRow, ...]
    events: tuple[EventRow, ...]
    ops: tuple[Json, ...] = ()
    lease: Lease | None = None
    command: CommandKey | None = None
    work: tuple[Work, ...] = ()
    done: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Nothing but writes: no lease, command, claim or work."""
        return not (self.ops or self.lease or self.command or self.work or self.done)


def encode_append(
    writes: Sequence[Write],
    unchanged: Mapping[str, int] | None = None,
    lease: Lease | None = None,
    command: CommandKey | None = None,
    work: Sequence[Work] = (),
    done: Sequence[str] = (),
) -> Encoded:
    """Raises BadData for what the log can't hold, ValueError for a call that makes no sense."""
    if len(writes) > 1 and len({write.stream for write in writes}) < len(writes):
        raise ValueError(f"an append writes each stream once, not {[write.stream for write in writes]}: join the events of a stream")
    checks: list[tuple[str, int]] = []
    streams: list[StreamRow] = []
    events: list[EventRow] = []
    ops: list[Json] = []
    for write in writes:
        _encode_write(write, checks, streams, events, ops)
    keys: list[Key] = [row[0] for row in streams]
    reads: list[str] = [stream for stream, _ in checks if stream not in keys] if len(checks) > len(streams) else []
    if unchanged:
        for stream, version in unchanged.items():
            check_text(stream, "a stream's name")
            checks.append((stream, version))
            if stream not in keys:
                reads.append(stream)
    if command is not None:
        for text in (command.account, command.key, command.request_hash):
            check_text(text, "a command's key")
        keys.append(("command", command.account, command.key))
    if lease is not None:
        check_text(lease.name, "a lease's name")
        check_text(lease.holder, "a lease's holder")
    for root in {*(each.root for each in work), *done}:
        check_text(root, "a root's name")
        keys.append(("work", root))
    if len(work) > 1:
        work = tuple({each.root: each for each in work}.values())  # the last one counts
    return Encoded(
        tuple(keys), tuple(reads), tuple(checks), tuple(streams), tuple(events), tuple(ops), lease, command, tuple(work), tuple(done)
    )


def check_text(text: str, what: str) -> None:
    """Raises BadData for text that Postgres can't hold."""
    if text.isascii():
        if "\0" in text:
            raise BadData(f"{what} holds a NUL character: {text!r}")
        return
    if "\0" in text:
        raise BadData(f"{what} holds a NUL character: {text!r}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadData(f"{what} holds half a surrogate pair: {text!r}") from error


def encode_json(value: Any, where: str) -> str:
    """JSON text that jsonb takes; raises BadData with the place where it doesn't."""
    try:
        raw = orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise BadData(f"{where} is not JSON: {error}") from error
    # The search for the six bytes is cheap; only a hit needs the exact look (a backslash may itself be escaped).
    if b"\\u0000" in raw and NUL_IN_JSON.search(raw):
        raise BadData(f"{where} holds a NUL character")
    return raw.decode()


def _encode_write(
    write: Write, checks: list[tuple[str, int]], streams: list[StreamRow], events: list[EventRow], ops: list[Json]
) -> None:
    stream, version = write.stream, write.expected
    if not stream:
        raise ValueError("a stream needs a name")
    check_text(stream, "a stream's name")
    checks.append((stream, version))
    if not write.events:
        return
    if write.root:
        check_text(write.root, "a root's name")
    for event in write.events:
        version += 1
        check_text(event.type, "an event's type")
        if event.claims or event.releases:
            ops.extend(_ops(event, stream))
        metadata = event.metadata
        if event.claims or event.releases or write.root:
            metadata = stored_metadata(event, write)
        where = f"{event.type} of {stream}"
        told = encode_json(metadata, f"the metadata of {where}") if metadata else "{}"
        events.append((stream, version, event.type, encode_json(event.data, where), told))
    closed = bool(write.events[-1].metadata.get("closed"))
    streams.append((stream, version, write.root or stream, closed))


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

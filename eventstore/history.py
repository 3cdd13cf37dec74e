"""A read of the log -> here, where some of its events have left for the archive: both, merged by position, as if none had left.

Positions are gapless, so a gap in what the log gave shows that the archive has the rest. The log is always read before its
catalogue of files: events leave, and their file enters the catalogue, in one transaction, so nothing is missed in between, and
what is seen twice is one event by its position.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from eventstore.archive import Archive, ArchiveFile
from eventstore.errors import ArchiveAway
from eventstore.types import Json, Recorded, Resumed, Snapshot, Upcast

Fetch = Callable[..., Awaitable[list[Any]]]
"""(name of a query, its arguments) -> rows."""

FILE, SNAPSHOT = 0, -1
"""Positions of rows that are no events, see sql/read.sql and sql/resume_roots.sql."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a query for streams gave: events, the numbers of files that hold more, and the streams these are for."""

    events: list[Recorded]
    files: list[int]
    archived: list[str]
    snapshots: list[Snapshot]


def sorted_out(rows: Sequence[Any], form: str = "") -> Rows:
    found = Rows([], [], [], [])
    for row in rows:
        position, stream, version, _, state, at, _ = row
        if position > FILE:
            found.events.append(Recorded(*row))
        elif position == FILE:
            found.files.append(version)
            found.archived.append(stream)
        else:
            found.snapshots.append(Snapshot(stream, form, version, at, state))
    return found


class History:
    """Archive plus log. `fetch` runs a query of eventstore/sql; `upcast`: see types.Upcast."""

    def __init__(self, fetch: Fetch, archive: Archive, upcast: Upcast | None = None) -> None:
        self._fetch, self._archive, self._upcast = fetch, archive, upcast

    def recorded(self, rows: Sequence[Any]) -> list[Recorded]:
        """Rows that are nothing but events."""
        return self._today([Recorded(*row) for row in rows])

    async def stream(self, rows: Sequence[Any], after: int, to: int) -> list[Recorded]:
        """The rows of read.sql or read_root.sql as events, with those from the archive. `after`: a version, `to`: a position."""
        found = sorted_out(rows)
        if not found.files:
            return self._today(found.events)
        return await self._joined(found, dict.fromkeys(found.archived, after), to)

    async def resumed(self, rows: Sequence[Any], form: str) -> Resumed:
        """The rows of resume.sql, resume_roots.sql or load_events.sql."""
        found = sorted_out(rows, form)
        if not found.files:
            return Resumed(found.snapshots, self._today(found.events))
        after = dict.fromkeys(found.archived, 0) | {each.stream: each.version for each in found.snapshots}
        return Resumed(found.snapshots, await self._joined(found, after, 2**63 - 1))

    async def filled(self, found: list[Recorded], after: int, limit: int, to: int, head: int) -> list[Recorded]:
        """All of the log's events after `after`: what the log gave, and what is in the archive. None may be missing.

        `head`: the log's, as it was before `found` was read.
        """
        end = min(after + limit, to, head)
        files = [ArchiveFile(*row) for row in await self._fetch("archive_files", after, end, None)]
        archived = await asyncio.to_thread(lambda: [event for file in files for event in self._archive.unpack(file).events(after, end)])
        merged = _by_position([event for event in found if event.position <= end], self._today(archived))
        for expected, event in enumerate(merged, start=after + 1):
            if event.position != expected:
                raise _lost(expected, event.position - 1)
        if len(merged) < end - after:
            raise _lost(after + len(merged) + 1, end)
        return merged

    async def chosen(
        self, found: list[Recorded], after: int, limit: int, to: int, types: Sequence[str] | None, correlation: str | None
    ) -> list[Recorded]:
        """Those that fit: what the log gave, and what is in the archive."""
        end = found[-1].position if len(found) == limit else to
        files = [ArchiveFile(*row) for row in await self._fetch("archive_files", after, end, correlation)]
        if not files:
            return found
        words = [orjson.dumps(word)[1:-1] for word in ([correlation] if correlation is not None else types or ())]

        def fits(event: Recorded) -> bool:
            return (types is None or event.type in types) and (correlation is None or event.is_of(correlation))

        def search() -> list[Recorded]:
            picked: list[Recorded] = []
            for file in files:  # by their first positions
                if len(picked) >= limit and file.first > sorted(event.position for event in picked)[limit - 1]:
                    break
                picked += filter(fits, self._archive.unpack(file).events(after, end, words))
            return picked

        return _by_position(found, self._today(await asyncio.to_thread(search)))[:limit]

    async def having(self, found: list[Recorded], prefix: str, part: Json, to: int) -> list[Recorded]:
        """All events, up to a position, of the streams named `<prefix>...` that have one that contains `part`: what the log gave, and what
        is in the archive. A stream may have gone on after it was archived, and that one event may be in either."""
        files = [ArchiveFile(*row) for row in await self._fetch("archive_files", 0, to, None)]
        if not files:
            return found

        def search() -> list[Recorded]:
            words = [b'"stream":"' + prefix.encode()]
            return [event for file in files for event in self._archive.unpack(file).events(0, to, words) if event.stream.startswith(prefix)]

        archived = await asyncio.to_thread(search)
        streams = {event.stream for event in found}
        if late := {event.stream for event in archived if has(event, part)} - streams:
            found = found + self.recorded(await self._fetch("read_streams", sorted(late), to))
        return _by_position(found, self._today([event for event in archived if event.stream in streams | late]))

    async def _joined(self, found: Rows, after: dict[str, int], to: int) -> list[Recorded]:
        files = [ArchiveFile(*row) for row in await self._fetch("archive_file", sorted(set(found.files)))]
        words = [b'"stream":' + orjson.dumps(stream) for stream in after]

        def search() -> Iterator[Recorded]:
            for file in files:
                for event in self._archive.unpack(file).events(0, to, words):
                    if event.stream in after and event.version > after[event.stream]:
                        yield event

        return self._today(_by_position(found.events, await asyncio.to_thread(lambda: list(search()))))

    def _today(self, events: list[Recorded]) -> list[Recorded]:
        """In the form that today's code knows."""
        return events if self._upcast is None else [self._upcast(event) for event in events]


def has(event: Recorded, part: Json) -> bool:
    """Whether an event's data and metadata contain these parts of them."""
    return contains(event.data, part.get("data", {})) and contains(event.metadata, part.get("metadata", {}))


def contains(value: Any, part: Any) -> bool:
    """value @> part, as jsonb has it. (true is not 1 there.)"""
    match part:
        case dict():
            return isinstance(value, dict) and all(key in value and contains(value[key], each) for key, each in part.items())
        case list():
            return isinstance(value, list) and all(any(contains(one, each) for one in value) for each in part)
    return bool(value == part) and isinstance(value, bool) == isinstance(part, bool)


def is_whole(found: Sequence[Recorded], after: int, limit: int, to: int | None) -> bool:
    """Whether these are surely all events after `after`, up to `limit` or `to`: then nothing of them is in the archive.

    The last event of the log never leaves it, so without `to` the last that was found is the last there is.
    """
    count = len(found)
    contiguous = count == 0 or found[-1].position == after + count
    return contiguous and (to is None or count == limit or after + count >= to)


def _by_position(some: Sequence[Recorded], others: Sequence[Recorded]) -> list[Recorded]:
    """Each once."""
    found = {event.position: event for event in others} | {event.position: event for event in some}
    return [found[position] for position in sorted(found)]


def _lost(first: int, last: int) -> ArchiveAway:
    return ArchiveAway(
        f"the events of positions {first} to {last} are neither in the log nor in a file of the archive: restore the database from a backup"
    )

"""corral archive -> here: closed streams leave the log for files, in steps of which each may be the last that a killed run takes.

    chosen -> exported -> verified -> listed -> copied -> swapped
      the files are written, synced and read back; the partitions are copied without these events; all this is beside the log
                                                           and then, in one transaction under the log's lock, the copies
                                                           take the partitions' place and the files enter the catalogue

Until that transaction nothing has changed, after it all has: a run that was killed is simply run again. Updates and deletes stay
refused by trigger; whole partitions are exchanged. Readers wait for the moment of the exchange, appends too; and nobody else.

The partition that is being written is cut at the head: what came before it is archived as any other, what comes after stays.
Neighbours that got small are joined, so that many runs don't leave many partitions. The log's last event always stays: it says
where the log ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
from asyncpg.connection import Connection

from eventstore import archive
from eventstore.archive import Archive, ArchiveFile, Manifest
from eventstore.connect import connect
from eventstore.errors import CantArchive
from eventstore.exchange import STATEMENT, Told, copy_groups, parts_of, swap, to_rewrite
from eventstore.queries import sql

FILE_EVENTS = 10_000
PARTITION_SIZE = 4_000_000
RUNNING = 0x61726368  # "arch": one run at a time
ALONE_TRIES = 30
STEPS = ("chosen", "exported", "verified", "listed", "copied", "swapped")


@dataclass(frozen=True, slots=True)
class Archived:
    """What a run did, or (`dry`) would do. `kept_back`: events before the limit whose streams are not closed."""

    before: int
    streams: int
    events: int
    kept_back: int
    partitions: int
    folder: str | None
    files: list[ArchiveFile]
    dry: bool


async def archive_before(
    dsn: str,
    folder: Path,
    before: int,
    *,
    keep: Sequence[str] = (),
    dry: bool = False,
    told: Told = lambda what, done, all: None,
    file_events: int = FILE_EVENTS,
    partition_size: int = PARTITION_SIZE,
) -> Archived:
    """Archives the roots of which every stream is closed and has all its events before position `before`.

    `keep`: categories that stay whatever becomes of them, because they are loaded whole (see Store.load). Raises CantArchive.
    """
    connection = await connect(dsn, 10.0)
    try:
        run = _Run(connection, folder, before, keep, told, file_events, partition_size)
        return await run.go(dry)
    finally:
        with suppress(TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await connection.close(timeout=10)  # and not terminated: the next run finds the lock free at once


async def verify(dsn: str, archive: Archive, told: Told = lambda what, done, all: None) -> tuple[list[ArchiveFile], list[str]]:
    """Reads every file of the archive. -> the files, and what is wrong with them, a sentence each."""
    connection = await connect(dsn, 10.0)
    try:
        files = [ArchiveFile(*row) for row in await connection.fetch(sql("archive_files"), 0, 2**62, None, timeout=60)]
    finally:
        connection.terminate()
    done = iter(range(1, len(files) + 1))
    return files, await asyncio.to_thread(archive.verify, files, lambda file: told("reading", next(done), len(files)))


class _Run:
    def __init__(
        self, connection: Connection, folder: Path, before: int, keep: Sequence[str], told: Told, file_events: int, partition_size: int
    ) -> None:
        self._connection, self._folder, self._before, self._keep, self._told = connection, folder, before, keep, told
        self._file_events, self._partition_size = file_events, partition_size

    async def go(self, dry: bool) -> Archived:
        await self._alone()
        head = await self._value(sql("head")) or 0
        if not 1 <= self._before <= head:
            raise CantArchive(f"position {self._before} is not in the log, which goes from 1 to {head}")
        if not dry:
            await self._tidy()
        streams, events = await self._choose(head)
        kept_back = await self._value("SELECT count(*) FROM log.events WHERE position < $1", self._before) - events
        done = Archived(self._before, streams, events, kept_back, 0, None, [], dry)
        self._told("chosen", 0, 0)
        if not events:
            return done
        groups = to_rewrite(await parts_of(self._connection, head, self._told), self._partition_size)
        if dry:
            return replace(done, partitions=sum(map(len, groups)))
        folder, run, files = await self._export(streams, events)
        await self._list(files)
        fresh = await copy_groups(self._connection, groups, run, self._told)
        self._told("copied", 0, 0)
        await swap(self._connection, groups, fresh, partial(self._enter, run, files))
        self._told("swapped", 0, 0)
        return replace(done, partitions=sum(map(len, groups)), folder=str(folder), files=files)

    async def _alone(self) -> None:
        """The lock falls with the connection; of a run that was killed, once the database has noticed it."""
        for _ in range(ALONE_TRIES):
            if await self._value("SELECT pg_try_advisory_lock($1)", RUNNING):
                return
            await asyncio.sleep(0.1)
        raise CantArchive("the log is being archived already: wait for that, or stop it")

    async def _tidy(self) -> None:
        """What runs that were killed have left beside the log. Nothing refers to it."""
        await self._connection.execute(sql("forget_unfinished"), timeout=STATEMENT)
        for (name,) in await self._connection.fetch(sql("unfinished_tables")):
            await self._connection.execute(f'DROP TABLE log."{name}"')
        unfinished = await self._connection.fetch(
            "SELECT number, folder FROM log.archive_runs WHERE number NOT IN (SELECT run FROM log.archive_files)"
        )
        for number, folder in unfinished:
            shutil.rmtree(folder, ignore_errors=True)
            await self._connection.execute("DELETE FROM log.archive_runs WHERE number = $1", number)

    async def _choose(self, head: int) -> tuple[int, int]:
        """Fills the table `leaving`: streams, with the last of their positions. -> how many, and their events."""
        await self._connection.execute('CREATE TEMPORARY TABLE leaving (stream text COLLATE "C" PRIMARY KEY, position bigint NOT NULL)')
        await self._connection.execute(sql("leaving"), self._before, head, list(self._keep), timeout=STATEMENT)
        await self._connection.execute("ANALYZE leaving")
        events = "SELECT count(*) FROM log.events e JOIN leaving l ON l.stream = e.stream AND e.position <= l.position"
        return await self._value("SELECT count(*) FROM leaving"), await self._value(events)

    # --- the files ---

    async def _export(self, streams: int, events: int) -> tuple[Path, int, list[ArchiveFile]]:
        """-> the run's folder, its number, and its files."""
        number = await self._value("SELECT coalesce(max(number), 0) FROM log.archive_files") + 1
        log_id = str(await self._value("SELECT id FROM log.identity"))[:8]
        run = await self._value("SELECT coalesce(max(number), 0) FROM log.archive_runs") + 1
        while (folder := self._folder / f"{log_id}-{run:06}").exists():  # by a later life of this log, restored since from a backup
            run += 1
        await self._connection.execute("INSERT INTO log.archive_runs (number, folder) VALUES ($1, $2)", run, str(folder))
        try:
            folder.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise CantArchive(f"the folder {folder} can't be made: {(error.strerror or str(error)).lower()}") from error
        files: list[ArchiveFile] = []
        digest = hashlib.sha256()
        try:
            async for lines, first, last in self._chunks(events):
                name, checksum = await asyncio.to_thread(archive.write_file, folder, lines, first, last)
                place = str(self._folder), f"{folder.name}/{name}"
                files.append(ArchiveFile(number + len(files), *place, first, last, len(lines), checksum))
                for line in lines:
                    digest.update(line)
        except OSError as error:
            raise CantArchive(f"{folder} can't be written: {(error.strerror or str(error)).lower()}") from error
        archive.sync_folder(folder)
        self._told("exported", 0, 0)
        await self._verify(files, digest.hexdigest(), events)
        described = [{key: value for key, value in asdict(file).items() if key not in ("number", "folder")} for file in files]
        made = datetime.now(UTC).isoformat(timespec="seconds")
        Manifest(archive.FORMAT, log_id, run, made, self._before, streams, events, described).write(folder)
        archive.sync_folder(self._folder)
        self._told("verified", 0, 0)
        return folder, run, files

    async def _chunks(self, events: int) -> AsyncIterator[tuple[list[bytes], int, int]]:
        """The leaving events by position, a file's worth at a time, with the first and last position of each."""
        lines: list[bytes] = []
        first = last = written = 0
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            async for row in self._connection.cursor(sql("leaving_events"), prefetch=2000, timeout=STATEMENT):
                first, last = first or row[0], row[0]
                lines.append(archive.line_of(*row))
                if len(lines) == self._file_events:
                    yield lines, first, last
                    written += len(lines)
                    self._told("exporting", written, events)
                    lines, first = [], 0
        if lines:
            yield lines, first, last

    async def _verify(self, files: Sequence[ArchiveFile], digest: str, events: int) -> None:
        """Reads all from the disk again: it must be, line by line, what the log gave."""

        def read() -> tuple[str, int]:
            found, count = hashlib.sha256(), 0
            for file in files:
                for line in archive.check(file, self._folder / file.name).lines(0, 2**62):
                    archive.event_of(line)
                    found.update(line)
                    count += 1
                self._told("verifying", count, events)
            return found.hexdigest(), count

        if await asyncio.to_thread(read) != (digest, events):
            raise CantArchive("what was written is not what was read from the log: the disk is not to be trusted. The log is unchanged")

    async def _list(self, files: Sequence[ArchiveFile]) -> None:
        """Where to look for what. It means nothing until the files enter the catalogue."""
        for number, file in enumerate(files, start=1):
            versions: dict[str, int] = {}
            for line in archive.check(file, self._folder / file.name).lines(0, 2**62):
                event = archive.event_of(line)
                versions[event.stream] = event.version
                for request in (event.metadata.get("correlation"), event.trace):
                    if isinstance(request, str):
                        versions.setdefault(request, 0)
            listed = list(versions), list(versions.values()), file.number
            await self._connection.execute(sql("list_file"), *listed, timeout=STATEMENT)
            self._told("listing", number, len(files))
        self._told("listed", 0, 0)

    async def _enter(self, run: int, files: Sequence[ArchiveFile]) -> None:
        """The files into the catalogue, in the transaction of the exchange."""
        rows = [(run, f.number, f.folder, f.name, f.first, f.last, f.events, f.sha256) for f in files]
        await self._connection.executemany(sql("add_file"), rows)
        await self._connection.execute("DELETE FROM log.snapshots p USING leaving l WHERE p.stream = l.stream")

    async def _value(self, query: str, *arguments: Any) -> Any:
        return await self._connection.fetchval(query, *arguments, timeout=STATEMENT)

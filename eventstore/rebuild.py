"""The events -> here -> streams and claims anew, beside the live ones: shows that these can be trusted, or where they can't."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import orjson
from asyncpg.connection import Connection

from eventstore.archive import Archive, ArchiveFile
from eventstore.connect import connect
from eventstore.queries import sql


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not what the log says. `what`: stream, claim or total; `live` or `rebuilt` is None where the row is absent."""

    what: str
    name: str
    live: str | None
    rebuilt: str | None


async def rebuild_beside(
    dsn: str, schema: str = "log_rebuilt", timeout: float = 3600.0, archive: Archive | None = None
) -> list[Difference]:
    """Rebuilds streams, claims and totals into `schema` (made anew) from log and archive; -> where they differ from the live tables.

    Both are seen as of one position, whatever is appended meanwhile; nobody waits for it. `timeout`: seconds for all of it.
    """
    connection = await connect(dsn, min(timeout, 10.0))
    try:
        async with connection.transaction(isolation="repeatable_read"):
            await _stage(connection, archive or Archive())
            rows = await connection.fetch(sql("rebuild_beside"), schema, timeout=timeout)
    finally:
        await connection.close(timeout=10)
    return [Difference(*row) for row in rows]


async def _stage(connection: Connection, archive: Archive) -> None:
    """What the archive holds, where SQL can read it."""
    columns = 'position bigint, stream text COLLATE "C", version integer, metadata jsonb'
    await connection.execute(f"CREATE TEMPORARY TABLE archived_events ({columns}) ON COMMIT DROP")
    for row in await connection.fetch(sql("archive_files"), 0, 2**62, None):
        unpacked = await asyncio.to_thread(archive.unpack, ArchiveFile(*row))
        rows = [(each.position, each.stream, each.version, orjson.dumps(each.metadata).decode()) for each in unpacked.events(0, 2**62)]
        await connection.executemany("INSERT INTO archived_events VALUES ($1, $2, $3, $4)", rows)

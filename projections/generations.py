"""Which views this code reads and writes: a schema of their own, named by a hash of the code that folds them."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg
from asyncpg.connection import Connection

from eventstore import Store
from eventstore.connect import KEEPALIVES
from projections.apply import sql

ROOT = Path(__file__).parents[1]

SOURCES = (
    "commands/events.py",
    "commands/merge.py",
    "commands/resource.py",
    "commands/snapshots.py",
    "commands/trace.py",
    "commands/upcast.py",
    "projections/apply.py",
    "projections/fold.py",
    "projections/known.py",
    "projections/leases.py",
    "projections/processes.py",
    "projections/rows.py",
    "projections/sql/schema.sql",
    "projections/sql/write_rows.sql",
)
"""What decides which rows a log gives. The catalogue does not: rows keep what the fold gives, and queries interpret it."""

KEEP = timedelta(days=1)
"""How long views of other code are kept after their last projector: the way back to it stays short for a day."""

_LOCK = 0x636F7276  # "corv": one at a time makes, switches or drops generations


@dataclass(frozen=True, slots=True)
class ViewHash:
    view: str
    rows: int
    hash: str


def generation() -> str:
    """views_<hash of the code>. Another version's servers keep theirs, and both can run at once."""
    digest = hashlib.sha256()
    for source in SOURCES:
        digest.update((ROOT / source).read_bytes())
    return f"views_{digest.hexdigest()[:12]}"


async def connect(dsn: str, schema: str, *, timeout: float = 10.0, statement_timeout: float | None = None) -> Connection:
    """A connection that works in this generation."""
    connection: Connection = await asyncpg.connect(dsn, timeout=timeout, server_settings=server_settings(schema, statement_timeout))
    return connection


def server_settings(schema: str, statement_timeout: float | None = None) -> dict[str, str]:
    settings = {"application_name": "corral-views", "search_path": schema, "timezone": "UTC", "jit": "off", **KEEPALIVES}
    settings["plan_cache_mode"] = "force_custom_plan"  # which index serves a list depends on what it asks for
    if statement_timeout is not None:
        settings["statement_timeout"] = str(int(statement_timeout * 1000))
    return settings


async def ensure(connection: Connection, schema: str) -> None:
    """Makes the generation, empty, where it is not there yet. `connection` works in it."""
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
        if not await exists(connection, schema):
            await connection.execute(f'create schema "{schema}"')
            await connection.execute(sql("schema"))


async def exists(connection: Connection, schema: str) -> bool:
    return bool(await connection.fetchval("select to_regclass($1) is not null", f'"{schema}".checkpoint'))


async def drop(connection: Connection, schema: str) -> None:
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(f'drop schema if exists "{schema}" cascade')


async def others(connection: Connection, schema: str) -> list[str]:
    """Generations of other code, and leftovers of rebuilds."""
    found = await connection.fetch(r"select nspname::text from pg_namespace where nspname like 'views\_%' and nspname <> $1", schema)
    return sorted(record[0] for record in found)


async def tidy(connection: Connection, store: Store, schema: str, keep: timedelta = KEEP) -> list[str]:
    """Drops the generations that nobody has projected for so long, and what killed rebuilds left. -> their names.

    One that lags behind what was appended that long ago has no projector; the locks tell of one that is only now being built.
    """
    dropped = []
    for other in await others(connection, schema):
        if not await connection.fetchval("select pg_try_advisory_lock($1, $2)", *projector_lock(other)):
            continue
        try:
            if await connection.fetchval("select pg_try_advisory_lock(hashtextextended($1, 0))", other):
                try:
                    if await _forgotten(connection, store, other, keep):
                        async with connection.transaction():
                            await connection.execute("set local lock_timeout = '1s'")  # somebody still reads it: another time
                            await drop(connection, other)
                        dropped.append(other)
                finally:
                    await connection.execute("select pg_advisory_unlock(hashtextextended($1, 0))", other)
        finally:
            await connection.execute("select pg_advisory_unlock($1, $2)", *projector_lock(other))
    return dropped


def projector_lock(schema: str) -> tuple[int, int]:
    """The advisory lock of whoever projects into this generation."""
    return 0x70726F6A, zlib.crc32(schema.encode()) - 2**31


async def _forgotten(connection: Connection, store: Store, schema: str, keep: timedelta) -> bool:
    """Whether the first event that it lacks is that old."""
    if not await exists(connection, schema):
        return False  # not of our making
    position = await connection.fetchval(f'select position from "{schema}".checkpoint')
    missing, newest = await store.read_all(position, 1), await store.read_all(max(0, await store.head() - 1), 1)
    return bool(missing and newest) and newest[0].at - missing[0].at > keep


async def hashes(connection: Connection, without: list[str]) -> list[ViewHash]:
    """What the generation that `connection` works in holds, as numbers to compare. `without`: streams to leave out."""
    return [ViewHash(**dict(record)) for record in await connection.fetch(sql("hash"), without)]


async def poisoned(connection: Connection) -> list[str]:
    return [record["stream"] for record in await connection.fetch("select stream from poisoned order by stream")]

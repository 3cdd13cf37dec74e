"""Which views this code reads and writes: a schema of their own, named by a hash of the code that folds them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from asyncpg.connection import Connection

from projections.apply import sql

ROOT = Path(__file__).parents[1]

SOURCES = (
    "commands/events.py",
    "commands/merge.py",
    "commands/resource.py",
    "commands/upcast.py",
    "projections/apply.py",
    "projections/fold.py",
    "projections/known.py",
    "projections/processes.py",
    "projections/rows.py",
    "projections/sql/schema.sql",
)
"""What decides which rows a log gives. The catalogue does not: rows keep what the fold gives, and queries interpret it."""

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
    settings = {"application_name": "corral-views", "search_path": schema, "timezone": "UTC", "jit": "off"}
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


async def hashes(connection: Connection, without: list[str]) -> list[ViewHash]:
    """What the generation that `connection` works in holds, as numbers to compare. `without`: streams to leave out."""
    return [ViewHash(**dict(record)) for record in await connection.fetch(sql("hash"), without)]


async def poisoned(connection: Connection) -> list[str]:
    return [record["stream"] for record in await connection.fetch("select stream from poisoned order by stream")]

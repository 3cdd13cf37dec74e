"""open() -> here: brings a database's schema up to this version. Each file runs once, forward, under a lock.

A schema's migrations are files NNNN_name.sql in one folder; what ran is in the schema's own table schema_versions.
"""

from __future__ import annotations

import logging
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from asyncpg.connection import Connection

from eventstore.errors import NewerSchema

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "sql" / "migrations"


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    sql: str


def migrations(folder: Path = FOLDER) -> list[Migration]:
    """The folder's migrations in order; their numbers must count from 1 without a gap."""
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        if (match := re.fullmatch(r"(\d{4})_(\w+)", path.stem)) is None:
            raise ValueError(f"{path.name} is not named like a migration: NNNN_name.sql")
        found.append(Migration(int(match[1]), match[2], path.read_text(encoding="utf-8")))
    if [each.version for each in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the migrations in {folder.name} do not count from 1 without a gap")
    return found


async def migrate(connection: Connection, schema: str = "log", folder: Path = FOLDER) -> int:
    """Runs what has not run yet, all or nothing; answers how many. Whoever comes second waits and finds it done.

    Raises NewerSchema when the database is ahead of this folder.
    """
    wanted = migrations(folder)
    async with connection.transaction(isolation="read_committed"):
        # A lock of its own for each schema. Taken before looking, so that the look sees what the one before did.
        await connection.execute("SELECT pg_advisory_xact_lock($1)", zlib.crc32(f"migrate {schema}".encode()))
        await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        await connection.execute(
            f'CREATE TABLE IF NOT EXISTS "{schema}".schema_versions'
            " (version integer PRIMARY KEY, name text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())"
        )
        present: int = await connection.fetchval(f'SELECT coalesce(max(version), 0) FROM "{schema}".schema_versions')
        if present > len(wanted):
            raise NewerSchema(
                f"schema {schema} of this database is at version {present}, and this Corral knows versions up to {len(wanted)} only: "
                "start the newer Corral that made it, or give this one a database (or $CORRAL_HOME) of its own"
            )
        for migration in wanted[present:]:
            log.info("schema %s: migration %04d %s", schema, migration.version, migration.name, extra={"action": "migrate"})
            await connection.execute(migration.sql)
            await connection.execute(
                f'INSERT INTO "{schema}".schema_versions (version, name) VALUES ($1, $2)', migration.version, migration.name
            )
    return len(wanted) - present

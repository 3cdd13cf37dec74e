"""A database is brought up to date once, by whoever comes first, and never back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from asyncpg.connection import Connection

from eventstore import NewerSchema
from eventstore.migrations import migrate, migrations
from eventstore.postgres import PostgresStore


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection]:
    opened = await asyncpg.connect(database)
    yield opened
    await opened.close()


async def test_migrations_run_once(connection: Connection) -> None:
    assert await migrate(connection) == len(migrations())
    assert await migrate(connection) == 0
    ran = await connection.fetch("SELECT version, name FROM log.schema_versions ORDER BY version")
    assert [tuple(row) for row in ran] == [(each.version, each.name) for each in migrations()]


async def test_of_many_servers_that_start_together_one_migrates(database: str, connection: Connection) -> None:
    stores = await asyncio.gather(*(PostgresStore.open(database, connections=1) for _ in range(6)))
    await asyncio.gather(*(store.close() for store in stores))
    assert await connection.fetchval("SELECT count(*) FROM log.schema_versions") == len(migrations())


async def test_a_newer_schema_is_refused_and_says_what_to_do(database: str, connection: Connection) -> None:
    await migrate(connection)
    await connection.execute("INSERT INTO log.schema_versions (version, name) VALUES (9999, 'from_the_future')")
    with pytest.raises(NewerSchema, match=r"at version 9999.*start the newer Corral"):
        await PostgresStore.open(database)


async def test_a_migration_that_fails_leaves_nothing_and_can_be_tried_again(connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE views.a (n integer);")
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE views.b (n integer); SELECT 1/0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(connection, "views", tmp_path)
    assert await connection.fetchval("SELECT to_regclass('views.a')") is None
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE views.b (n integer);")
    assert await migrate(connection, "views", tmp_path) == 2
    (tmp_path / "0003_third.sql").write_text("ALTER TABLE views.b ADD m integer;")
    assert await migrate(connection, "views", tmp_path) == 1


def test_migrations_count_without_a_gap(tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("SELECT 1")
    (tmp_path / "0003_third.sql").write_text("SELECT 1")
    with pytest.raises(ValueError, match="without a gap"):
        migrations(tmp_path)
    (tmp_path / "3_third.sql").write_text("SELECT 1")
    with pytest.raises(ValueError, match="not named like a migration"):
        migrations(tmp_path)

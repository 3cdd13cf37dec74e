"""Fixtures: one real Postgres and one real NATS for the whole test session, and a database of its own for each test that wants one."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from deploy.embedded import EmbeddedNats, EmbeddedPostgres, hold

NewDatabase = Callable[[], Awaitable[str]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_dsn(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The server's database "postgres", from which others are made; tests work in `database`."""
    home = tmp_path_factory.mktemp("postgres")
    with hold(home) as held:
        async with EmbeddedPostgres(held) as postgres:
            yield postgres.dsn_of("postgres")
    shutil.rmtree(home)  # 50 MB that pytest would keep for three sessions


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nats_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """One NATS for all tests: subjects are shared, so tests use names of their own. Who stops NATS starts an EmbeddedNats."""
    with hold(tmp_path_factory.mktemp("nats")) as held:
        async with EmbeddedNats(held, preferred=0) as nats:
            yield nats.url


@pytest.fixture
async def database_factory(postgres_dsn: str) -> AsyncIterator[NewDatabase]:
    """Makes empty databases; they are dropped after the test, whoever is still connected."""
    made: list[str] = []

    async def new_database() -> str:
        name = f"test_{secrets.token_hex(6)}"
        await _execute(postgres_dsn, f"create database {name}")
        made.append(name)
        return urlunsplit(urlsplit(postgres_dsn)._replace(path=f"/{name}"))

    yield new_database
    for name in made:
        await _execute(postgres_dsn, f"drop database {name} with (force)")


@pytest.fixture
async def database(database_factory: NewDatabase) -> str:
    """The DSN of an empty database of this test's own."""
    return await database_factory()


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute(statement, timeout=30)
    finally:
        await connection.close(timeout=5)



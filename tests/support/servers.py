"""Fixtures: one real Postgres and one real NATS for the whole test session, and a database of its own for each test that wants one."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio
from asyncpg.connection import Connection

from deploy.embedded import EmbeddedNats, EmbeddedPostgres, hold
from tests.support.waiting import happens

NewDatabase = Callable[[], Awaitable[str]]


class Databases:
    """Empty ones. What a test has done with is emptied, and given to another test under another name: that takes a fifth of the time
    that it takes to make one, and who still knows the old name finds nothing there."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._empty: list[str] = []

    def dsn(self, name: str) -> str:
        return urlunsplit(urlsplit(self._server)._replace(path=f"/{name}"))

    async def take(self) -> str:
        name = _fresh_name()
        async with _connected(self._server) as server:
            if self._empty:
                await server.execute(f"alter database {self._empty.pop()} rename to {name}", timeout=30)
            else:
                await server.execute(f"create database {name}", timeout=30)
        return name

    async def take_back(self, name: str) -> None:
        async with _connected(self._server) as server:
            empty = _fresh_name()
            try:
                await server.execute("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1", name, timeout=30)
                await server.execute(f"alter database {name} rename to {empty}", timeout=30)
            except asyncpg.PostgresError:  # somebody connects to it again and again
                await server.execute(f"drop database {name} with (force)", timeout=30)
                return
            if await _emptied(self.dsn(empty)):
                self._empty.append(empty)
            else:
                await server.execute(f"drop database {empty} with (force)", timeout=30)


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


@pytest.fixture(scope="session")
def databases(postgres_dsn: str) -> Databases:
    return Databases(postgres_dsn)


@pytest.fixture
async def database_factory(databases: Databases) -> AsyncIterator[NewDatabase]:
    """Makes empty databases; they are gone after the test, whoever is still connected."""
    made: list[str] = []

    async def new_database() -> str:
        made.append(await databases.take())
        return databases.dsn(made[-1])

    yield new_database
    for name in made:
        await databases.take_back(name)


@pytest.fixture
async def database(database_factory: NewDatabase) -> str:
    """The DSN of an empty database of this test's own."""
    return await database_factory()


def _fresh_name() -> str:
    return f"test_{secrets.token_hex(6)}"


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


async def _emptied(dsn: str) -> bool:
    """Drops all schemas. False: there is something elsewhere."""
    async with _connected(dsn) as connection:
        others = "nspname !~ '^pg_' and nspname not in ('information_schema', 'public')"
        schemas = [row["nspname"] for row in await connection.fetch(f"select nspname from pg_namespace where {others}")]
        if schemas:
            await connection.execute(f"drop schema {', '.join(schemas)} cascade", timeout=30)
        left = "select exists (select from pg_class where relnamespace = p) or exists (select from pg_proc where pronamespace = p)"
        return not await connection.fetchval(f"{left} from (select 'public'::regnamespace as p) n")


@asynccontextmanager
async def standing_still(server: EmbeddedNats) -> AsyncIterator[None]:
    """It answers nothing meanwhile, and everything after that."""
    assert server.pid is not None
    stat = Path(f"/proc/{server.pid}/stat")
    os.kill(server.pid, signal.SIGSTOP)
    try:
        await happens(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)

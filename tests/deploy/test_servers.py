"""The fixtures that other tests stand on: a database of their own, and a NATS for all."""

from __future__ import annotations

import asyncio

import asyncpg
import nats

from tests.support.servers import NewDatabase


async def test_each_database_is_empty_and_apart_from_the_others(database: str, database_factory: NewDatabase) -> None:
    other = await database_factory()
    first, second = await asyncpg.connect(database), await asyncpg.connect(other)
    await first.execute("create table here ()")
    assert await second.fetchval("select to_regclass('here')") is None
    await first.close()
    await second.close()  # a test that forgets this is no obstacle: databases are dropped with force


async def test_both_servers_serve_tests_in_loops_of_their_own(postgres_dsn: str, nats_url: str) -> None:
    connection = await asyncpg.connect(postgres_dsn)
    assert await connection.fetchval("select version()")
    await connection.close()
    client = await nats.connect(nats_url)
    heard = await client.subscribe("corral.fixture.test")
    await client.publish("corral.fixture.test", b"hello")
    async with asyncio.timeout(5):
        assert (await heard.next_msg()).data == b"hello"
    await client.close()

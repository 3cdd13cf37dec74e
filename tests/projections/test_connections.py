"""What a machine held that is gone without a word is free soon: Postgres looks after connections from elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from deploy.embedded import EmbeddedPostgres, hold
from eventstore import connect as log
from eventstore.connect import KEEPALIVES
from projections import generations


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    with hold(tmp_path) as home:
        async with EmbeddedPostgres(home, tcp=True) as running:
            yield running


async def looked_after(connection: asyncpg.Connection) -> dict[str, str]:
    try:
        return {name: await connection.fetchval(f"show {name}") for name in KEEPALIVES}
    finally:
        await connection.close(timeout=10)


async def test_connections_to_the_log_and_to_the_views_are_looked_after(postgres: EmbeddedPostgres) -> None:
    assert await looked_after(await log.connect(postgres.tcp_dsn, 10)) == KEEPALIVES
    assert await looked_after(await generations.connect(postgres.tcp_dsn, generations.generation())) == KEEPALIVES
    nearby = await log.connect(postgres.dsn, 10)  # by the unix socket, where they mean nothing
    assert set((await looked_after(nearby)).values()) == {"0"}

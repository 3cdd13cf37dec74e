"""The log for a test: in Postgres, or of either kind, for tests of what both must do alike."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from eventstore import Store
from eventstore.memory import MemoryStore
from eventstore.postgres import PostgresStore
from tests.support.servers import NewDatabase


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresStore]:
    """In `database`."""
    opened = await PostgresStore.open(database)
    yield opened
    await opened.close()


@pytest.fixture(params=["memory", "postgres"])
async def either_store(request: pytest.FixtureRequest, database_factory: NewDatabase) -> AsyncIterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else await PostgresStore.open(await database_factory())
    yield opened
    await opened.close()

"""A store whose log is cut into many small partitions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from eventstore.postgres import PostgresStore
from tests.eventstore.archived import PARTITION


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresStore]:
    opened = await PostgresStore.open(database, partition_size=PARTITION, poll=0.1)
    yield opened
    await opened.close()

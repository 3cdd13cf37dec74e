"""The API over a real store and real views. No engine: what was accepted stays in its first state, and the tests append the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from eventstore.postgres import PostgresStore
from tests.support.http import Api, serving


@pytest.fixture
async def api(store: PostgresStore, database: str) -> AsyncIterator[Api]:
    async with serving(store, database) as api:
        yield api

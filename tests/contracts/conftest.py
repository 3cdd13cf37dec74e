"""The same tests run against Postgres and its in-memory twin."""

from __future__ import annotations

import pytest

from eventstore import Store


@pytest.fixture
def store(either_store: Store) -> Store:
    return either_store

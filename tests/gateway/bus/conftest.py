"""The API with publish and subscribe, over the real NATS; and the same with an engine at work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from commands.catalogue.builtin import CATALOGUE
from commands.engine.engine import Engine
from commands.sending.bus import Bus
from eventstore.postgres import PostgresStore
from tests.support.http import Api, background, serving


@asynccontextmanager
async def at_work(
    store: PostgresStore, database: str, nats: str, templates: Path | None = None, **settings: Any
) -> AsyncIterator[Api]:
    """A gateway, a projector and an engine."""
    async with serving(store, database, nats=nats, settings=settings, templates=templates) as api:
        bus = Bus(nats)
        await bus.start()
        engine = Engine(store, bus, CATALOGUE, api.commands.settings, holder="test", vault=api.commands.vault)
        try:
            async with background(engine.run()):
                async with asyncio.timeout(20):
                    await engine.ready.wait()
                yield api
        finally:
            await bus.close()


@pytest.fixture
async def api(store: PostgresStore, database: str, nats_url: str) -> AsyncIterator[Api]:
    async with serving(store, database, nats=nats_url) as api:
        yield api


@pytest.fixture
async def cloud(store: PostgresStore, database: str, nats_url: str) -> AsyncIterator[Api]:
    async with at_work(store, database, nats_url) as api:
        yield api

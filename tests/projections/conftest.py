"""A log and its views in a database of the test's own, with a projector at work where a test wants one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from commands import events
from commands.catalogue.builtin import CATALOGUE
from eventstore import Claim, Event, Release, Write
from eventstore.postgres import PostgresStore
from projections.progress import Progress
from projections.projector import Projector
from projections.views import Views


@dataclass
class Cloud:
    """What the tests say: append facts, project them, look at the views."""

    dsn: str
    store: PostgresStore
    views: Views
    progress: Progress

    async def append(self, stream: str, *facts: Event, root: str = "") -> int:
        version = len(await self.store.read(stream))
        return (await self.store.append([Write(stream, version, facts, root)])).last

    async def create(self, stream: str, **changes: Any) -> int:
        return await self.append(stream, created(**changes))

    @contextlib.asynccontextmanager
    async def projecting(self) -> AsyncIterator[Projector]:
        projector = Projector(self.store, self.dsn, self.progress, stand_by=0.1)
        task = asyncio.create_task(projector.run())
        try:
            yield projector
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def project(self) -> int:
        """Projects all that is in the log, and stops."""
        head = await self.store.head()
        async with self.projecting():
            assert await self.views.wait_for(head, 10)
        return head


@pytest.fixture
async def cloud(database: str) -> AsyncIterator[Cloud]:
    store = await PostgresStore.open(database)
    progress = Progress()
    views = await Views.open(database, CATALOGUE, progress)
    yield Cloud(database, store, views, progress)
    await views.close()
    await store.close()


def created(**changes: Any) -> Event:
    return Event(events.CREATED, {"changes": changes})


def updated(**changes: Any) -> Event:
    return Event(events.UPDATED, {"changes": changes})


def claimed(scope: str, item: str, amount: int, limit: int = 100) -> Event:
    return Event(events.UPDATED, {"changes": {}}, claims=(Claim(scope, item, amount, limit),))


def released(scope: str, item: str) -> Event:
    return Event(events.UPDATED, {"changes": {}}, releases=(Release(scope, item),))

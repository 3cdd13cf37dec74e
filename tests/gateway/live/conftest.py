"""A cloud at work with one agent, whose host runs what its driver says: instances to ask about."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agents.process.agent import Agent
from eventstore.postgres import PostgresStore
from tests.gateway.bus.conftest import at_work
from tests.support.http import Api
from tests.support.live import Talker

SECONDS = 30.0


@dataclass
class Cloud:
    """`ids`: of a running container. `driver`: of the agent that answers for it."""

    api: Api
    nats: str
    agent: Agent
    driver: Talker
    id: str
    folder: Path

    @property
    def number(self) -> str:
        return self.id.removeprefix("1i")

    async def until(self, what: Any) -> None:
        async with asyncio.timeout(SECONDS):
            while not what():
                await asyncio.sleep(0.02)

    async def until_state(self, state: str) -> dict[str, Any]:
        async with asyncio.timeout(SECONDS):
            while (found := await self.api.get(f"/v1/containers/{self.id}"))["state"] != state:
                await asyncio.sleep(0.02)
        return dict(found)


@asynccontextmanager
async def a_cloud(store: PostgresStore, database: str, nats: str, folder: Path, **settings: Any) -> AsyncIterator[Cloud]:
    async with at_work(store, database, nats, **settings) as api:
        own = f"agent-{uuid.uuid4()}"
        number = await api.add("agent", uri=f"event://{own}", uuid=own, managedConfig=False)
        driver = Talker(own)
        async with Agent(number, own, driver, folder, nats, heartbeat_seconds=0.5) as agent:
            await api.has_hosts()
            made = await api.post("/v1/containers", imageUuid="sim:talk", name="talk")
            cloud = Cloud(api, nats, agent, driver, made["id"], folder)
            await cloud.until_state("running")
            yield cloud


@pytest.fixture
async def cloud(store: PostgresStore, database: str, nats_url: str, tmp_path: Path) -> AsyncIterator[Cloud]:
    async with a_cloud(store, database, nats_url, tmp_path / "agent") as cloud:
        yield cloud

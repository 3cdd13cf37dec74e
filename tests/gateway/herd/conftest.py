"""A cloud at work whose one agent has several simulated hosts, and whose home has a folder of templates."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import orjson
import pytest
from nats.aio.client import Client

from agents.process.agent import Agent
from agents.simulated import SETTINGS_KEY, Knobs, SimulatedDriver
from eventstore import Event, Write
from eventstore.postgres import PostgresStore
from tests.gateway.bus.conftest import at_work
from tests.support.http import Api

SECONDS = 30.0
HOSTS = 3

Json = dict[str, Any]


@dataclass
class Cloud:
    """`delay`: of its agent's work, in seconds by command."""

    api: Api
    client: Client
    delay: dict[str, float]
    headers: dict[str, str] = field(default_factory=dict)

    async def ask(self, action: str, status: int = 200, **given: Any) -> Json:
        answer = await self.api.http.post("/", json={"action": action, **given}, headers=self.headers)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    async def request(self, subject: str, payload: Any = None) -> Json:
        """Over NATS."""
        body = orjson.dumps(payload) if payload is not None else b""
        return dict(orjson.loads((await self.client.request(subject, body, timeout=SECONDS)).data))

    async def created(self) -> str:
        """The id of a container that runs."""
        made = await self.ask("create-container", image="sim:web")
        assert made["statusCode"] == 201, made
        return str(made["Response"]["Body"]["Id"])

    async def state(self, id: str) -> str:
        return str((await self.api.get(f"/v1/containers/{id}"))["state"])

    async def has_engine_id(self, id: str, engine: str) -> None:
        """As an agent of Docker would have told."""
        stream = f"instance-{id.removeprefix('1i')}"
        told = Event("updated", {"changes": {"+data": {"dockerContainer": {"Id": engine}}}})
        await self.api.store.append([Write(stream, len(await self.api.store.read(stream)), (told,))])

    async def hosts(self) -> list[Json]:
        return list((await self.api.get("/v1/hosts", sort="id"))["data"])


@asynccontextmanager
async def a_cloud(store: PostgresStore, database: str, nats_url: str, folder: Path) -> AsyncIterator[Cloud]:
    async with at_work(store, database, nats_url, templates=folder / "templates") as api:
        own, shape = str(uuid.uuid4()), {SETTINGS_KEY: {"hosts": HOSTS}}
        number = await api.add("agent", uri=f"event://{own}", uuid=own, managedConfig=False, data=shape)
        delay: dict[str, float] = {}
        driver = SimulatedDriver(own, data=shape, knobs=Knobs(delay=delay))
        client = await nats.connect(nats_url)
        async with Agent(number, own, driver, folder / "agent", nats_url, heartbeat_seconds=0.5):
            await api.has_hosts(HOSTS)
            yield Cloud(api, client, delay)
        await client.close()


@pytest.fixture
async def cloud(store: PostgresStore, database: str, nats_url: str, tmp_path: Path) -> AsyncIterator[Cloud]:
    async with a_cloud(store, database, nats_url, tmp_path) as cloud:
        yield cloud

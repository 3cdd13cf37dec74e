"""Who speaks to the event bus over HTTP alone, as Cattle's scripts do: subscribes, hears, publishes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

Json = dict[str, Any]
PATIENCE = 20.0


@dataclass
class Subscriber:
    """`heard`: all but the connection's own pings."""

    http: httpx.AsyncClient
    auth: tuple[str, str] | None = None
    heard: list[Json] = field(default_factory=list)
    pings: list[Json] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """As they came, padding and all."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    _first: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self, fields: Json) -> None:
        """Until the server ends it."""
        timeout = httpx.Timeout(PATIENCE, read=None)
        auth = self.auth or httpx.USE_CLIENT_DEFAULT
        async with self.http.stream("POST", "/v1/subscribe", json=fields, auth=auth, timeout=timeout) as response:
            assert response.status_code == 201, await response.aread()
            async for line in response.aiter_lines():
                self.lines.append(line)
                if line.strip():
                    event = json.loads(line)
                    (self.pings if event["name"] == "ping" and event["replyTo"] is None else self.heard).append(event)
                    self._first.set()
        self.over.set()

    async def ready(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._first.wait()

    async def until(self, found: Callable[[Json], object], seconds: float = PATIENCE) -> Json:
        """The first event of which this is true."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    for event in self.heard:
                        if found(event):
                            return event
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"not heard; heard was {[each['name'] for each in self.heard]}") from None

    async def named(self, name: str, seconds: float = PATIENCE) -> Json:
        return await self.until(lambda event: event["name"] == name, seconds)

    async def answer(self, event: Json, data: Json | None = None, **more: Any) -> httpx.Response:
        """As Cattle's scripts do: a small t in resourcetype, and names that nobody asked for."""
        body = {
            "name": event["replyTo"], "previousIds": [event["id"]], "previousNames": [event["name"]], "resourceId": event["resourceId"],
            "resourcetype": event["resourceType"], "data": data, **more,
        }  # fmt: skip
        return await self.http.post("/v1/publish", json=body, auth=self.auth or httpx.USE_CLIENT_DEFAULT)


@asynccontextmanager
async def subscribed(
    http: httpx.AsyncClient, *names: str, agent: str | None = None, auth: tuple[str, str] | None = None
) -> AsyncIterator[Subscriber]:
    """Somebody who hears from now on."""
    subscriber = Subscriber(http, auth)
    fields: Json = {"eventNames": list(names)} | ({"agentId": agent} if agent else {})
    task = asyncio.create_task(subscriber.listen(fields))
    try:
        ready = asyncio.create_task(subscriber.ready())
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            ready.cancel()
            task.result()
        await ready
        yield subscriber
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=5)

"""External handlers as anybody writes them: plain nats-py and JSON, nothing of Corral's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

Answering = Callable[["PlainHandler", Msg, dict[str, Any]], Awaitable[None]]


@dataclass
class PlainHandler:
    """Hears what it is asked, and answers as the test says."""

    nats: Client
    answering: Answering
    heard: list[dict[str, Any]] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)

    async def on_request(self, message: Msg) -> None:
        event = json.loads(message.data)
        self.heard.append(event)
        self.subjects.append(message.subject)
        await self.answering(self, message, event)

    async def until_heard(self, count: int, seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while len(self.heard) < count:
                await asyncio.sleep(0.01)


def with_body(body: Any) -> Answering:
    """As `nats reply 'corral.handler.demo.>' '<body>'` does: the body, to NATS' own reply subject."""

    async def answering(handler: PlainHandler, message: Msg, event: dict[str, Any]) -> None:
        await message.respond(body if isinstance(body, bytes) else json.dumps(body).encode())

    return answering


async def with_an_event(handler: PlainHandler, message: Msg, event: dict[str, Any]) -> None:
    """As Cattle's handlers do: an event of its own, to the request's replyTo."""
    data = {"+data": {"hello": "world"}}
    reply = {"id": "my-own", "name": event["replyTo"], "previousIds": [event["id"]], "resourceId": event["resourceId"], "data": data}
    await handler.nats.publish(event["replyTo"], json.dumps(reply).encode())


async def with_an_error(handler: PlainHandler, message: Msg, event: dict[str, Any]) -> None:
    told = {"transitioning": "error", "transitioningMessage": "not today", "transitioningInternalMessage": "the moon is full"}
    await message.respond(json.dumps(told).encode())


async def never(handler: PlainHandler, message: Msg, event: dict[str, Any]) -> None:
    """Hears, and says nothing."""


@asynccontextmanager
async def a_plain_handler(nats_url: str, answering: Answering, subject: str = "corral.handler.demo.>") -> AsyncIterator[PlainHandler]:
    client = await nats.connect(nats_url)
    handler = PlainHandler(client, answering)
    try:
        await client.subscribe(subject, cb=handler.on_request)
        await client.flush()
        yield handler
    finally:
        await client.close()

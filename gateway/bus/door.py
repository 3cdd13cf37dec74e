"""The event bus as the application sees it: the paths that it answers, and what runs for it."""

from __future__ import annotations

import asyncio
from functools import partial

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from gateway.access.callers import Callers
from gateway.bus.changes import Changes
from gateway.bus.heartbeats import Heartbeats
from gateway.bus.hub import Hub
from gateway.bus.publish import publish
from gateway.bus.subscribe import over_websocket, subscribe
from gateway.request import path_parts, read_request
from gateway.responses import json_response
from gateway.services import Services

SUBSCRIBE, PUBLISH = "subscribe", "publish"


class Door:
    """Answers POST /v1/subscribe, POST /v1/publish, and the WebSocket of /v1/subscribe."""

    def __init__(self, services: Services, callers: Callers, hub: Hub) -> None:
        self._services, self._callers, self._hub = services, callers, hub

    def is_for(self, request: Request) -> bool:
        return request.method == "POST" and _what(request) in (SUBSCRIBE, PUBLISH)

    async def answer(self, request: Request, correlation: str, headers: dict[str, str]) -> Response:
        """Raises Refused."""
        read = await read_request(request, self._callers, self._services.settings, correlation)
        if _what(request) == SUBSCRIBE:
            return await subscribe(self._services, self._hub, read, partial(self._callers.still, request, read.caller), headers)
        return json_response(await publish(self._services, self._hub, read), 201, headers)

    async def websocket(self, socket: WebSocket) -> None:
        if _what(socket) != SUBSCRIBE:
            await socket.close()  # before it is accepted: 403
            return
        await over_websocket(self._services, self._callers, self._hub, socket)


async def run(services: Services, hub: Hub, stopping: asyncio.Event) -> None:
    """Until it is cancelled. Subscriptions end with `stopping`: a stream without end would keep the server from stopping."""

    async def stop() -> None:
        await stopping.wait()
        hub.stop()

    async with asyncio.TaskGroup() as group:
        group.create_task(hub.run())
        group.create_task(Heartbeats(hub, services.catalogue).run())
        group.create_task(Changes(services, hub).run())
        group.create_task(stop())


def _what(request: HTTPConnection) -> str:
    parts = [part.lower() for part in path_parts(request)]
    return parts[1] if len(parts) == 2 and parts[0] == "v1" else ""

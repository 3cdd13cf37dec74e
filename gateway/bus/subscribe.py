"""POST /v1/subscribe: events as lines of JSON, without end. GET /v1/subscribe with an upgrade: as frames of a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.access.callers import Callers
from gateway.bodies import pairs_of
from gateway.bus import rules
from gateway.bus.hub import Hub
from gateway.bus.subscriber import Json, Subscriber, View
from gateway.request import ApiRequest, base_url, plain_ids
from gateway.responses import error_response
from gateway.services import Services

log = structlog.get_logger("corral.subscriptions")

Still = Callable[[], Awaitable[bool]]

PADDING = b"\n" + b" " * 510 + b"\n"
"""Behind each line: clients that read so much at once see every event at once. Blank lines say nothing."""

MOST_AT_ONCE = 64 * 1024
KEY_SECONDS = 15.0
"""A subscription looks so often whether its key is still good."""
LAST_WORDS = 5.0
"""Seconds in which one that has ended can read what it is told last."""

GOING_AWAY, TRY_LATER, NORMAL = 1001, 1013, 1000
"""Codes with which a WebSocket is closed."""


async def subscribe(services: Services, hub: Hub, request: ApiRequest, still: Still, headers: dict[str, str]) -> Response:
    """Raises Refused."""
    fields = request.one()
    wanted = await rules.wanted(services, request.caller, fields)
    view = View(wanted.stripped, request.plain_ids, request.caller, request.base)
    subscriber = Subscriber(wanted.names, view)
    await hub.add(subscriber)
    return EventLines(hub, subscriber, still, headers)


class EventLines(Response):
    """Goes on until the client goes, or the subscription ends."""

    media_type = "text/plain"

    def __init__(self, hub: Hub, subscriber: Subscriber, still: Still, headers: dict[str, str]) -> None:
        self._hub, self._subscriber, self._still = hub, subscriber, still
        self.status_code = 201
        self.background = None
        self.init_headers({**headers, "Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self.raw_headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        async def write() -> None:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while lines := await self._subscriber.take():
                for chunk in _chunks(lines):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        try:
            await _until_over(self._subscriber, self._still, write(), gone())
        finally:
            self._hub.remove(self._subscriber)


async def over_websocket(services: Services, callers: Callers, hub: Hub, socket: WebSocket) -> None:
    """The same events and pings, one a frame."""
    try:
        caller = await callers.of(socket)
        params = socket.query_params
        fields: Json = {"eventNames": params.getlist("eventNames"), "agentId": params.get("agentId")}
        wanted = await rules.wanted(services, caller, fields)
        plain = plain_ids(caller, pairs_of(socket.url.query), services.settings)
        view = View(wanted.stripped, plain, caller, base_url(socket, services.settings))
        subscriber = Subscriber(wanted.names, view)
        await hub.add(subscriber)
    except Exception as error:  # the boundary: whatever happened becomes a status and a document
        await socket.send_denial_response(error_response(error, {}))
        return
    try:
        await socket.accept()
        await _until_over(subscriber, partial(callers.still, socket, caller), _write_frames(socket, subscriber), _closed(socket))
    finally:
        hub.remove(subscriber)


async def _write_frames(socket: WebSocket, subscriber: Subscriber) -> None:
    while lines := await subscriber.take():
        for line in lines:
            await socket.send_text(line.decode())
    reason = (subscriber.ended or "").encode()[:120].decode(errors="ignore")
    await socket.close(TRY_LATER if subscriber.too_slow else GOING_AWAY, reason)


async def _closed(socket: WebSocket) -> None:
    """What the client says is of no interest, but that it goes."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _until_over(subscriber: Subscriber, still: Still, write: Coroutine[Any, Any, None], gone: Coroutine[Any, Any, None]) -> None:
    """Until all is written, or the client is gone; who does not even read the last words is left."""
    writing, leaving = asyncio.ensure_future(write), asyncio.ensure_future(gone)
    ending, watching = asyncio.ensure_future(subscriber.over.wait()), asyncio.ensure_future(_while_good(subscriber, still))
    try:
        done, _ = await asyncio.wait({writing, leaving, ending}, return_when=asyncio.FIRST_COMPLETED)
        if ending in done and not writing.done():
            await asyncio.wait({writing, leaving}, timeout=LAST_WORDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        tasks = (writing, leaving, ending, watching)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    failed = next((each for each in outcomes if isinstance(each, Exception) and not isinstance(each, (OSError, WebSocketDisconnect))), None)
    if failed is not None:
        log.warning("A subscription broke", action="subscription-broke", error=repr(failed))


async def _while_good(subscriber: Subscriber, still: Still) -> None:
    while True:
        await asyncio.sleep(KEY_SECONDS)
        if not await still():
            break
    subscriber.end("your key is not good any more: subscribe with one that is")


def _chunks(lines: list[bytes]) -> list[bytes]:
    chunks, chunk, size = [], [], 0
    for line in lines:
        chunk += [line, PADDING]
        size += len(line)
        if size >= MOST_AT_ONCE:
            chunks.append(b"".join(chunk))
            chunk, size = [], 0
    return [*chunks, b"".join(chunk)] if chunk else chunks

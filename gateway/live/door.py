"""Live queries as the HTTP application sees them: GET /v1/containers/1i54/logs and its like, and the WebSocket of exec.

    read -> asked of the agent -> its first piece (or its refusal: a status) -> the rest, as fast as the client reads
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from functools import partial
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from agents.live import Frame, Json, LiveError, Pipe
from commands.errors import Refused
from gateway.access.callers import Callers
from gateway.errors import MethodNotAllowed, error_document
from gateway.history.streams import MOST_STREAMS, EventStream
from gateway.html.door import shown, wants_page
from gateway.live import interactive
from gateway.live.asking import Asker, check_end, refusal_of
from gateway.live.forms import Form, form_of
from gateway.live.queries import Query, answer, asked, read_path
from gateway.live.verbs import VERBS, answers
from gateway.request import ApiRequest, path_parts, read_request
from gateway.services import Services

FIRST_SECONDS = 1.0
"""For the first piece, or word that there is none: after that a stream begins without one."""
ALIVE_SECONDS = 15.0

LIVE = "X-Corral-Live"
"""true: the agent's answer; false: it is away, and this is what it told last."""

Still = Callable[[], Awaitable[bool]]


class Door:
    """Answers them over HTTP."""

    def __init__(self, services: Services, callers: Callers, asker: Asker) -> None:
        self._services, self._callers, self._asker = services, callers, asker
        self._streams: set[EventStream] = set()

    def is_for(self, request: HTTPConnection) -> bool:
        parts = path_parts(request)
        if len(parts) != 4 or parts[0].lower() != "v1" or parts[3].lower() not in VERBS:
            return False
        return answers(self._services.catalogue, self._services.catalogue.by_path(parts[1]))

    async def answer(self, request: Request, correlation: str, headers: dict[str, str]) -> Response:
        """Raises Refused."""
        read = await read_request(request, self._callers, self._services.settings, correlation)
        verb = read.parts[2].lower()
        if read.method != "GET":
            raise MethodNotAllowed(read.method, verb)
        if verb == interactive.EXEC:
            raise Refused("InvalidOption", "exec is a conversation: ask with a WebSocket, or `corral exec`", status=400)
        query = await read_path(self._services, read)
        if not query.verb.follow or (query.verb.name == "stats" and not query.options.get("follow")):
            found = await answer(self._asker, query)
            return await shown(request, self._services, self._callers, found["document"], 200, headers | {LIVE: str(found["live"]).lower()})
        return await self._stream(request, read, query, headers)

    async def websocket(self, socket: WebSocket) -> None:
        await interactive.over_websocket(self._services, self._callers, self._asker, socket)

    async def _stream(self, request: Request, read: ApiRequest, query: Query, headers: dict[str, str]) -> Response:
        if len(self._streams) >= MOST_STREAMS:
            raise Refused("Service Unavailable", f"{MOST_STREAMS} live streams are open here already: try again later", status=503)
        form = form_of(read.accept, query.verb.name, query.options, to_read=wants_page(request))
        async with AsyncExitStack() as stack:
            try:
                pipe = await stack.enter_async_context(asked(self._asker, query))
                receiving = asyncio.ensure_future(pipe.receive())
                stack.push_async_callback(_dropped, receiving)
                await asyncio.wait({receiving}, timeout=FIRST_SECONDS)
                if receiving.done():
                    check_end(receiving.result().end or {})
                if request.method == "HEAD":  # a stream without end would keep the connection from its next request
                    return Response(None, 200, headers | {LIVE: "true"}, form.media_type)
            except LiveError as error:
                raise refusal_of(error) from error
            stopping: asyncio.Event = getattr(request.app.state, "stopping", None) or asyncio.Event()
            source = _chunks(stack.pop_all(), pipe, receiving, form, stopping, partial(self._callers.still, request, read.caller))
        await anext(source)  # from now on whoever closes it closes the query
        return EventStream(source, form.media_type, headers | {LIVE: "true"}, self._streams)


async def _chunks(
    stack: AsyncExitStack, pipe: Pipe, receiving: asyncio.Future[Frame], form: Form, stopping: asyncio.Event, still: Still
) -> AsyncGenerator[bytes, None]:
    """Ends with the answer, with the server, or when the caller's key is no longer what it was. Its first chunk is empty."""
    async with stack, aclosing(_received(pipe, receiving, stopping)) as frames:
        yield b""
        try:
            async for frame in frames:
                if frame is None:
                    if not await still():
                        return
                    yield form.alive()
                    continue
                if frame.data is not None:
                    yield _written(form, frame.data)
                check_end(frame.end or {})
        except LiveError as error:
            yield form.error(error_document(refusal_of(error)))


def _written(form: Form, piece: Json) -> bytes:
    """Raises LiveError: what agents say is anybody's."""
    try:
        return form.piece(piece)
    except (KeyError, TypeError, AttributeError) as error:
        raise LiveError("", f"the agent's answer has a piece that can't be understood ({error!r}): see its log") from error


async def _received(pipe: Pipe, receiving: asyncio.Future[Frame], stopping: asyncio.Event) -> AsyncGenerator[Frame | None, None]:
    """None when nothing came for a while. Raises LiveError, also when the server stops."""
    stop: asyncio.Future[Any] = asyncio.ensure_future(stopping.wait())
    try:
        while True:
            waiting: set[asyncio.Future[Any]] = {receiving, stop}
            await asyncio.wait(waiting, timeout=ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                frame = receiving.result()
                yield frame
                if frame.end is not None:
                    return
                receiving = asyncio.ensure_future(pipe.receive())
            elif stop.done():
                raise LiveError("", "the server stops: ask again")
            else:
                yield None
    finally:
        stop.cancel()
        await _dropped(receiving)


async def _dropped(receiving: asyncio.Future[Frame]) -> None:
    receiving.cancel()
    await asyncio.gather(receiving, return_exceptions=True)

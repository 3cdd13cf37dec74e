"""GET /v1/containers/1i54/exec with an upgrade: a command in an instance, its input and output over a WebSocket.

From the client: bytes (input as it is), or a frame of gateway/live/given.py.
To the client: {"started": true}; {"stream", "text" or "base64"}; at last {"exit": status}, or an error's document.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import orjson
import structlog
from starlette.requests import Request
from starlette.websockets import WebSocket, WebSocketDisconnect

from agents.live import Frame, Json, LiveError, Pipe
from commands.errors import Refused
from gateway.access.callers import Callers
from gateway.errors import error_document
from gateway.live import given
from gateway.live.asking import Asker, check_end, refusal_of
from gateway.live.queries import Query, asked, read_path
from gateway.observed import CORRELATION
from gateway.request import read_request
from gateway.responses import error_response
from gateway.services import Services

log = structlog.get_logger("corral.live")

EXEC = "exec"
STARTED_SECONDS = 30.0
"""For the engine to start the command."""
KEY_SECONDS = 15.0
"""A conversation looks so often whether its key is still good."""
SLOW_SECONDS = 60.0
"""A client that takes nothing for so long is let go."""
NORMAL, GOING_AWAY, BAD, FAILED = 1000, 1001, 1003, 1011


async def over_websocket(services: Services, callers: Callers, asker: Asker, socket: WebSocket) -> None:
    """What is refused, also by the engine before the command began, is the answer to the upgrade, with its status."""
    try:
        request = Request({**socket.scope, "type": "http", "method": "GET"})
        read = await read_request(request, callers, services.settings, str(socket.scope.get(CORRELATION, "")))
        if (verb := read.parts[2].lower()) != EXEC:
            raise Refused("InvalidOption", f"{verb} is asked with a GET; a WebSocket is for {EXEC}", status=400)
        query = await read_path(services, read)
        stopping: asyncio.Event = getattr(socket.app.state, "stopping", None) or asyncio.Event()
        await _converse(asker, query, socket, partial(callers.still, socket, read.caller), stopping)
    except WebSocketDisconnect:
        return
    except LiveError as error:
        await _refuse(socket, refusal_of(error))
    except Exception as error:  # the boundary: whatever happened becomes a status and a document
        await _refuse(socket, error)


async def _converse(asker: Asker, query: Query, socket: WebSocket, still: Callable[[], Awaitable[bool]], stopping: asyncio.Event) -> None:
    async with asked(asker, query) as pipe:
        first = await _first(pipe)
        await socket.accept()
        tasks = {
            asyncio.create_task(_write(socket, pipe, first)): "",
            asyncio.create_task(_read(socket, pipe)): "",
            asyncio.create_task(stopping.wait()): "the server stops",
            asyncio.create_task(_while_good(still)): "your key is not good any more",
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            await _part(socket, tasks[task], task.exception())


async def _first(pipe: Pipe) -> Frame:
    """Raises LiveError for an answer that is none."""
    try:
        async with asyncio.timeout(STARTED_SECONDS):
            frame = await pipe.receive()
    except TimeoutError:
        raise LiveError("", f"the command did not start within {STARTED_SECONDS:g} seconds") from None
    check_end(frame.end or {})
    return frame


async def _write(socket: WebSocket, pipe: Pipe, frame: Frame) -> None:
    """Until the command has ended."""
    while True:
        for document in (frame.data, frame.end):
            if document is not None:
                check_end(document)
                await _send(socket, document)
        if frame.end is not None:
            return
        frame = await pipe.receive()


async def _send(socket: WebSocket, document: Json) -> None:
    async with asyncio.timeout(SLOW_SECONDS):
        await socket.send_text(orjson.dumps(document).decode())


async def _read(socket: WebSocket, pipe: Pipe) -> None:
    """Until the client goes. It is read no faster than the command takes its input."""
    while (message := await socket.receive())["type"] != "websocket.disconnect":
        raw = message.get("bytes")
        for piece in given.pieces_of(raw) if raw is not None else given.pieces(given.read(message.get("text") or "")):
            await pipe.send(piece)


async def _while_good(still: Callable[[], Awaitable[bool]]) -> None:
    while True:
        await asyncio.sleep(KEY_SECONDS)
        if not await still():
            return


async def _part(socket: WebSocket, reason: str, error: BaseException | None) -> None:
    """Says why it ends, if it is not just over; whoever is gone hears nothing of it."""
    with suppress(RuntimeError, OSError, WebSocketDisconnect, TimeoutError):
        match error:
            case None:
                if reason:
                    await _send(socket, error_document(refusal_of(LiveError("", reason))))
                await socket.close(GOING_AWAY if reason else NORMAL, reason)
            case LiveError():
                await _send(socket, error_document(refusal_of(error)))
                await socket.close(FAILED)
            case Refused():
                await _send(socket, error_document(error))
                await socket.close(BAD)
            case WebSocketDisconnect() | OSError() | TimeoutError() | RuntimeError():
                log.info("A conversation broke off", action="exec-broke", error=repr(error))
            case _:
                await _send(socket, error_document(error))
                await socket.close(FAILED)


async def _refuse(socket: WebSocket, error: Exception) -> None:
    with suppress(RuntimeError, OSError):
        await socket.send_denial_response(error_response(error, {}))

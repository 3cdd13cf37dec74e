"""The herd's answer as NDJSON, for who says so in Accept: {"progress": ...} a line while it is waited for, then the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import orjson
from starlette.requests import Request

from agents.live import Json
from commands.errors import Refused
from gateway.errors import error_document
from gateway.herd.herd import Herd
from gateway.history.streams import MOST_STREAMS, EventStream, Ndjson
from gateway.request import ApiRequest, path_parts
from gateway.writes import Answer

ALIVE_SECONDS = 15.0
"""A blank line says so often that the answer is still waited for."""


def wants_progress(request: Request) -> bool:
    return request.method == "POST" and not path_parts(request) and Ndjson.media_type in request.headers.get("accept", "")


async def followed(herd: Herd, request: ApiRequest, headers: dict[str, str], streams: set[EventStream]) -> EventStream:
    """Raises Refused where nothing was begun. Whoever goes ends the waiting, and not what was begun."""
    if len(streams) >= MOST_STREAMS:
        raise Refused("Service Unavailable", f"{MOST_STREAMS} of these are under way here already: try again later", status=503)
    news: asyncio.Queue[Json] = asyncio.Queue()
    answering = asyncio.create_task(herd.answer(request, news.put_nowait))
    source = _lines(answering, news)
    try:
        await anext(source)
    except BaseException:
        await source.aclose()
        raise
    return EventStream(source, Ndjson.media_type, headers, streams)


async def _lines(answering: asyncio.Task[Answer], news: asyncio.Queue[Json]) -> AsyncGenerator[bytes, None]:
    """Its first one is empty, and comes once there is something to tell; what is refused before is raised."""
    try:
        coming = asyncio.ensure_future(news.get())
        await asyncio.wait((coming, answering), return_when=asyncio.FIRST_COMPLETED)
        if not coming.done():
            answering.result()
        yield b""
        while coming.done() or not answering.done():
            if coming.done():
                yield orjson.dumps({"progress": coming.result()}) + b"\n"
                coming = asyncio.ensure_future(news.get())
            await asyncio.wait((coming, answering), timeout=ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)  # what was told just before the answer comes before it
            if not (coming.done() or answering.done()):
                yield b"\n"
        coming.cancel()
        try:
            document = answering.result().document
        except Exception as error:  # the boundary: the status has been sent
            document = error_document(error)
        yield orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS) + b"\n"
    finally:
        answering.cancel()
        coming.cancel()
        await asyncio.gather(answering, coming, return_exceptions=True)

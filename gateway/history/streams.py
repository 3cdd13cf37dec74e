"""A follower of the log over HTTP, as server-sent events or as NDJSON: the response, and how it writes what it sends.

    waiting --events--> sending --all sent--> waiting
    waiting --15 s without any--> a sign of life, or word that the database is away; either way it goes on

A reader's pace is the stream's: nothing is read for it before it has taken what was read before, and one that takes nothing for
a minute is let go. What it missed is in the log: it comes again with the last position that it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Protocol

import orjson
import structlog
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

log = structlog.get_logger(__name__)

Json = dict[str, Any]

SLOW_SECONDS = 60.0
"""A reader that takes nothing for so long is let go."""

MOST_STREAMS = 1000
"""Of one process. Each holds a connection, and at most a batch of events."""

RETRY_MILLIS = 1000
"""After which a browser asks again when its stream broke."""


class Form(Protocol):
    """How a stream is written."""

    media_type: str

    def begin(self) -> bytes: ...

    def event(self, document: Json) -> bytes: ...

    def alive(self, position: int) -> bytes:
        """A sign of life of a stream that has told all up to a position."""
        ...

    def away(self, error: Json) -> bytes:
        """The database is away; the stream goes on once it is back."""
        ...


class Ndjson:
    """One event a line; a blank line is a sign of life, a document of type error (and without a position) says what is wrong."""

    media_type = "application/x-ndjson"

    def begin(self) -> bytes:
        return b""

    def event(self, document: Json) -> bytes:
        return orjson.dumps(document) + b"\n"

    def alive(self, position: int) -> bytes:
        return b"\n"

    def away(self, error: Json) -> bytes:
        return orjson.dumps(error) + b"\n"


class ServerSentEvents:
    """As browsers' EventSource reads it: the position is each event's id. A sign of life carries one too, though no event, so that who
    comes again after long silence is not sent through all that did not concern them."""

    media_type = "text/event-stream"

    def begin(self) -> bytes:
        return b"retry: %d\n\n" % RETRY_MILLIS

    def event(self, document: Json) -> bytes:
        return b"id: %d\ndata: %s\n\n" % (document["position"], orjson.dumps(document))

    def alive(self, position: int) -> bytes:
        return b": alive\nid: %d\n\n" % position

    def away(self, error: Json) -> bytes:
        return b"event: away\ndata: %s\n\n" % orjson.dumps(error)


class EventStream(StreamingResponse):
    """Counted in `streams` while it lasts; its source is closed with it, however it ends."""

    def __init__(self, source: AsyncGenerator[bytes, None], media_type: str, headers: dict[str, str], streams: set[EventStream]) -> None:
        at_once = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}
        super().__init__(source, media_type=media_type, headers=headers | at_once)
        self._source, self._streams = source, streams

    async def stream_response(self, send: Send) -> None:
        async def in_time(message: Message) -> None:
            async with asyncio.timeout(SLOW_SECONDS):
                await send(message)

        self._streams.add(self)
        try:
            async with aclosing(self._source):
                await super().stream_response(in_time)
        except TimeoutError:
            log.warning("A reader took nothing for long: its stream is ended", action="stream-slow", seconds=SLOW_SECONDS)
        finally:
            self._streams.discard(self)

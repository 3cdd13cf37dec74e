"""GET /v1/events: the log itself, in pages or as a stream that never ends. What the CLI's events, replay, why and trace read.

    after, to            positions: after < position <= to
    stream, root         one stream's events, or those of all streams that share a root
    type, correlation    only events of these types (repeatable), of this request
    limit                events in an answer (at most 1000)
    follow=true          NDJSON, one event a line: what is there, then what comes; a blank line now and then shows that it lives.
                         It ends when the event app.state.stopping, where the application has one, is set

A page's `next` is the `after` of the following one; it has reached `head`, or `to`, at the end. Secrets are masked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from commands.catalogue.model import Catalogue
from commands.errors import Refused
from eventstore import Recorded, Store, StoreError
from gateway.callers import Callers
from gateway.errors import error_document, error_headers
from gateway.reads import event_document
from projections.errors import ViewsError

Json = dict[str, Any]

USUAL = 100
MOST = 1000
SCANNED = 1_000_000
"""Positions that are looked through for a type in an answer; where few of them fit, `next` goes on from there."""
ALIVE_SECONDS = 15.0
"""A stream without events says so often that it lives."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the log is asked for."""

    after: int = 0
    to: int | None = None
    limit: int = USUAL
    stream: str | None = None
    root: str | None = None
    types: tuple[str, ...] = ()
    correlation: str | None = None
    follow: bool = False

    def fits(self, event: Recorded) -> bool:
        return (
            event.position > self.after
            and (self.to is None or event.position <= self.to)
            and (self.stream is None or event.stream == self.stream)
            and (self.root is None or event.root == self.root)
            and (not self.types or event.type in self.types)
            and (self.correlation is None or event.metadata.get("correlation") == self.correlation)
        )


def routes(store: Store, catalogue: Catalogue, callers: Callers | None = None) -> list[Route]:
    """For the application, before its /v1. With `callers`, who may not see every account's things may not see the log."""
    log = Log(store, catalogue, callers)
    return [Route("/v1/events", log.events), Route("/v1/events/", log.events)]


class Log:
    """Answers requests for the log."""

    def __init__(self, store: Store, catalogue: Catalogue, callers: Callers | None) -> None:
        self._store, self._catalogue, self._callers = store, catalogue, callers

    async def events(self, request: Request) -> Response:
        try:
            await self._check_caller(request)
            wanted = read_wanted(request)
            if wanted.follow:
                stopping: asyncio.Event | None = getattr(request.app.state, "stopping", None)
                lines = self._follow(wanted, stopping)
                return StreamingResponse(lines, media_type="application/x-ndjson", headers={"Cache-Control": "no-store"})
            return _json(await self._page(wanted), 200)
        except (Refused, StoreError, ViewsError, HTTPException) as error:
            document = error_document(error)
            return _json(document, document["status"], error_headers(document["status"]))

    async def _check_caller(self, request: Request) -> None:
        if self._callers is not None and not (await self._callers.of(request.headers.get("authorization"))).sees_all:
            raise Refused("Forbidden", "only admins see the log", status=403)

    async def _page(self, wanted: Wanted) -> Json:
        head = await self._store.head()
        end = min(head, wanted.to) if wanted.to is not None else head
        found, reached = await self._found(wanted, end)
        page = found[: wanted.limit]
        following = page[-1].position if len(found) > len(page) else max(reached, wanted.after)
        return {"data": [document_of(event, self._catalogue) for event in page], "head": head, "next": following}

    async def _found(self, wanted: Wanted, end: int) -> tuple[list[Recorded], int]:
        """Events that fit, one more than a page if there are so many, and how far the log was looked through for them."""
        if wanted.stream is not None:
            return [event for event in await self._store.read(wanted.stream, to_position=end) if wanted.fits(event)], end
        if wanted.root is not None:
            return [event for event in await self._store.read_root(wanted.root, to_position=end) if wanted.fits(event)], end
        # A request's events are found by an index; of a rare type there may be none for long.
        reached = min(end, wanted.after + SCANNED) if wanted.types and wanted.correlation is None else end
        found = await self._store.read_all(
            wanted.after, wanted.limit + 1, to_position=reached, types=wanted.types or None, correlation=wanted.correlation
        )
        return found, reached

    async def _follow(self, wanted: Wanted, stopping: asyncio.Event | None) -> AsyncIterator[bytes]:
        """Ends when the server does: a stream without end would keep it from stopping."""
        stop = asyncio.ensure_future(stopping.wait()) if stopping is not None else None
        batches = self._store.follow(wanted.after)
        following: asyncio.Future[list[Recorded]] = asyncio.ensure_future(anext(batches))
        try:
            while True:
                waited: set[asyncio.Future[Any]] = {following, stop} if stop is not None else {following}
                done, _ = await asyncio.wait(waited, timeout=ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if stop in done:
                    return
                if not done:
                    yield b"\n"
                    continue
                try:
                    events = following.result()
                except StopAsyncIteration:  # the store is closed: the server stops
                    return
                lines = b"".join(orjson.dumps(document_of(event, self._catalogue)) + b"\n" for event in events if wanted.fits(event))
                if lines:
                    yield lines
                if wanted.to is not None and events[-1].position >= wanted.to:
                    return
                following = asyncio.ensure_future(anext(batches))
        finally:
            if stop is not None:
                stop.cancel()
            following.cancel()
            await asyncio.wait({following}, timeout=5.0)
            if isinstance(batches, AsyncGenerator):
                await batches.aclose()


def document_of(event: Recorded, catalogue: Catalogue) -> Json:
    """An event as it is shown: its time to the microsecond, which tells appends apart."""
    return {**event_document(event, catalogue), "at": event.at.isoformat(timespec="microseconds").replace("+00:00", "Z")}


def read_wanted(request: Request) -> Wanted:
    """Raises Refused, naming the parameter that is wrong."""
    given = request.query_params
    for name, value in given.multi_items():
        if "\x00" in value:
            raise Refused("InvalidCharacters", f"{name} contains a NUL character, which no stream, type or request has", name)
    after, to, limit = (_number(given.get(name), name) for name in ("after", "to", "limit"))
    wanted = Wanted(
        after or 0, to, min(max(limit, 1), MOST) if limit is not None else USUAL, given.get("stream") or None, given.get("root") or None,
        tuple(_words(given.getlist("type"))), given.get("correlation") or None,
    )  # fmt: skip
    return replace(wanted, follow=given.get("follow", "").lower() in ("true", "1", "yes"))


def _number(text: str | None, name: str) -> int | None:
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Refused("InvalidFormat", f"{name} must be a whole number, 0 or more; {text[:40]!r} is not", name)
    return int(text)


def _words(given: Sequence[str]) -> list[str]:
    return [word.strip() for text in given for word in text.split(",") if word.strip()]


def _json(document: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(document), status, headers, media_type="application/json; charset=utf-8")

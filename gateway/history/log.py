"""GET /v1/events: the log itself, in pages or as a stream that never ends. What the CLI's events, replay, why and trace read.

    after, to            positions: after < position <= to
    stream, root         one stream's events, or those of all streams that share a root
    type, correlation    only events of these types (repeatable), of this request, or of the requests of the trace with this id
    limit                events in an answer (at most 1000); of a stream: after so many it ends
    follow=true          NDJSON, one event a line: what is there, then what comes; a blank line now and then shows that it lives
    follow=sse           server-sent events, as with Accept: text/event-stream; the header Last-Event-ID goes before `after`

A page's `next` is the `after` of the following one; it has reached `head`, or `to`, at the end. Everybody sees of it what they may see
of the rows that it tells of (gateway.history.sight). Streams end when the event app.state.stopping, where the application has one, is set.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from commands import events as vocabulary
from commands.catalogue.catalogue import Catalogue
from commands.errors import Refused
from commands.resource import split_stream
from eventstore import Recorded, Store
from gateway.access.caller import Caller
from gateway.errors import MethodNotAllowed
from gateway.history.following import Follower
from gateway.history.sight import Sight
from gateway.history.streams import MOST_STREAMS, EventStream, Form, Ndjson, ServerSentEvents
from gateway.responses import error_response, json_response

Json = dict[str, Any]
Headers = Callable[[Request], dict[str, str]]
CallerOf = Callable[[Request], Awaitable[Caller]]
Still = Callable[[Request, Caller], Awaitable[bool]]

USUAL = 100
MOST = 1000
SCANNED = 1_000_000
"""Positions that are looked through for a type in an answer; where few of them fit, `next` goes on from there."""
SEARCH_SECONDS = 2.0
"""For so long an answer looks for events that its caller may see."""

NDJSON, SSE = Ndjson(), ServerSentEvents()
FOLLOW: Mapping[str, Form | None] = {
    "true": NDJSON, "1": NDJSON, "yes": NDJSON, "ndjson": NDJSON, "sse": SSE, "false": None, "0": None, "no": None,
}  # fmt: skip
"""What follow= takes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the log is asked for. `follow`: how a stream of it is written; None: a page."""

    after: int = 0
    to: int | None = None
    limit: int | None = None
    stream: str | None = None
    root: str | None = None
    types: tuple[str, ...] = ()
    correlation: str | None = None
    follow: Form | None = None

    @property
    def page(self) -> int:
        return min(max(self.limit, 1), MOST) if self.limit is not None else USUAL

    def fits(self, event: Recorded) -> bool:
        return (
            event.position > self.after
            and (self.to is None or event.position <= self.to)
            and (self.stream is None or event.stream == self.stream)
            and (self.root is None or event.root == self.root)
            and (not self.types or event.type in self.types)
            and (self.correlation is None or event.is_of(self.correlation))
        )


class Log:
    """Answers requests for the log. `still`: whether a stream's caller is still who it was. `headers`: those of every answer."""

    def __init__(self, store: Store, catalogue: Catalogue, caller_of: CallerOf, still: Still, headers: Headers) -> None:
        self._store, self._catalogue, self._caller_of, self._still, self._headers = store, catalogue, caller_of, still, headers
        self.streams: set[EventStream] = set()
        """Those that are open."""

    def routes(self) -> list[Route]:
        """For the application, before its /v1."""
        methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]
        return [Route(path, self.events, methods=methods) for path in ("/v1/events", "/v1/events/")]

    async def events(self, request: Request) -> Response:
        headers = self._headers(request)
        try:
            if request.method not in ("GET", "HEAD"):
                raise MethodNotAllowed(request.method, "the log")
            caller = await self._caller_of(request)
            wanted = read_wanted(request)
            if wanted.follow is not None and request.method == "GET":
                return await self._stream(request, wanted, wanted.follow, caller, headers)
            page = await self._page(wanted, caller)
            return json_response(page, 200, headers | {"X-Corral-Position": str(page["head"])})
        except Exception as error:  # the boundary, as for all else under /v1
            return error_response(error, headers)

    async def _stream(self, request: Request, wanted: Wanted, form: Form, caller: Caller, headers: dict[str, str]) -> Response:
        if len(self.streams) >= MOST_STREAMS:
            raise Refused("Service Unavailable", f"{MOST_STREAMS} streams of the log are open here already: try again later", status=503)
        head = await self._store.head()
        if wanted.after > head:
            raise Refused("InvalidOption", f"position {wanted.after} is not there yet: the log ends at {head}", "after")

        stopping: asyncio.Event | None = getattr(request.app.state, "stopping", None)
        sight = Sight(self._store, self._catalogue, caller)
        still = partial(self._still, request, caller)
        follower = Follower(self._store, sight, wanted, form, stopping or asyncio.Event(), still)
        return EventStream(follower.chunks(), form.media_type, headers | {"X-Corral-Position": str(head)}, self.streams)

    async def _page(self, wanted: Wanted, caller: Caller) -> Json:
        head = await self._store.head()
        end = min(head, wanted.to) if wanted.to is not None else head
        sight, until = Sight(self._store, self._catalogue, caller), time.monotonic() + SEARCH_SECONDS
        data: list[Json] = []
        after = wanted.after
        while True:
            found, reached = await self._found(wanted, after, end)
            taken = found[: wanted.page - len(data)]
            data += await sight.documents(taken)
            after = taken[-1].position if len(found) > len(taken) else max(reached, after)
            # Who may see some of it only gets a page filled from what follows.
            if len(data) >= wanted.page or after >= end or caller.sees_all or time.monotonic() > until:
                return {"data": data, "head": head, "next": after}

    async def _found(self, wanted: Wanted, after: int, end: int) -> tuple[list[Recorded], int]:
        """Events that fit, one more than a page if there are so many, and how far the log was looked through for them."""
        if wanted.stream is not None or wanted.root is not None:
            read = self._store.read if wanted.stream is not None else self._store.read_root
            own = await read(wanted.stream or wanted.root or "", to_position=end)
            return [event for event in own if event.position > after and wanted.fits(event)], end
        # A request's events are found by an index; of a rare type there may be none for long.
        reached = min(end, after + SCANNED) if wanted.types and wanted.correlation is None else end
        found = await self._store.read_all(
            after, wanted.page + 1, to_position=reached, types=wanted.types or None, correlation=wanted.correlation
        )
        return found, reached


def read_wanted(request: Request) -> Wanted:
    """Raises Refused, naming the parameter that is wrong and what it takes."""
    given = request.query_params
    for name, value in given.multi_items():
        if "\x00" in value:
            raise Refused("InvalidCharacters", f"{name} contains a NUL character, which no stream, type or request has", name)
    after, to, limit = (_number(given.get(name), name) for name in ("after", "to", "limit"))
    if (last := request.headers.get("last-event-id")) is not None:
        after = _number(last, "Last-Event-ID")
    return Wanted(
        after or 0, to, limit, _stream_name(given.get("stream"), "stream"), _stream_name(given.get("root"), "root"),
        tuple(_types(given.getlist("type"))), given.get("correlation") or None, _form(request),
    )  # fmt: skip


def _form(request: Request) -> Form | None:
    asked = request.query_params.get("follow")
    if asked is None:
        return SSE if SSE.media_type in request.headers.get("accept", "") else None
    asked = asked.lower() or "true"  # ?follow
    if asked not in FOLLOW:
        raise Refused("InvalidOption", f"follow takes {', '.join(FOLLOW)}; {asked[:40]!r} is none of them", "follow")
    form = FOLLOW[asked]
    return SSE if form is NDJSON and asked != "ndjson" and SSE.media_type in request.headers.get("accept", "") else form


def _stream_name(text: str | None, name: str) -> str | None:
    if not text:
        return None
    try:
        split_stream(text)
    except ValueError as wrong:
        raise Refused("InvalidFormat", str(wrong), name) from None
    return text


def _types(given: Sequence[str]) -> list[str]:
    words = [word.strip() for text in given for word in text.split(",") if word.strip()]
    for word in words:
        if word not in vocabulary.KEYS:
            raise Refused("InvalidOption", f"there are no events of type {word[:40]!r}, but {', '.join(vocabulary.ALL)}", "type")
    return words


def _number(text: str | None, name: str) -> int | None:
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Refused("InvalidFormat", f"{name} must be a whole number, 0 or more; {text[:40]!r} is not", name)
    return int(text)

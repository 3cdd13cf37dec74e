"""Around the application: every request gets its correlation id, is counted when its answer begins, and told in the log."""

from __future__ import annotations

import re
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from commands.trace import PARENT, STATE, Ties, Trace, named, read
from eventstore import Distribution

log = structlog.get_logger("corral.http")

CORRELATION, TRACE, SPAN = "corral.correlation", "corral.trace", "corral.span"
"""Where a request's scope has its correlation id; its own span, if its caller told a trace; and its own span in any case."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"})

PROBES = frozenset({"/ping", "/healthcheck", "/healthz", "/readyz", "/metrics"})
"""Asked every few seconds: told at debug alone."""
BELOW_V1 = frozenset({"events", "subscribe", "publish", "scripts", "configcontent"})
"""What has a route of its own; all else under /v1 is a type's."""
OWN = PROBES | {"/corral/info", "/corral/strays", "/v1/openapi.json"}
SECRET = frozenset({"/v1/scripts"})
"""Where the path itself is a key."""
PARTS = ("{type}", "{id}", "{link}")

_CORRELATION = re.compile(r"[A-Za-z0-9._@-]{1,100}")


@dataclass(slots=True)
class Requests:
    """What the HTTP application was asked. A stream counts when it begins, as any answer does."""

    answered: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(route, method, status) -> how often."""
    seconds: dict[tuple[str, str], Distribution] = field(default_factory=dict)
    """(route, method) -> until the answer began."""
    under_way: int = 0

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        self.answered[route, method, str(status)] += 1
        found = self.seconds.get((route, method))
        if found is None:
            found = self.seconds[route, method] = Distribution()
        found.add(seconds)


class Observed:
    """The application with all of that around it."""

    def __init__(self, app: ASGIApp, requests: Requests, level: str = "info") -> None:
        """`level`: at which a request's line is written; "off": none is."""
        self._app, self._requests = app, requests
        self._tell = getattr(log, level) if level != "off" else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = Headers(scope=scope)
        correlation = scope[CORRELATION] = _chosen(headers.get("x-correlation-id", "")) or uuid.uuid4().hex
        trace = scope[TRACE] = _trace(headers, correlation)
        scope[SPAN] = Ties(correlation, trace).hop("http") if trace is None else trace
        bind = {"correlation": correlation} | ({"trace": trace.trace_id} if trace is not None else {})
        structlog.contextvars.bind_contextvars(**bind)  # each request is a task, with variables of its own
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if not status and message["type"] in BEGINNINGS:
                status = message.get("status", BEGINNINGS[message["type"]])
                self._answered(scope, status, time.perf_counter() - began)
            await send(message)

        self._requests.under_way += 1
        try:
            await self._app(scope, receive, sent)
        except Exception:
            if not status:
                self._answered(scope, 500, time.perf_counter() - began)
            status = 500
            raise
        finally:
            self._requests.under_way -= 1
            if not status:
                self._answered(scope, GONE, time.perf_counter() - began)
            structlog.contextvars.unbind_contextvars("correlation", "trace")

    def _answered(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope.get("method", "WEBSOCKET")
        method = method if method in METHODS or method == "WEBSOCKET" else "other"
        route = route_of(scope["path"])
        path = route if route in SECRET else scope["path"]
        self._requests.count(route, method, status, seconds)
        if self._tell is not None:
            tell = log.debug if route in PROBES else self._tell
            client = (scope.get("client") or ("",))[0]
            tell(
                f"{method} {path} is answered {status}", action="request", method=method, path=path, route=route,
                status=status, ms=round(seconds * 1000, 2), client=client,
            )  # fmt: skip


BEGINNINGS = {"http.response.start": 200, "websocket.accept": 101, "websocket.close": 403, "websocket.http.response.start": 403}
"""The messages with which an answer begins -> its status, where they do not say one."""

GONE = 499
"""The status of what was not answered, as nobody waited any more."""


def route_of(path: str) -> str:
    """What a path is counted as: with its type, id and link left open, so that there are few of them."""
    if path in OWN:
        return path
    if path.startswith("/static/"):
        return "/static"
    first, *rest = [part for part in path.split("/") if part] or [""]
    if first.lower() != "v1" or len(rest) > len(PARTS):
        return "/" if not first else "other"
    if rest and rest[0].lower() in BELOW_V1:
        return f"/v1/{rest[0].lower()}"
    return "/".join(("/v1", *PARTS[: len(rest)]))


def _chosen(correlation: str) -> str:
    """A caller's own correlation id, if it may be one: Corral's own have a colon in them."""
    return correlation if _CORRELATION.fullmatch(correlation) else ""


def _trace(headers: Headers, correlation: str) -> Trace | None:
    """Of the headers, as one more span of that trace. Where there are none, or malformed ones: a new one, unless the correlation id
    is one already (then it is known by that)."""
    given = headers.getlist(PARENT)
    told = read(given[0], ",".join(headers.getlist(STATE))) if len(given) == 1 else None
    if told is None and named(correlation) is None:
        told = named(uuid.uuid4().hex)
    return told.hop(correlation) if told is not None else None

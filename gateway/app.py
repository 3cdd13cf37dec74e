"""The HTTP application: one door for /v1, and the few paths beside it. Everything that fails becomes a document of gateway.errors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from commands.catalogue.model import ResourceType
from commands.errors import NotFound, Refused
from eventstore import StoreError
from gateway import console, machine_verbs
from gateway.access.agents import own_agents
from gateway.access.callers import Callers
from gateway.access.origins import Origins
from gateway.asking import Asking
from gateway.bus.door import Door
from gateway.bus.hub import Hub
from gateway.documents import Documents
from gateway.errors import MethodNotAllowed, error_document, error_headers
from gateway.herd.herd import Herd
from gateway.herd.progress import followed, wants_progress
from gateway.history.log import Log
from gateway.history.past import asked_past
from gateway.history.streams import EventStream
from gateway.host_images import HostImages
from gateway.html.door import check_csrf, files, shown, to_ui
from gateway.inside.door import INSIDE, inside
from gateway.joining.door import Door as JoiningDoor
from gateway.live.asking import Asker
from gateway.live.door import Door as LiveDoor
from gateway.nats_keys import nats_key
from gateway.observed import CORRELATION, SPAN, Observed, Requests
from gateway.openapi.document import OPENAPI, openapi
from gateway.reads import Reads
from gateway.request import VERBS, ApiRequest, base_url, client_ip, path_parts, read_request
from gateway.responses import File, error_response, json_response
from gateway.schemas import version, versions
from gateway.services import Services
from gateway.settings import SettingsDoor
from gateway.writes import READ_YOUR_WRITES, Answer, Writes, interventions
from projections.errors import ViewsError

MIN_POSITION_WAIT = 5.0
"""Seconds for which a read waits for the position it asked for."""

MOST_PARTS = 3

_VERSION = re.compile(r"v[0-9][0-9.a-z-]*", re.IGNORECASE)


def build_app(
    services: Services, hub: Hub | None = None, *, callers: Callers | None = None, requests: Requests | None = None,
    request_level: str = "info", beside: Sequence[BaseRoute] = (), asker: Asker | None = None,
) -> Starlette:
    """The application over these services; it starts and stops nothing. `hub`: of a server that has publish and subscribe, `asker`: and
    live queries.
    `requests`: where they are counted, `request_level`: at which level each is told. `beside`: what is served besides."""
    gateway = Gateway(services, hub, callers, asker)
    every = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE"]
    return Starlette(
        routes=[
            Route("/ping", _ping),
            Route("/healthcheck", gateway.health),
            Route("/corral/info", gateway.info),
            Route("/corral/nats/keys", gateway.nats_key, methods=["POST"]),
            *beside,
            *Log(services.store, services.catalogue, gateway.callers.of, gateway.callers.still, gateway.headers).routes(),
            *([WebSocketRoute("/{path:path}", gateway.websocket)] if gateway.bus is not None else []),
            files(),
            Route("/{path:path}", gateway.api, methods=every),
        ],
        exception_handlers={HTTPException: gateway.nothing},
        middleware=[
            Middleware(Observed, requests or Requests(), request_level),
            Middleware(Origins, services.settings, services.names, gateway.headers),
        ],
    )


class Gateway:
    """Answers requests. Holds nothing but what callers' keys were a moment ago, and how far it has told of the log."""

    def __init__(self, services: Services, hub: Hub | None = None, callers: Callers | None = None, asker: Asker | None = None) -> None:
        self._services = services
        self.callers = callers or Callers(services)
        self.bus = Door(services, self.callers, hub) if hub is not None else None
        self.live = LiveDoor(services, self.callers, asker) if asker is not None else None
        self._asking = Asking(hub.nats) if hub is not None else None
        self._herd = Herd(services, asker)
        self._streams: set[EventStream] = set()
        self._joining = JoiningDoor(services, self.callers)
        self._images = HostImages(services, asker) if asker is not None else None
        self._told = 0
        """The newest position that an answer showed: later lists and links don't fall behind it."""

    async def api(self, request: Request) -> Response:
        headers = self.headers(request)
        try:
            if (elsewhere := to_ui(request, self._services)) is not None:
                return RedirectResponse(elsewhere, 302, headers)
            check_csrf(request, request.method)
            if self.bus is not None and self.bus.is_for(request):
                return await self.bus.answer(request, headers["X-Correlation-Id"], headers)
            if self.live is not None and self.live.is_for(request):
                return await self.live.answer(request, headers["X-Correlation-Id"], headers)
            if self._joining.is_for(request):
                return await self._joining.answer(request, headers["X-Correlation-Id"], headers)
            if wants_progress(request):
                read = await read_request(request, self.callers, self._services.settings, headers["X-Correlation-Id"])
                return await followed(self._herd, read, headers, self._streams)
            answer = await self._answer(request, headers["X-Correlation-Id"])
        except Exception as error:  # the boundary: whatever happened becomes a status and a document
            document = error_document(error)
            return await self._shown(request, document, document["status"], headers | error_headers(document["status"], error))
        self._told = max(self._told, answer.position)
        headers["X-Corral-Position"] = str(answer.position)
        if isinstance(file := answer.document, File):
            return Response(file.content, answer.status, {**headers, **file.headers}, media_type=file.media)
        return await self._shown(request, answer.document, answer.status, headers)

    async def websocket(self, socket: WebSocket) -> None:
        if self.live is not None and self.live.is_for(socket):
            await self.live.websocket(socket)
        elif self.bus is not None:
            await self.bus.websocket(socket)

    async def nothing(self, request: Request, error: Exception) -> Response:
        """What no route has: a path with a line break, say, or a file that is not there; or that can't be asked so."""
        no_method = getattr(error, "status_code", 404) == 405
        refused = MethodNotAllowed(request.method, "this path") if no_method else NotFound("there is nothing under this path")
        return await self._shown(request, error_document(refused), refused.status, self.headers(request))

    async def _shown(self, request: Request, document: Any, status: int, headers: dict[str, str]) -> Response:
        return await shown(request, self._services, self.callers, document, status, headers)

    def headers(self, request: Request) -> dict[str, str]:
        """Those of every answer, errors too. The position is one that is known to be in the log; who knows a newer one says it instead."""
        known = max(self._told, self._services.views.progress.position)
        return {
            "X-API-Schemas": _latin(f"{base_url(request, self._services.settings)}/v1/schemas"),
            "X-API-Client-IP": _latin(client_ip(request, self._services.settings)),
            "X-Correlation-Id": request.scope[CORRELATION],
            "traceresponse": request.scope[SPAN].parent,
        } | ({"X-Corral-Position": str(known)} if known else {})

    async def health(self, request: Request) -> Response:
        """200 while the log takes commands, the views answer and nothing is poisoned."""
        checks: dict[str, Any] = {}
        try:
            checks["log"] = {"healthy": True, "position": await self._services.store.head()}
            if not await self._services.store.writable():
                checks["log"] |= {"healthy": False, "message": "the database is read-only: it answers, and takes no command"}
        except StoreError as error:
            checks["log"] = {"healthy": False, "message": str(error)}
        try:
            status = await self._services.views.status()
            behind = max(0, checks["log"].get("position", 0) - status.position)
            checks["views"] = {
                "healthy": not status.poisoned, "position": status.position, "behind": behind, "poisoned": status.poisoned,
            }  # fmt: skip
        except ViewsError as error:
            checks["views"] = {"healthy": False, "message": str(error)}
        healthy = all(check["healthy"] for check in checks.values())
        return json_response({"healthy": healthy, "checks": checks}, 200 if healthy else 503, self.headers(request))

    async def info(self, request: Request) -> Response:
        """What the CLI and agents ask a server: its version, where NATS is, how far the log is, and to an agent what it is itself."""
        try:
            caller = await self.callers.of(request)
            own = {"agents": await own_agents(self._services, caller)} if caller.agents else {}
            position = await self._services.store.head()
        except (Refused, StoreError, ViewsError) as error:
            return error_response(error, self.headers(request))
        headers = self.headers(request) | {"X-Corral-Position": str(position)}
        return json_response({**self._services.info, **own, "position": position}, 200, headers)

    async def nats_key(self, request: Request) -> Response:
        headers = self.headers(request)
        try:
            document, position = await nats_key(self._services, self.callers, request, headers["X-Correlation-Id"])
        except Exception as error:  # the boundary, as for all under /v1
            return error_response(error, headers)
        return json_response(document, 200, headers | {"X-Corral-Position": str(position)})

    async def _answer(self, request: Request, correlation: str) -> Answer:
        _check_version(path_parts(request))
        read = await read_request(request, self.callers, self._services.settings, correlation)
        if read.method not in VERBS:
            raise MethodNotAllowed(read.method, "this path")
        check_csrf(request, read.method)
        if len(read.parts) > MOST_PARTS:
            raise NotFound("there is nothing under this path")
        past = await asked_past(self._services, read)
        if past is not None:
            if self._settings_door(read) is not None:
                raise Refused("InvalidOption", "settings are shown as they are now; their events say how they came about", "at")
            if self._inside(read) is not None:
                raise Refused("InvalidOption", "the inside is shown as it is now; what processes did is in the log: /v1/events", "at")
            reads = Reads(self._services, read.with_at(past.position), past)
            document = await self._read_one(reads, read, path_parts(request))
            await reads.reveal()
            return Answer(200, document, past.position)
        await self._wait_for_position(read)
        if read.method == "GET":
            reads = Reads(self._services, read)
            document = await self._read(reads, read, path_parts(request))
            await reads.reveal()
            return Answer(200, document, max(reads.position, self._services.views.progress.position))
        if read.method == "POST" and not path_parts(request):
            return await self._herd.answer(read)
        return await self._write(read)

    async def _read(self, reads: Reads, request: ApiRequest, path: list[str]) -> Any:
        if len(request.parts) in (1, MOST_PARTS) or request.param("include") is not None:
            # By id a client hears of a thing's end before the views do (an instance runs); then its links say the same.
            await self._services.views.wait_for(self._told, READ_YOUR_WRITES)
        if request.parts == (OPENAPI,):
            return openapi(Documents(self._services.catalogue, request), str(self._services.info.get("version", "")))
        if self._images is not None and self._images.is_for(request):
            return await self._images.read(request)
        if (settings := self._settings_door(request)) is not None:
            return await settings.read()
        if (type := self._inside(request)) is not None:
            return await inside(self._services, request, type)
        return await self._read_one(reads, request, path)

    async def _read_one(self, reads: Reads, request: ApiRequest, path: list[str]) -> Any:
        documents = Documents(self._services.catalogue, request)
        match request.parts:
            case ():
                return version(documents) if path else versions(documents)
            case (segment,):
                return await reads.collection(self._type(request, segment))
            case (segment, text):
                return await reads.resource(self._type(request, segment), text)
            case (segment, text, link):
                return await reads.link(self._type(request, segment), text, link)
        raise AssertionError(f"{len(request.parts)} parts: _answer takes {MOST_PARTS} at most")

    async def _write(self, request: ApiRequest) -> Answer:
        if (settings := self._settings_door(request)) is not None:
            return await settings.write()
        writes = Writes(self._services, request)
        action = request.param("action")
        match request.method, request.parts:
            case "POST", (segment,) if action:
                raise Refused("InvalidAction", f"the collection {self._type(request, segment).plural} has no action {action}")
            case "POST", (segment,):
                return await writes.create(self._type(request, segment))
            case "POST", (segment, text) if action and action.lower() == console.ACTION:
                return await console.access(self._services, self._asking, request, self._type(request, segment), text)
            case "POST", (segment, text) if action:
                return await writes.act(self._type(request, segment), text, action)
            case "POST", (segment, text, what) if what in interventions(self._type(request, segment)):
                return await writes.intervene(self._type(request, segment), text, what)
            case "POST", (segment, text, verb) if verb in machine_verbs.VERBS and self._type(request, segment).name == machine_verbs.TYPE:
                given = machine_verbs.read(verb, request.one())
                return await writes.change(self._type(request, segment), text, verb, given)
            case "POST", (segment, text, link):
                return await writes.create_child(self._type(request, segment), text, link)
            case "PUT", (segment, text):
                return await writes.update(self._type(request, segment), text)
            case "DELETE", (segment, text):
                return await writes.delete(self._type(request, segment), text)
        if request.parts:
            self._type(request, request.parts[0])
        raise MethodNotAllowed(request.method, "this path")

    def _settings_door(self, request: ApiRequest) -> SettingsDoor | None:
        return SettingsDoor.of(self._services, request, self._type(request, request.parts[0])) if request.parts else None

    def _inside(self, request: ApiRequest) -> ResourceType | None:
        """The type that a path begins with, if it is one of those that show the inside."""
        type = self._type(request, request.parts[0]) if request.parts else None
        return type if type is not None and type.name in INSIDE else None

    def _type(self, request: ApiRequest, segment: str) -> ResourceType:
        type = self._services.catalogue.by_path(segment)
        if type is None or not request.caller.sees(type):
            raise NotFound(f"there is no type {segment}")
        return type

    async def _wait_for_position(self, request: ApiRequest) -> None:
        """min_position: the read answers from views that hold at least this position, or says that they don't yet."""
        wanted = request.param("min_position")
        if request.method == "GET" and wanted is not None:
            if not wanted.isascii() or not wanted.isdigit() or len(wanted) > 18:
                raise Refused("InvalidFormat", "min_position must be a position, e.g. that of the header X-Corral-Position", "min_position")
            if int(wanted) > self._services.views.progress.position and int(wanted) > (head := await self._services.store.head()):
                raise Refused("InvalidOption", f"position {int(wanted)} is not there yet: the log ends at {head}", "min_position")
            await self._services.views.require(int(wanted), MIN_POSITION_WAIT)


def _check_version(path: list[str]) -> None:
    if not path or path[0].lower() == "v1":
        return
    if _VERSION.fullmatch(path[0]):
        raise Refused("UnsupportedVersion", f"there is no version {path[0]}, only v1")
    raise NotFound("the API is under /v1")


async def _ping(request: Request) -> Response:
    return PlainTextResponse("pong")


def _latin(text: str) -> str:
    """Text that can stand in a header."""
    return text.encode("latin-1", "replace").decode("latin-1").replace("\n", " ").replace("\r", " ")

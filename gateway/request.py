"""A request as the API reads it: whose it is, what it names, what it carries, and under which URLs its answer's links stand."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from starlette.requests import HTTPConnection, Request

from commands.accepting.service import Actor
from commands.errors import Refused
from commands.trace import Trace
from eventstore import CommandKey
from gateway.access.caller import Caller
from gateway.access.callers import CLIENT_OVERRIDE, Callers, peer
from gateway.bodies import Pairs, fields_of, pairs_of, parse_body, read_body
from gateway.observed import TRACE

Json = dict[str, Any]

VERSION = "v1"

_KEY = re.compile(r"[ -~]{1,255}")

VERBS = frozenset({"GET", "POST", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """`parts`: the path behind the version. `items`: the objects a body carries, each with the parameters as fields."""

    method: str
    parts: tuple[str, ...]
    params: Pairs
    items: list[Json]
    is_list: bool
    base: str
    url: str
    client_ip: str
    caller: Caller
    plain_ids: bool
    key: CommandKey | None
    correlation: str
    trace: Trace | None
    peer: str = ""
    """The address that it really came from, as far as anybody can know it. `client_ip` is what the client says of it."""
    accept: str = ""
    """The media types that the client takes, as it says them."""

    def param(self, name: str) -> str | None:
        """The last one of that name."""
        found = [value for key, value in self.params if key == name]
        return found[-1] if found else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.params if key == name]

    def link(self, *parts: str) -> str:
        """An absolute URL; every generated segment is lower case."""
        return "/".join((self.base, VERSION, *(part.lower() for part in parts)))

    def with_params(self, **changed: str | None) -> str:
        """This request's URL with some parameters set, or (None) taken away."""
        kept = [(key, value) for key, value in self.params if key not in changed]
        kept += [(key, value) for key, value in changed.items() if value is not None]
        path = self.url.partition("?")[0]
        return f"{path}?{urlencode(kept)}" if kept else path

    def with_at(self, position: int) -> ApiRequest:
        """The same, with at= (90m ago, say) as the position that it meant: its links mean the same later on."""
        params = [(key, str(position) if key == "at" else value) for key, value in self.params]
        return replace(self, params=params, url=self.with_params(at=str(position)))

    def one(self) -> Json:
        """The body's only object."""
        if self.is_list:
            raise Refused("InvalidBodyContent", "one JSON object is expected here, not an array", status=400)
        return self.items[0]

    @property
    def actor(self) -> Actor:
        return Actor(self.caller.account, self.correlation, not self.caller.user, self.trace)


def base_url(request: HTTPConnection, settings: Mapping[str, Any]) -> str:
    """What links stand under: as the Host header says, or as the client says where that is allowed."""
    given = request.headers.get("x-api-request-url") if settings.get(CLIENT_OVERRIDE, False) else None
    if given:
        return given.partition(f"/{VERSION}")[0].rstrip("/")
    scheme = request.url.scheme.replace("ws", "http", 1)
    return f"{scheme}://{request.headers.get('host') or request.url.netloc}"


def client_ip(request: Request, settings: Mapping[str, Any]) -> str:
    given = request.headers.get("x-api-client-ip") if settings.get(CLIENT_OVERRIDE, False) else None
    return given or request.headers.get("x-forwarded-for") or (request.client.host if request.client else "")


def path_parts(request: HTTPConnection) -> list[str]:
    """Segments; duplicate slashes count as one."""
    return [part for part in str(request.scope["path"]).split("/") if part]


async def read_request(request: Request, callers: Callers, settings: Mapping[str, Any], correlation: str) -> ApiRequest:
    """Raises Refused for what can't be read, and Unauthorized."""
    caller = await callers.of(request)
    query = pairs_of(request.url.query)
    body = await read_body(request) if request.method not in ("GET", "HEAD") else b""
    form, value = parse_body(request.headers.get("content-type", ""), body)
    pairs = query + form
    shared = fields_of([pair for pair in pairs if not pair[0].startswith("_") and pair[0] != "action"])
    objects = value if isinstance(value, list) else [value]
    method = next((given.upper() for name, given in reversed(pairs) if name == "_method"), request.method)
    base = base_url(request, settings)
    path = "/" + "/".join(path_parts(request))
    return ApiRequest(
        method="GET" if method == "HEAD" else method,
        parts=tuple(path_parts(request)[1:]),
        params=query,
        items=[{**shared, **each} for each in objects],
        is_list=isinstance(value, list),
        base=base,
        url=base + path + (f"?{request.url.query}" if request.url.query else ""),
        client_ip=client_ip(request, settings),
        caller=caller,
        plain_ids=plain_ids(caller, pairs, settings),
        key=_command_key(request, caller, body) if method in VERBS - {"GET"} else None,
        correlation=correlation,
        trace=request.scope.get(TRACE),
        peer=peer(request, trusts_proxies=bool(settings.get(CLIENT_OVERRIDE, False))),
        accept=request.headers.get("accept", ""),
    )


def plain_ids(caller: Caller, pairs: Pairs, settings: Mapping[str, Any]) -> bool:
    match caller.of_kind.plain_ids:
        case "always":
            return bool(settings.get("account.type.agent.plain.id", True))
        case "asked":
            return any(name == "_plainId" and given.lower() == "true" for name, given in pairs)
    return False


def _command_key(request: Request, caller: Caller, body: bytes) -> CommandKey | None:
    key = request.headers.get("idempotency-key")
    if not key:
        return None
    if not _KEY.fullmatch(key):
        raise Refused("InvalidIdempotencyKey", "an Idempotency-Key has 1 to 255 printable ASCII characters: take a uuid")
    asked = b"\n".join((request.method.encode(), request.url.path.encode(), request.url.query.encode(), body))
    return CommandKey(str(caller.account or 0), key, hashlib.sha256(asked).hexdigest())

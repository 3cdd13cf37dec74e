"""Before everything else of the HTTP application: which names it answers to, and whose pages may have a browser write.

A page of somebody else's can give its own name this machine's address (DNS rebinding): the browser then takes Corral's answers for that
page's own. Where no key is asked for, a name in the Host header so has to be one of Corral's. An address is always right: a browser that
went to one was told it by nobody's DNS. Clients that are no browsers (curl, Cattle's own, agents) send no Origin, and go on.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from commands.errors import Refused
from gateway.request import base_url
from gateway.responses import error_response

NAMES = "api.host.names"
"""The setting of more names."""

URLS = ("agent.instance.register.url", "cattle.config.url")
"""Settings that say under which URL others reach the API: its name is one of Corral's."""

READING = ("GET", "HEAD")
DEFAULT_PORTS = {"http": 80, "https": 443}

Headers = Callable[[Request], dict[str, str]]


class Origins:
    """Passes on what may come in, and answers the rest with 403. `own`: names of this server that need no setting."""

    def __init__(self, app: ASGIApp, settings: Mapping[str, Any], own: frozenset[str], headers: Headers) -> None:
        self._app, self._settings, self._own, self._headers = app, settings, own, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                check_host(HTTPConnection(scope), self._settings, self._own)
                check_origin(HTTPConnection(scope), self._settings)
            except Refused as error:
                await self._refuse(error, scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _refuse(self, error: Refused, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(error_response(error, {}))
        else:
            await error_response(error, self._headers(Request(scope, receive)))(scope, receive, send)


def check_host(request: HTTPConnection, settings: Mapping[str, Any], own: frozenset[str]) -> None:
    """Raises Refused for a name that is none of Corral's, where whoever asks is the admin. A page has no key to send."""
    given = request.headers.get("host", "")
    if settings["api.security.enabled"] or not given:
        return
    name = _name(_split(f"//{given}"))
    if name is None or not (_is_address(name) or _is_local(name) or name in own or name in _configured(settings)):
        raise Refused(
            "Forbidden",
            f"{given[:100]!r} is no name of this server: without keys it answers to addresses, to localhost, and to the names in the "
            f"setting {NAMES}. Ask by address, or add the name there: curl -X PUT http://<address>/v1/settings/1as!{NAMES} "
            f"-d value={name or '<name>'} (or corral up --set {NAMES}=...)",
            status=403,
        )


def check_origin(request: HTTPConnection, settings: Mapping[str, Any]) -> None:
    """Raises Refused where a browser says that another site's page writes, or opens a WebSocket: no other rule of browsers' stops that."""
    given = request.headers.get("origin")
    if given is None or (request.scope["type"] == "http" and request.scope["method"] in READING and not _amounts_to_writing(request)):
        return
    theirs, ours = _split(given), _split(base_url(request, settings))
    place = _place(theirs, theirs)
    if (place is not None and place == _place(ours, theirs)) or _name(theirs) in _configured(settings):
        return
    raise Refused(
        "Forbidden",
        f"a page of {given[:100]!r} may neither write nor listen here: open this server's own. Where a proxy shows it under another name "
        f"than the Host header says, add that name to the setting {NAMES}",
        status=403,
    )


def _amounts_to_writing(request: HTTPConnection) -> bool:
    return any(method.upper() not in READING for method in request.query_params.getlist("_method"))


def _configured(settings: Mapping[str, Any]) -> frozenset[str]:
    return _names_in(settings[NAMES], *(settings[name] for name in URLS))


@lru_cache(maxsize=16)
def _names_in(listed: str, *urls: str) -> frozenset[str]:
    names = (name.strip().lower() for name in listed.split(","))
    return frozenset(filter(None, (*names, *(_name(_split(url)) for url in urls))))


def _split(url: str) -> SplitResult | None:
    try:
        split = urlsplit(url.strip())
        _ = split.port  # it is read, and can be wrong
    except ValueError:
        return None
    return split


def _name(url: SplitResult | None) -> str | None:
    return (url.hostname or "").rstrip(".") or None if url is not None else None


def _place(url: SplitResult | None, origin: SplitResult | None) -> tuple[str, int | None] | None:
    """Host and port, which an origin leaves out where its scheme says it. The scheme itself may be a proxy's."""
    if url is None or origin is None or not url.hostname:
        return None
    default = DEFAULT_PORTS.get(origin.scheme)
    return url.hostname.rstrip("."), url.port or default


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_local(name: str) -> bool:
    """These never leave the machine, whatever DNS says."""
    return name == "localhost" or name.endswith(".localhost")

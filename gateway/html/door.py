"""Where browsers come in: who gets a page, what a browser's writes must carry, and the files that pages load."""

from __future__ import annotations

import hmac
import re
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from commands.errors import Refused
from eventstore import StoreError
from gateway.access.caller import Caller
from gateway.access.callers import CALLER, Callers
from gateway.html.pages import STATIC, page_of
from gateway.html.view import View
from gateway.request import base_url, path_parts
from gateway.responses import json_response
from gateway.services import Services
from projections.errors import ViewsError

COOKIE = "CSRF"
HEADER = "X-API-CSRF"

SCRIPT, STYLE = "api.ui.js.url", "api.ui.css.url"
"""Settings: what pages load instead of the files below."""

POLICY = {
    "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'", "connect-src": "'self'",
    "form-action": "'self'", "base-uri": "'none'", "frame-ancestors": "'none'",
}  # fmt: skip
"""Nothing but the files below: what somebody wrote into a name can't run, load or send anything, even if it came through unescaped."""

_HEX = re.compile(r"[0-9a-f]{8,128}")


class _Files(StaticFiles):
    """Asked for anew each time (304 mostly), so that a page and its scripts are of one version."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update({"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"})
        return response


def files() -> Mount:
    return Mount(STATIC, _Files(directory=Path(__file__).with_name("files")))


def from_browser(request: Request) -> bool:
    """As Cattle tells: every browser still calls itself this."""
    return "mozilla" in request.headers.get("user-agent", "").lower()


def wants_page(request: Request) -> bool:
    """Who says so (_format, an Accept of text/html), and browsers that take anything. Naming application/json is saying no."""
    if chosen := request.query_params.getlist("_format"):
        return chosen[-1].lower() == "html"
    accept = request.headers.get("accept", "").lower()
    if "text/html" in accept:
        return True
    return "*/*" in accept and "application/json" not in accept and from_browser(request)


def check_csrf(request: Request, method: str) -> None:
    """`method`: as it was sent, and again as what it amounts to (_method). A page of somebody else's can have a browser send its cookie,
    but can't read it."""
    if method in ("GET", "HEAD") or not from_browser(request):
        return
    cookie, given = request.cookies.get(COOKIE, ""), request.headers.get(HEADER, "")
    if not cookie or not hmac.compare_digest(cookie.encode(), given.encode()):
        raise Refused(
            "InvalidCSRFToken",
            f"a browser's {method} must repeat the cookie {COOKIE} in the header {HEADER}: load a page of the API first, it sets it",
            status=403,
        )


async def shown(
    request: Request, services: Services, callers: Callers, document: Any, status: int, headers: dict[str, str]
) -> Response:
    """As JSON, or as the page that a browser gets."""
    if wants_page(request):
        return await page_response(request, services, callers, document, status, headers)
    return json_response(document, status, headers)


async def page_response(
    request: Request, services: Services, callers: Callers, document: Any, status: int, headers: dict[str, str]
) -> Response:
    view = View(
        services.catalogue,
        await _caller(request, callers),
        base_url(request, services.settings),
        "/" + "/".join(quote(part, safe="") for part in path_parts(request)),
        request.url.query,
        headers.get("X-API-Schemas", ""),
        headers.get("X-Corral-Position"),
        script=str(services.settings[SCRIPT]),
        style=str(services.settings[STYLE]),
        nonce=secrets.token_urlsafe(16),
    )
    besides = {
        "Content-Security-Policy": policy(view),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",  # the same URL is JSON for others, and it is a moment's state
        "Vary": "Accept, User-Agent",
    }
    response = Response(page_of(view, document), status, headers | besides, media_type="text/html; charset=utf-8")
    if not _HEX.fullmatch(request.cookies.get(COOKIE, "")):
        response.set_cookie(COOKIE, secrets.token_hex(16), samesite="strict", secure=request.url.scheme == "https")
    return response


def policy(view: View) -> str:
    """POLICY, with what the settings have pages load, and what that may load from where it is."""
    chosen = dict(POLICY)
    theirs = {origin for url in (view.script, view.style) if url.startswith("http") and (origin := "/".join(url.split("/")[:3]))}
    beside = " ".join(sorted(theirs))
    if view.script:
        chosen["script-src"] += f" 'nonce-{view.nonce}' {beside}"
        chosen["style-src"] += f" 'unsafe-inline' {beside}"
        chosen["img-src"] += f" data: {beside}"
        chosen["font-src"] = f"'self' data: {beside}"
    elif beside:
        chosen["style-src"] += f" {beside}"
    return "; ".join(f"{name} {value.rstrip()}" for name, value in chosen.items())


def to_ui(request: Request, services: Services) -> str | None:
    """Where a browser that asks for / is sent, if somewhere else (settings api.redirect.to.ui, api.redirect.ui.path)."""
    if path_parts(request) or request.method not in ("GET", "HEAD") or not from_browser(request):
        return None
    return str(services.settings["api.redirect.ui.path"]) if services.settings["api.redirect.to.ui"] else None


async def _caller(request: Request, callers: Callers) -> Caller | None:
    """None: nobody who could be shown more than the document. Who was looked for already is not again: each time counts against limits."""
    if CALLER in request.scope:
        found: Caller | None = request.scope[CALLER]
        return found
    try:
        return await callers.of(request)
    except (Refused, StoreError, ViewsError):
        return None

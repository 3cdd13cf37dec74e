"""GET /v1/scripts/<name or token>: what a shell runs, answered before anybody is asked who they are.

    <token>     makes the machine that runs it a host: curl -sS http://<server>/v1/scripts/<token> | sh
    agent.pyz   the agent as one file, which that script runs
    bootstrap   fetches the config item `configscripts` with an agent's keys, and has its updater fetch the others
"""

from __future__ import annotations

import shlex
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from commands.errors import NotFound
from commands.logic.registration_tokens import REGISTRATION_TOKEN
from gateway.access.callers import Callers
from gateway.errors import error_document, error_headers
from gateway.joining.agent_file import NAME, AgentFile
from gateway.joining.shown import UNREACHABLE, is_localhost
from gateway.request import VERSION, base_url, client_ip, path_parts
from gateway.services import Services

AGENT_IMAGE, REGISTER_URL = "agent.image", "agent.instance.register.url"

_HERE = Path(__file__).parent


def is_for(request: Request) -> bool:
    """Whether the request asks for a script."""
    parts = path_parts(request)
    return len(parts) >= 2 and parts[0].lower() == VERSION and parts[1].lower() == "scripts" and request.method in ("GET", "HEAD")


async def answer(services: Services, callers: Callers, request: Request, headers: dict[str, str]) -> Response:
    """The script; where it can't be given, one that says why: a shell reads it mostly."""
    try:
        named = next(iter(path_parts(request)[2:]), "")
        if named == NAME:
            return _file(await services.agent_files.get(), request, headers)
        return PlainTextResponse(await _script(services, callers, request, named), headers=headers)
    except Exception as error:  # the boundary, as for all else under /v1
        document = error_document(error)
        told = shlex.quote(f"Corral: {document['message']}")
        script = f"#!/bin/sh\nprintf '%s\\n' {told} >&2\nexit 1\n"
        return PlainTextResponse(script, document["status"], headers | error_headers(document["status"]))


async def _script(services: Services, callers: Callers, request: Request, named: str) -> str:
    if named.lower() == "bootstrap":
        return _with({"CATTLE_CONFIG_URL": _url(services, request)}, "bootstrap.sh", keep=True)
    url = _url(services, request)
    if await callers.registering(named) is None:
        raise NotFound("there is no such script: it is no valid registration token, or its time is over. See /v1/registrationtokens")
    if is_localhost(url):
        raise NotFound(f"{UNREACHABLE}: ask under the name or address by which it does")
    variables = {
        "CATTLE_URL": url,
        "CATTLE_REGISTRATION_ACCESS_KEY": REGISTRATION_TOKEN,
        "CATTLE_REGISTRATION_SECRET_KEY": named,
        "CATTLE_AGENT_IP": _address_of(client_ip(request, services.settings)),
        "CATTLE_AGENT_IMAGE": str(services.settings[AGENT_IMAGE]),
        "CORRAL_AGENT_SHA256": (await services.agent_files.get()).sha256,
    }
    return _with(variables, "agent.sh", "join.sh")


def over_ssh() -> str:
    """What the server runs on a machine that it logged in to."""
    return "".join((_HERE / name).read_text() for name in ("agent.sh", "over_ssh.sh"))


def _file(file: AgentFile, request: Request, headers: dict[str, str]) -> Response:
    """The same bytes for as long as this server's code is the same: who has them already is told so."""
    own = headers | {"ETag": f'"{file.sha256}"', "Cache-Control": "no-cache"}
    if file.sha256 in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=own)
    return Response(file.content, media_type="application/zip", headers=own)


def _url(services: Services, request: Request) -> str:
    return str(services.settings[REGISTER_URL]) or f"{base_url(request, services.settings)}/{VERSION}"


def _address_of(client: str) -> str:
    """The client's own: of those that proxies noted the first, and without what IPv6 puts before IPv4."""
    first = client.partition(",")[0].strip()
    return first.removeprefix("::ffff:") if "." in first else first


def _with(variables: dict[str, str], *names: str, keep: bool = False) -> str:
    """A script with its variables. `keep`: what the shell that runs it has already is kept."""

    def line(variable: str, value: str) -> str:
        quoted = shlex.quote(value)
        return f"{variable}=${{{variable}:-{quoted}}}" if keep else f"{variable}={quoted}"

    set_, exported = "\n".join(line(*each) for each in variables.items()), " ".join(variables)
    return f"#!/bin/sh\n{set_}\nexport {exported}\n{''.join((_HERE / name).read_text() for name in names)}"

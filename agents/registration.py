"""How an agent finds its place: its row on the server (made when there is none), its number, and where NATS is.

Over Cattle's HTTP API; functions here block.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

SECONDS = 10
_NUMBER = re.compile(r"(?:1a)?(\d+)")


class RegistrationRefused(Exception):
    """The server will not have this agent: the text says why and what to do; trying again does not help."""


class ServerAway(Exception):
    """The server does not answer now: try later."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key of an account that may register agents (with security off none is needed)."""

    access_key: str
    secret_key: str

    @property
    def header(self) -> str:
        return "Basic " + base64.b64encode(f"{self.access_key}:{self.secret_key}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Place:
    """What an agent needs to know to work."""

    number: int
    nats: str
    created: bool
    """Whether the row was made now."""


def register(url: str, uuid: str, name: str, kind: str, credentials: Credentials | None = None, tls: ssl.SSLContext | None = None) -> Place:
    """Finds or creates the agent with this uuid. Raises RegistrationRefused, ServerAway."""
    server = Server(url, credentials, tls)
    nats = nats_address(server.get("corral/info"), server.base)
    found = server.find(uuid)
    if found is not None:
        return Place(_number(found, server.base), nats, created=False)
    body = {"uri": f"event://{uuid}", "uuid": uuid, "name": name, "kind": kind, "managedConfig": False}
    created = server.create("v1/agents", body, {"_plainId": "true"})
    if created is None:
        # Somebody was faster (an earlier try of ours, say), or the uuid belongs to a removed agent.
        created = server.find(uuid)
        if created is None:
            hint = "it was removed. Start this one with another uuid or an empty folder"
            raise RegistrationRefused(f"{server.base} knows agent uuid {uuid} but does not list it: {hint}")
        return Place(_number(created, server.base), nats, created=False)
    return Place(_number(created, server.base), nats, created=True)


def nats_address(info: dict[str, Any], base: str) -> str:
    """Where the server says NATS is; an address that is good only on the server's own machine is read as that machine's."""
    told = info.get("nats")
    if not isinstance(told, str) or not told:
        raise RegistrationRefused(f"{base}/corral/info tells no address of NATS: give it with --nats")
    parts, server = urlsplit(told), urlsplit(base).hostname or ""
    if not _local(parts.hostname or "") or _local(server):
        return told
    host = f"[{server}]" if ":" in server else server
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return urlunsplit(parts._replace(netloc=f"{user}{host}:{parts.port or 4222}"))


class Server:
    """The few requests, with their errors sorted into "not now" and "never"."""

    def __init__(self, url: str, credentials: Credentials | None, tls: ssl.SSLContext | None = None) -> None:
        self.base = url.rstrip("/").removesuffix("/v1")
        self._credentials = credentials
        if urlsplit(self.base).scheme not in ("http", "https") or not urlsplit(self.base).hostname:
            raise RegistrationRefused(f"{url!r} is no address of a server: it must look like http://server:8080")
        self._opener = opener_for(self.base, tls)

    def find(self, uuid: str) -> dict[str, Any] | None:
        listed = self.get("v1/agents", uuid=uuid, _plainId="true").get("data") or []
        return next((each for each in listed if each.get("uuid") == uuid and not each.get("removed")), None)

    def create(self, path: str, body: dict[str, Any], query: dict[str, str]) -> dict[str, Any] | None:
        """None: there is one with what only one may have."""
        return self._request(path, query, body, taken=(409, 422))

    def get(self, path: str, **query: str) -> dict[str, Any]:
        answer = self._request(path, query, None)
        if answer is None:
            raise AssertionError("only a create can find its place taken")
        return answer

    def _request(self, path: str, query: dict[str, str], body: dict[str, Any] | None, taken: tuple[int, ...] = ()) -> dict[str, Any] | None:
        address = f"{self.base}/{path}" + (f"?{urlencode(query)}" if query else "")
        request = urllib.request.Request(address, headers={"Accept": "application/json"})  # noqa: S310 - the scheme was checked
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if self._credentials is not None:
            request.add_header("Authorization", self._credentials.header)
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                document = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                words = said(error)
            if error.code in taken and ("NotUnique" in words or "Conflict" in words):
                return None
            if error.code in (401, 403):
                wanted = "give the API key of an account that may register agents, or a registration token that is in force"
                raise RegistrationRefused(f"{address} answered {words}: {wanted}") from None
            if error.code >= 500 or error.code == 429:
                raise ServerAway(f"{address} answered {words}") from None
            raise RegistrationRefused(f"{address} answered {words}") from None
        except OSError as error:
            raise ServerAway(f"{address} does not answer: {getattr(error, 'reason', error)}") from None
        except ValueError:
            raise RegistrationRefused(f"{address} did not answer JSON: is this a Corral server?") from None
        if not isinstance(document, dict):
            raise RegistrationRefused(f"{address} did not answer a JSON object: is this a Corral server?")
        return document


def _number(row: dict[str, Any], base: str) -> int:
    match = _NUMBER.fullmatch(str(row.get("id", "")))
    if match is None:
        raise RegistrationRefused(f"{base} gave the agent an id that is none: {row.get('id')!r}")
    return int(match[1])


def opener_for(url: str, tls: ssl.SSLContext | None = None) -> urllib.request.OpenerDirector:
    """A proxy is not asked for what is on this machine. `tls`: whose certificates are believed; None: those of the system."""
    here = _local(urlsplit(url).hostname or "")
    proxies = [urllib.request.ProxyHandler({})] if here else []
    return urllib.request.build_opener(*proxies, urllib.request.HTTPSHandler(context=tls))


def said(error: urllib.error.HTTPError) -> str:
    """What the answer that is an error says, in a line."""
    try:
        document = json.loads(error.read())
        parts = [str(document[key]) for key in ("code", "message", "detail", "fieldName") if document.get(key)]
    except (ValueError, OSError, TypeError, AttributeError):
        parts = []
    return " ".join([str(error.code), *parts])


def _local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified

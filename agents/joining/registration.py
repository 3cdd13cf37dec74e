"""How an agent finds its place: its row on the server (made when there is none), its number, and where NATS is.

Over Cattle's HTTP API; functions here block.
"""

from __future__ import annotations

import json
import re
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from agents.joining.api import Answered, Api, BadAddress, NoAnswer, in_url, is_local
from agents.joining.credentials import Credentials

Json = dict[str, Any]

WANTED = "give the API key of an account that may register agents, or a registration token that is in force"

_NUMBER = re.compile(r"(?:1a)?(\d+)")


class RegistrationRefused(Exception):
    """The server will not have this agent: the text says why and what to do; trying again does not help."""


class ServerAway(Exception):
    """The server does not answer now: try later."""


@dataclass(frozen=True, slots=True)
class Place:
    """What an agent needs to know to work."""

    number: int
    nats: str
    created: bool
    """Whether the row was made now."""
    told: Json = field(default_factory=dict)
    """What the server says of itself, as of NATS' keys and certificates."""


def register(url: str, uuid: str, name: str, kind: str, credentials: Credentials | None = None, tls: ssl.SSLContext | None = None) -> Place:
    """Finds or creates the agent with this uuid. Raises RegistrationRefused, ServerAway."""
    server = Server(url, credentials, tls)
    told = server.get("corral/info")
    nats = nats_address(told, server.base)
    found = server.find(uuid)
    if found is not None:
        return Place(_number(found, server.base), nats, False, told)
    body = {"uri": f"event://{uuid}", "uuid": uuid, "name": name, "kind": kind, "managedConfig": False}
    created = server.create("v1/agents", body, {"_plainId": "true"})
    if created is None:
        # Somebody was faster (an earlier try of ours, say), or the uuid belongs to a removed agent.
        created = server.find(uuid)
        if created is None:
            hint = "it was removed. Start this one with another uuid or an empty folder"
            raise RegistrationRefused(f"{server.base} knows agent uuid {uuid} but does not list it: {hint}")
        return Place(_number(created, server.base), nats, False, told)
    return Place(_number(created, server.base), nats, True, told)


def register_key(url: str, number: int, key: str, credentials: Credentials | None, tls: ssl.SSLContext | None = None) -> None:
    """The public half of the nkey with which this agent connects from now on. Raises RegistrationRefused, ServerAway."""
    Server(url, credentials, tls).create("corral/nats/keys", {"key": key, "agentId": f"1a{number}"}, {})


def nats_address(info: dict[str, Any], base: str) -> str:
    """Where the server says NATS is; an address that is good only on the server's own machine is read as that machine's."""
    told = info.get("nats")
    if not isinstance(told, str) or not told:
        raise RegistrationRefused(f"{base}/corral/info tells no address of NATS: give it with --nats")
    parts, server = urlsplit(told), urlsplit(base).hostname or ""
    if not is_local(parts.hostname or "") or is_local(server):
        return told
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return urlunsplit(parts._replace(netloc=f"{user}{in_url(server)}:{parts.port or 4222}"))


class Server:
    """The few requests, with their errors sorted into "not now" and "never". `wanted`: what is to be done where it lets nobody in."""

    def __init__(self, url: str, credentials: Credentials | None, tls: ssl.SSLContext | None = None, wanted: str = WANTED) -> None:
        self._wanted = wanted
        self.base = url.rstrip("/").removesuffix("/v1")
        try:
            self._api = Api(self.base, credentials, tls)
        except BadAddress as error:
            raise RegistrationRefused(str(error)) from None

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
        try:
            document = json.loads(self._api.ask("GET" if body is None else "POST", path, query, body))
        except Answered as error:
            if error.status in taken and ("NotUnique" in error.words or "Conflict" in error.words):
                return None
            if error.status in (401, 403):
                raise RegistrationRefused(f"{error}: {self._wanted}") from None
            if error.status >= 500 or error.status == 429:
                raise ServerAway(str(error)) from None
            raise RegistrationRefused(str(error)) from None
        except NoAnswer as error:
            raise ServerAway(str(error)) from None
        except ValueError:
            raise RegistrationRefused(f"{self.base}/{path} did not answer JSON: is this a Corral server?") from None
        if not isinstance(document, dict):
            raise RegistrationRefused(f"{self.base}/{path} did not answer a JSON object: is this a Corral server?")
        return document


def _number(row: dict[str, Any], base: str) -> int:
    match = _NUMBER.fullmatch(str(row.get("id", "")))
    if match is None:
        raise RegistrationRefused(f"{base} gave the agent an id that is none: {row.get('id')!r}")
    return int(match[1])

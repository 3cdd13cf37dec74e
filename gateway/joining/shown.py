"""What documents show of who joins: a token where a registration token is active, and a machine's keys to that machine alone. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from commands.catalogue.model import ResourceType
from commands.logic.registration_tokens import REGISTRATION_TOKEN, token
from commands.resource import Resource
from gateway.request import ApiRequest

Json = dict[str, Any]

REGISTER = "register"

KEYS = ("key", "accessKey", "secretKey")
"""Of a register: what only who brings its key may read."""


UNREACHABLE = "another machine can't reach this server as localhost"


def gives_token(resource: Resource) -> bool:
    return resource.kind == REGISTRATION_TOKEN and resource.state == "active" and not resource.removed


def show_token(document: Json, request: ApiRequest, public: Any, secret: Any, now: int) -> None:
    """Adds token and registrationUrl to an active registration token. `now`: milliseconds."""
    if isinstance(public, str) and isinstance(secret, str):
        text = token(public, secret, now)
        document |= {"token": text, "registrationUrl": script_url(request, text)}
        document["links"] = {**document["links"], "registrationUrl": script_url(request, text)}


def script_url(request: ApiRequest, text: str) -> str:
    """A token's letters are told apart, unlike those of all other paths."""
    return f"{request.link('scripts')}/{text}"


def is_localhost(url: str) -> bool:
    return urlsplit(url).hostname == "localhost"


def hide_keys(document: Json, resource: Resource, request: ApiRequest) -> None:
    """Takes the keys out of a register's document, unless the request says the key under which the machine registered."""
    key = resource.row.get("key")
    if resource.kind != REGISTER or (key is not None and any(item.get("key") == key for item in request.items)):
        return
    for place in (document, *_fields_in(document)):
        for name in KEYS:
            place.pop(name, None)


def guesses_keys(type: ResourceType, name: str, modifier: str, request: ApiRequest) -> bool:
    """Whether a list would tell something of keys to who does not know them: all but the whole key does, letter by letter."""
    return name == "key" and (type.parent or type.name) == "genericObject" and modifier != "eq" and not request.caller.sees_all


def _fields_in(document: Json) -> list[Json]:
    """data.fields, as a map of this document's own."""
    data = document.get("data")
    fields = data.get("fields") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(fields, dict):
        return []
    own = dict(fields)
    document["data"] = {**data, "fields": own}
    return [own]

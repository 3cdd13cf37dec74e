"""What the herd is answered: an engine's own status and body, and which host's engine it was. Pure."""

from __future__ import annotations

import re
from typing import Any

from commands.logic.placement import NOT_PLACED
from commands.resource import Resource
from gateway.documents import transitioning
from gateway.services import Services
from projections.rows import engine_id

Json = dict[str, Any]

_SAID = re.compile(r"Docker says: (.*?) \(status ([0-9]{3})\)", re.DOTALL)
"""As agents tell what their engine refused (agents/docker/engine.py), and the log keeps it."""

DONE, NO_ROOM, FAILED, UNFINISHED = 204, 409, 500, 504


def created(host: str, id: str) -> Json:
    return _answer(host, 201, {"Body": {"Id": id, "Warnings": None}})


def told(host: str, body: Any) -> Json:
    return _answer(host, 200, {"Body": body})


def done(host: str) -> Json:
    """Also of what was so already."""
    return _answer(host, DONE, "")


def refused(host: str, why: str, status: int | None = None) -> Json:
    """`status`: where it is known, and no engine's. Else what the engine said, or that it failed."""
    said = _SAID.search(why)
    if status is None and said is not None:
        return _answer(host, int(said[2]), {"Body": {"message": said[1]}})
    return _answer(host, status or (NO_ROOM if why.startswith(NOT_PLACED) else FAILED), {"Body": {"message": why}})


def unfinished(services: Services, host: str, resource: Resource, id: str, seconds: float) -> Json:
    """It goes on by itself."""
    waits = transitioning(services.catalogue, resource)["transitioningMessage"] or "nothing that it tells"
    why = f"{id} is {resource.state} for more than {seconds:g} seconds and goes on: it waits for {waits!r}. See `corral why {id}`"
    return refused(host, f"{why}, or ask with a longer timeout", UNFINISHED)


def why_not(resource: Resource) -> str:
    """It did not get where it was to."""
    return str(resource.fields.get("transitioningMessage") or f"{resource.stream} is {resource.state}, and nothing tells why")


def id_of(resource: Resource, own: str) -> str:
    """Its engine's; where an engine has none, Corral's own."""
    return engine_id(resource) or own


def _answer(host: str, status: int, response: Any) -> Json:
    return {"Response": response, "dockerInstance": host, "statusCode": status}

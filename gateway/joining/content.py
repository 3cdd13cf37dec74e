"""/v1/configcontent/<item>: GET gives an agent the files of an item as an archive, PUT (or POST) says which version it has applied.

The version is <requested version>-<hash of the files>: what is in force is told by the files themselves. What was applied is kept in the
row that demands the item of the agent (configItemStatus), which is written only when that changes.
"""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from commands.catalogue.fields import date_text
from commands.catalogue.ids import api_id, number_of
from commands.config.archive import LATEST, Version, archive, read_version
from commands.config.sources import Item
from commands.errors import NotFound, Refused
from commands.resource import Resource, split_stream
from gateway.bus.rules import agents_of
from gateway.current import current
from gateway.errors import MethodNotAllowed
from gateway.request import ApiRequest
from gateway.responses import json_response
from gateway.services import Services
from gateway.writes import READ_YOUR_WRITES

ROW = "configItemStatus"

CONTENT = "configContent"

CATCH_UP = 5.0
"""Seconds for which an agent that is new waits for the views to hold all that is in the log."""

AGENT = "agent"
"""The kind of agents' accounts."""


async def answer(services: Services, request: ApiRequest, name: str, headers: dict[str, str]) -> Response:
    """Raises Refused."""
    type = services.catalogue.type(CONTENT)
    if not request.caller.sees(type):
        raise NotFound(f"there is no type {type.plural}")
    method = "PUT" if request.method == "POST" else request.method
    if method == "DELETE" or method not in request.caller.methods(type).resource:
        raise MethodNotAllowed(request.method, type.plural)
    agent = await _agent(services, request)
    item, row = services.content.item(name), await _row(services, agent, name)
    if row is None:
        raise NotFound(f"item {name} is not demanded of agent {agent}: see /v1/configitemstatuses?agentId=")
    if item is None:
        raise NotFound(f"item {name} has no content: its files are to be in a folder of that name in $CORRAL_HOME/config-content")
    if request.method == "GET":
        version = Version(row.row.get("requestedVersion") or 0, item.source)
        disposition = {"Content-Disposition": f'attachment; filename="{name}-{version}.tar.gz"'}
        return Response(archive(item, version, request.param("current")), 200, headers | disposition, "application/x-gzip")
    applied, position = await _apply(services, request, item, row)
    document = {
        "id": name, "type": CONTENT, "links": {"self": request.link(CONTENT, name)}, "actions": {},
        "agentId": str(agent) if _plain(request) else api_id("agent", agent, services.catalogue),
        "current": None, "version": str(applied),
    }  # fmt: skip
    return json_response(document, 200, headers | {"X-Corral-Position": str(position)})


async def _apply(services: Services, request: ApiRequest, item: Item, row: Resource) -> tuple[Version, int]:
    """Keeps the version that the agent says. What is older than it said before comes late, and changes nothing."""
    said = str(request.items[0].get("version") or "")
    if not said:
        raise Refused("MissingRequired", "say which version is applied: what the archive's file `version` says, or latest", "version")
    version = Version(row.row.get("requestedVersion") or 0, item.source) if said == LATEST else read_version(said)
    if version is None:
        raise Refused("InvalidFormat", f"{said!r} is no version of an item: say what the archive's file `version` says", "version")
    if version.number > (row.row.get("requestedVersion") or 0):
        raise Refused("MaxLimitExceeded", f"version {version.number} of {item.name} was never requested", "version")
    if version.number < (row.row.get("appliedVersion") or 0):
        return version, row.position
    wanted: dict[str, Any] = {"appliedVersion": version.number, "sourceVersion": version.source}
    if all(row.row.get(key) == value for key, value in wanted.items()):
        return version, row.position
    wanted["appliedUpdated"] = date_text(services.store.now())
    outcome = await services.commands.update(ROW, row.id, wanted, request.actor)
    await services.views.wait_for(outcome.position, READ_YOUR_WRITES)
    return version, outcome.position


async def _row(services: Services, agent: int, name: str) -> Resource | None:
    """What demands the item of the agent: by who holds its name, as the log says, and not the views: they may not be there yet."""
    holder = await services.store.holder(f"{ROW}.name+agentId", orjson.dumps([name, agent]).decode())
    seen = await current(services, services.catalogue.type(ROW), split_stream(holder)[1]) if holder else None
    return seen.resource if seen is not None else None


async def _agent(services: Services, request: ApiRequest) -> int:
    """The one that the caller's account is of, or that agentId names."""
    type, given = services.catalogue.type("agent"), request.items[0].get("agentId")
    if given not in (None, ""):
        number = number_of(str(given), plain=_plain(request))
        seen = await current(services, type, number) if number is not None else None
        if number is None or seen is None or not request.caller.sees_row(type, seen.resource):
            raise Refused("InvalidReference", f"there is no agent {given}", "agentId")
        return number
    mine = await agents_of(services, request.caller) if request.caller.kind == AGENT else []
    if not mine and request.caller.kind == AGENT:
        await services.views.wait_for(await services.store.head(), CATCH_UP)
        mine = await agents_of(services, request.caller)
    if len(mine) != 1:
        raise Refused("MissingRequired", "say for which agent: agentId", "agentId")
    return mine[0]


def _plain(request: ApiRequest) -> bool:
    """An agent's account knows numbers alone."""
    return request.plain_ids or request.caller.kind == AGENT

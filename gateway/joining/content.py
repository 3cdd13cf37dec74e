"""/v1/configcontent/<item>: GET gives an agent the files of an item as an archive, PUT (or POST) says which version it has applied.

The version is <requested version>-<hash of the files>: what is in force is told by the files themselves. What was applied is kept in the
row that demands the item of the agent (configItemStatus), which is written only when that changes.
"""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from commands.catalogue.fields import date_text
from commands.catalogue.ids import api_id
from commands.config.archive import LATEST, Version, archive, read_version
from commands.config.sources import Item
from commands.errors import NotFound, Refused
from commands.resource import Resource, split_stream
from gateway.access.agents import agent_of
from gateway.current import current
from gateway.errors import MethodNotAllowed
from gateway.request import ApiRequest
from gateway.responses import json_response
from gateway.services import Services
from gateway.writes import READ_YOUR_WRITES

ROW = "configItemStatus"

CONTENT = "configContent"


async def answer(services: Services, request: ApiRequest, name: str, headers: dict[str, str]) -> Response:
    """Raises Refused."""
    type = services.catalogue.type(CONTENT)
    if not request.caller.sees(type):
        raise NotFound(f"there is no type {type.plural}")
    method = "PUT" if request.method == "POST" else request.method
    if method == "DELETE" or method not in request.caller.methods(type).resource:
        raise MethodNotAllowed(request.method, type.plural)
    agent = await agent_of(services, request.caller, request.one().get("agentId"), plain=request.plain_ids)
    if agent is None:
        raise Refused("MissingRequired", "say for which agent: agentId", "agentId")
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
        "agentId": str(agent) if request.plain_ids else api_id("agent", agent, services.catalogue),
        "current": None, "version": str(applied),
    }  # fmt: skip
    return json_response(document, 200, headers | {"X-Corral-Position": str(position)})


async def _apply(services: Services, request: ApiRequest, item: Item, row: Resource) -> tuple[Version, int]:
    """Keeps the version that the agent says. What is older than it said before comes late, and changes nothing."""
    said = str(request.one().get("version") or "")
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

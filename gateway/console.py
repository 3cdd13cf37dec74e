"""POST /v1/virtualmachines/1i5?action=console: where its screen is now. Its agent is asked; nothing is recorded."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from commands.catalogue.ids import api_id
from commands.catalogue.model import ResourceType
from commands.errors import NotFound, Refused, a
from commands.logic.payload import console
from commands.resource import Resource
from commands.turns.fleet import Fleet
from commands.turns.world import World
from gateway.asking import Asking
from gateway.documents import Documents
from gateway.live.asking import AgentAway
from gateway.request import ApiRequest
from gateway.resources import found
from gateway.services import Services
from gateway.writes import Answer

Json = dict[str, Any]

ACTION = "console"
SECONDS = 5.0
"""Cattle's: not asked again."""
FORMAT = "console.url.format."
"""Settings: by the kind of a console, the page that shows it."""

_PLACE = re.compile(r"\$\{([A-Za-z]+)\}")


async def access(services: Services, asking: Asking | None, request: ApiRequest, type: ResourceType, text: str) -> Answer:
    """Raises Refused."""
    if not request.caller.acts(type) or ACTION not in type.actions:
        raise Refused("InvalidAction", f"{a(type.name)} has no action {ACTION}")
    instance = await found(services, request, type, text)
    if ACTION not in Documents(services.catalogue, request).actions(type, instance):
        why = "while it runs, and of a host that shows screens" if instance.state == "running" else f"while it is {instance.state}"
        raise Refused("ActionNotAvailable", f"{instance.name} has no console {why}")
    if asking is None:
        raise AgentAway("this server has no connection to NATS, over which agents are asked: ask another one")
    host = await _host(services, type, instance)
    agent = host.row.get("agentId") if host is not None else None
    if host is None or agent is None:
        raise NotFound(f"{instance.name} is on no host that an agent speaks for")
    data = console(World(services.catalogue, {}, Fleet()), host, instance)
    told = await asking.ask(agent, "console.access", data, SECONDS, {"correlation": request.correlation, "stream": instance.stream})
    if not told.get("kind"):
        raise NotFound(f"{instance.name} has no console")
    return Answer(200, _document(services, request, type, instance, told), instance.position)


async def _host(services: Services, type: ResourceType, instance: Resource) -> Resource | None:
    """The one that it is placed on."""
    hosts = (await services.views.linked(type.links["hosts"], [instance.id])).get(instance.id)
    return hosts[-1].resource if hosts else None


def _document(services: Services, request: ApiRequest, type: ResourceType, instance: Resource, told: Json) -> Json:
    kind = services.catalogue.type("instanceConsole")
    links = {"self": request.link(type.plural, api_id(instance.type, instance.id, services.catalogue))}
    page = services.settings.get(f"{FORMAT}{told['kind']}")
    if page:
        links["view"] = filled(str(page), told)
    return {"id": None, "type": kind.name, "links": links, "actions": {}, **{name: told.get(name) for name in kind.fields}}


def filled(page: str, values: Json) -> str:
    """Its ${name}s filled with the values; what has none is left empty."""
    return _PLACE.sub(lambda place: quote(str(values.get(place[1]) or ""), safe=""), page)

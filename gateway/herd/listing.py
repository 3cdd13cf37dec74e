"""What there is on hosts, as their engines say just now: containers and images, of one host or of all that are registered."""

from __future__ import annotations

from functools import partial

from agents.live import Json, LiveError
from commands.errors import NotFound, Refused
from commands.resource import Resource
from gateway.errors import MethodNotAllowed
from gateway.herd import answers, hosts
from gateway.live.asking import Asker
from gateway.live.lists import listed, of_each
from gateway.request import ApiRequest
from gateway.services import Services
from projections.query import Query

OWNER = "corral.instance.uuid"
"""The label by which a container is known as an instance's (agents/docker/container.py)."""
CONTAINERS = "containers"


class Listing:
    """Of one server."""

    def __init__(self, services: Services, asker: Asker | None) -> None:
        self._services, self._asker = services, asker

    async def of(self, request: ApiRequest, what: str, ref: str | None, *, every: bool) -> Json:
        """Of the host that is named, of the first one that is registered, or of every one: {what: [an answer each]}. Raises Refused."""
        type = self._services.catalogue.type(hosts.HOST)
        if not request.caller.sees(type) or "GET" not in request.caller.methods(type).collection:
            raise MethodNotAllowed(f"list {what}", type.plural)
        if ref is not None:
            return await self._one(request, what, await hosts.named(self._services, request, ref))
        there = [each.resource for each in await hosts.active(self._services, account=request.caller.scope)]
        if every:
            return {what: await of_each(there, partial(self._one, request, what))}
        if not there:
            raise NotFound("there is no active Docker host. Add one: corral agent --help; or register it")
        return await self._one(request, what, there[0])

    async def _one(self, request: ApiRequest, what: str, host: Resource) -> Json:
        name = hosts.name_of(self._services.catalogue, host)
        try:
            found = await listed(self._asker, host, name, what, request.caller.scope)
        except LiveError as error:
            return answers.refused(name, str(error))
        except Refused as error:
            return answers.refused(name, str(error.message), error.status)
        return answers.told(name, await self._seen(request, found) if what == CONTAINERS else found)

    async def _seen(self, request: ApiRequest, found: list[Json]) -> list[Json]:
        """Who does not see all sees the containers of their own instances."""
        if request.caller.scope is None:
            return found
        rows = await self._services.views.rows(Query(self._services.catalogue.type("instance"), account=request.caller.scope))
        own = {each.resource.row.get("uuid") for each in rows}
        return [each for each in found if isinstance(labels := each.get("Labels"), dict) and labels.get(OWNER) in own]

"""What there is on hosts, as their engines say just now: containers and images, of one host or of all that are registered."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from agents.live import FAILED, Json, LiveError
from commands.errors import NotFound, Refused
from commands.resource import Resource
from gateway.errors import MethodNotAllowed
from gateway.herd import answers, hosts
from gateway.live.asking import Asker, refusal_of
from gateway.live.queries import frames
from gateway.request import ApiRequest
from gateway.services import Services
from projections.query import Query

SECONDS = 15.0
"""For one host's answer."""
AT_ONCE = 50
"""Hosts that are asked at the same time for one request."""
OWNER = "corral.instance.uuid"
"""The label by which a container is known as an instance's (agents/docker/container.py)."""
CONTAINERS = "containers"
MOST = 100_000
"""Of one host. An agent that tells of more is not to fill this server's memory."""


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
            throttle = asyncio.Semaphore(AT_ONCE)

            async def one(host: Resource) -> Json:
                async with throttle:
                    return await self._one(request, what, host)

            return {what: await asyncio.gather(*map(one, there))}
        if not there:
            raise NotFound("there is no active Docker host. Add one: corral agent --help; or register it")
        return await self._one(request, what, there[0])

    async def _one(self, request: ApiRequest, what: str, host: Resource) -> Json:
        name = hosts.name_of(self._services.catalogue, host)
        try:
            async with asyncio.timeout(SECONDS):
                listed = await self._asked(request, what, host, name)
        except TimeoutError:
            return answers.refused(name, f"{name} did not list its {what} within {SECONDS:g} seconds", answers.UNFINISHED)
        except LiveError as error:
            return answers.refused(name, str(refusal_of(error).message))
        except Refused as error:
            return answers.refused(name, str(error.message), error.status)
        return answers.told(name, await self._seen(request, listed) if what == CONTAINERS else listed)

    async def _asked(self, request: ApiRequest, what: str, host: Resource, name: str) -> list[Json]:
        agent = host.row.get("agentId")
        if self._asker is None or not isinstance(agent, int):
            lacks = "this server has no NATS, over which hosts are asked" if self._asker is None else f"{name} has no agent"
            raise Refused("Service Unavailable", lacks, status=503)
        listed: list[Json] = []
        about: Json = {"uuid": host.row.get("uuid"), "kind": host.kind}
        asking = self._asker.asked(agent, f"agent-{agent} of {name}", what, {}, about, {}, request.caller.scope)
        async with asking as pipe, aclosing(frames(pipe)) as pieces:
            async for piece in pieces:
                if "data" not in piece:  # the end
                    continue
                told = piece["data"].get("listed")
                if not isinstance(told, list) or not all(isinstance(each, dict) for each in told) or len(listed) + len(told) > MOST:
                    raise LiveError(FAILED, f"what {name} lists is no list of at most {MOST} {what}: look at its agent's log")
                listed += told
        return listed

    async def _seen(self, request: ApiRequest, listed: list[Json]) -> list[Json]:
        """Who does not see all sees the containers of their own instances."""
        if request.caller.scope is None:
            return listed
        rows = await self._services.views.rows(Query(self._services.catalogue.type("instance"), account=request.caller.scope))
        own = {each.resource.row.get("uuid") for each in rows}
        return [each for each in listed if isinstance(labels := each.get("Labels"), dict) and labels.get(OWNER) in own]

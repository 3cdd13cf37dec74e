"""Which instance is meant, where it runs, and which agent answers for it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agents.live import Json
from commands.catalogue.ids import number_of
from commands.errors import Conflict, NotFound
from commands.resource import Resource
from gateway.current import current
from gateway.request import ApiRequest
from gateway.resources import found
from gateway.services import Services

_ENGINE_ID = re.compile(r"[0-9a-f]{4,64}")

FRESH_SECONDS = 0.25
"""For which the views are waited for: who has just started something asks about it next."""


@dataclass(frozen=True, slots=True)
class Place:
    """Of an instance. `title`: its host and agent, as errors name them."""

    agent: int
    host: Resource
    title: str


async def instance_of(services: Services, request: ApiRequest, ref: str) -> Resource:
    """By id (1i54, 54), or by what its engine's id begins with. Raises NotFound, and Conflict where several are meant."""
    type = services.catalogue.type("instance")
    number = int(ref) if ref.isascii() and ref.isdigit() and len(ref) <= 18 else number_of(ref, plain=request.plain_ids)
    if number is not None:
        try:
            return await found(services, request, type, f"{type.prefix}{number}")
        except NotFound:
            if not _ENGINE_ID.fullmatch(ref):
                raise
    if not _ENGINE_ID.fullmatch(ref):
        raise NotFound(f"there is no instance {ref[:60]}: name it by its id (1i54, 54), or by 4 or more first letters of its engine's id")
    seen = await services.views.with_engine_id(ref, account=request.caller.scope)
    if not seen and await services.views.wait_for(await services.store.head(), FRESH_SECONDS):
        seen = await services.views.with_engine_id(ref, account=request.caller.scope)
    if not seen:
        raise NotFound(f"there is no instance with an engine's id that begins with {ref[:80]}")
    if len(seen) > 1:
        named = ", ".join(f"{type.prefix}{each.resource.id}" for each in seen)
        raise Conflict(f"{ref} may be any of {named}: write more of its engine's id, or its id")
    return await found(services, request, type, f"{type.prefix}{seen[0].resource.id}")


async def place_of(services: Services, instance: Resource) -> Place:
    """Where it is now, or was last. Raises Conflict when it is nowhere."""
    await services.views.wait_for(await services.store.head(), FRESH_SECONDS)
    link = services.catalogue.type("instance").links["instanceHostMaps"]
    maps = (await services.views.linked(link, [instance.id])).get(instance.id, [])
    here = [seen.resource for seen in maps if not seen.resource.removed]
    # While it moves it has two: it runs where its map is active, at first the older one.
    here.sort(key=lambda each: (each.state != "active", each.id))
    for each in here:
        seen = await current(services, services.catalogue.type("host"), int(each.row["hostId"]))
        if seen is not None and not seen.resource.removed and isinstance(agent := seen.resource.row.get("agentId"), int):
            host = seen.resource
            return Place(agent, host, f"agent-{agent} of {host.row.get('name') or host.stream}")
    raise Conflict(f"{instance.name} is {instance.state}, and on no host: nobody can be asked about it")


def last_known(instance: Resource) -> Json | None:
    """The engine's document as an agent told it last, with what it did for the instance."""
    document = instance.data.get("dockerInspect")
    return document if isinstance(document, dict) else None


def named(instance: Resource) -> Json:
    """As its agent is told."""
    return {"uuid": instance.row.get("uuid"), "id": instance.id, "name": instance.row.get("name")}

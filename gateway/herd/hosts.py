"""The herd's hosts: which of them may take something new, how many each gets, and which one is meant."""

from __future__ import annotations

from collections.abc import Sequence

from commands.catalogue.catalogue import Catalogue
from commands.errors import Conflict, NotFound, Refused
from commands.resource import ACTIVE, Resource
from gateway.live.finding import place_of
from gateway.request import ApiRequest
from gateway.services import Services
from projections.query import Query
from projections.rows import Seen

HOST = "host"
DOCKER = "docker"


def id_of(catalogue: Catalogue, host: Resource) -> str:
    return f"{catalogue.type(HOST).prefix}{host.id}"


def name_of(catalogue: Catalogue, host: Resource) -> str:
    return str(host.row.get("name") or id_of(catalogue, host))


async def active(services: Services, kind: str = DOCKER, account: int | None = None) -> list[Seen]:
    """That may be given something new, in order of id. `account`: only what it may see."""
    seen = await known(services, kind, account)
    agents = await services.views.get_many("agent", [agent for each in seen if (agent := each.resource.row.get("agentId")) is not None])
    there = {None, *(number for number, agent in agents.items() if agent.resource.state in ACTIVE)}
    return [each for each in seen if each.resource.state in ACTIVE and each.resource.row.get("agentId") in there]


async def known(services: Services, kind: str = DOCKER, account: int | None = None) -> list[Seen]:
    """Registered or not, in order of id."""
    return await services.views.rows(Query(services.catalogue.type(HOST), kind=kind, account=account, show_removed=0))


async def named(services: Services, request: ApiRequest, ref: str) -> Resource:
    """By name, id or uuid. Raises NotFound, and Conflict where several are meant."""
    catalogue = services.catalogue
    seen = [each.resource for each in await known(services, account=request.caller.scope)]
    meant = [each for each in seen if ref in (name_of(catalogue, each), id_of(catalogue, each), each.row.get("uuid"))]
    if not meant:
        names = ", ".join(name_of(catalogue, each) for each in seen) or "none. Add one: corral agent --help"
        raise NotFound(f"there is no Docker host {ref[:60]!r}: there are {names}")
    if len(meant) > 1:
        raise Conflict(f"{ref} may be any of the hosts {', '.join(id_of(catalogue, each) for each in meant)}: name it by its id")
    return meant[0]


async def of(services: Services, instance: Resource) -> str:
    """The name of the host it is on, or was last; "" where it is on none."""
    try:
        return name_of(services.catalogue, (await place_of(services, instance)).host)
    except Conflict:
        return ""


def spread(hosts: Sequence[Seen], count: int) -> list[Resource]:
    """A host for each of so many: numbers differ by at most 1, and those that carry least have the one more. Pure; raises Refused."""
    having_room = [each for each in hosts if (free := each.shown.row.get("computeFree")) is None or int(free) > 0]
    if not having_room:
        why = "all of them are full" if hosts else "none is active. Add one: corral agent --help; or register it"
        raise Refused("Service Unavailable", f"there is no host for it: {why}", status=503)
    order = sorted(having_room, key=lambda each: (each.claimed, each.resource.id))
    return [order[number % len(order)].resource for number in range(count)]

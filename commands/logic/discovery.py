"""What an agent's ping reply tells of: its physical hosts, hosts and pools, created once each, found by uuid ever after."""

from __future__ import annotations

from collections.abc import Iterable

from agents.wire import UNDERLAY
from commands.catalogue.catalogue import Catalogue
from commands.catalogue.fields import number_in
from commands.logic.placement import CAPACITY
from commands.resource import Json, Resource
from commands.turns.answers import Misread, free
from commands.turns.fleet import Fleet
from commands.turns.inorder import KNOWS
from commands.turns.turn import Failure, Turn

WORDS = ("uuid", "type", "kind", "name", "hostUuid", "physicalHostUuid")
"""What an element of an inventory says in text."""

DISCONNECTED = "disconnected"
"""In an agent's data: since when nobody has heard of it, longer than a reconnection takes."""

KINDS = ("physicalHost", "host", "storagePool")
"""What is made of it, in this order."""


def take_inventory(turn: Turn, agent: Resource) -> None:
    """After a ping that was answered in this turn: what it names is created where no row has its uuid, unless that one is purged."""
    bracket = agent.open.get("state")
    reply = turn.answered.get(bracket.pid) if bracket else None
    if reply is None:
        return
    if agent.data.get(DISCONNECTED):
        turn.merge(agent.stream, {"+data": {DISCONNECTED: None}})
    knows_epochs = reply.get("epochs") is True
    if knows_epochs != (agent.data.get(KNOWS) is True):
        turn.merge(agent.stream, {"+data": {KNOWS: knows_epochs}})
    elements = elements_of(reply)
    make_new(turn, turn.fleet, agent, elements)
    for host, physical in moved(turn, turn.fleet, agent, elements):
        turn.change(host, {"physicalHostId": physical})
    for host, underlay in found_elsewhere(turn, turn.fleet, agent, elements):
        turn.change(host, {"data": {UNDERLAY: underlay}})


def make_new(turn: Turn, fleet: Fleet, agent: Resource, elements: Iterable[Json], *, run: bool = True) -> list[Resource]:
    """What no row has the uuid of, and what ties pools to hosts. `run`: as far as its create goes in this turn. Raises Failure."""
    made = []
    for each in elements:
        kind = each["type"]
        host, physical = _find(turn, fleet, "host", each.get("hostUuid")), _find(turn, fleet, "physicalHost", each.get("physicalHostUuid"))
        if kind == "storagePool" and host is None:
            raise Failure(f"agent {agent.name} reports pool {each['uuid']} for host {each.get('hostUuid')!r}, which it does not report")
        known = _find(turn, fleet, kind, each["uuid"])
        if known is None:
            row = _row(turn.catalogue, agent, kind, each)
            if kind == "host":
                row["physicalHostId"] = physical.id if physical else None
            made.append(turn.create(kind, row, kind=each.get("kind") or kind, run=run))
        in_place = host is not None and host.stream not in fleet.resources  # of a host that is purged
        if kind == "storagePool" and host is not None and (known is None or in_place):
            turn.create("storagePoolHostMap", {"storagePoolId": (known or made[-1]).id, "hostId": host.id}, run=run)
    return made


def moved(turn: Turn | None, fleet: Fleet, agent: Resource, elements: Iterable[Json]) -> list[tuple[Resource, int]]:
    """The agent's own hosts, and the physical hosts that they are said to be on now."""
    told = ((each, _find(turn, fleet, "physicalHost", each.get("physicalHostUuid"))) for each in elements if each["type"] == "host")
    hosts = ((_find(turn, fleet, "host", each["uuid"]), physical) for each, physical in told if physical is not None)
    own = ((host, physical) for host, physical in hosts if host is not None and host.row.get("agentId") == agent.id)
    return [(host, physical.id) for host, physical in own if host.row.get("physicalHostId") != physical.id]


def found_elsewhere(turn: Turn | None, fleet: Fleet, agent: Resource, elements: Iterable[Json]) -> list[tuple[Resource, str]]:
    """The agent's own hosts, and the addresses at which the other hosts are to find them from now on."""
    hosts = ((_find(turn, fleet, "host", each["uuid"]), each) for each in elements if each["type"] == "host")
    told = ((host, (each.get("data") or {}).get(UNDERLAY)) for host, each in hosts)
    own = ((host, at) for host, at in told if host is not None and host.row.get("agentId") == agent.id)
    return [(host, at) for host, at in own if isinstance(at, str) and host.data.get(UNDERLAY) != at]


def elements_of(reply: Json) -> list[Json]:
    """What it tells of, each with a uuid; what others hang on comes first."""
    elements = [each for each in reply.get("resources") or () if isinstance(each, dict) and each.get("uuid")]
    return [each for kind in KINDS for each in _of(elements, kind)]


def wrong_inventory(reply: Json) -> str | None:
    """Why the answer to a ping is no inventory; None: it is one. (What has no uuid is passed over.)"""
    resources = reply.get("resources")
    if resources is not None and not isinstance(resources, list):
        return f"resources is {str(resources)[:60]!r}, and not a list"
    for number, each in enumerate(resources or ()):
        if not isinstance(each, dict) or not each.get("uuid"):
            continue
        wrong = next((name for name in WORDS if not isinstance(each.get(name), str | None)), None)
        if wrong is not None:
            return f"resources[{number}].{wrong} is {str(each[wrong])[:60]!r}, and not text"
        data = each.get("data")
        if data is not None and not (isinstance(data, dict) and isinstance(data.get("fields") or {}, dict)):
            return f"resources[{number}].data is {str(data)[:60]!r}, and not a map whose fields are one"
    return None


def _of(elements: Iterable[Json], kind: str) -> list[Json]:
    return [each for each in elements if each.get("type") == kind]


def _find(turn: Turn | None, fleet: Fleet, type_name: str, uuid: str | None) -> Resource | None:
    """One that this turn makes, or one that there is."""
    if not uuid:
        return None
    here = (each for each in (turn.resources.values() if turn else ()) if each.type == type_name and each.row.get("uuid") == uuid)
    return next(here, None) or fleet.by_uuid(type_name, uuid)


def _row(catalogue: Catalogue, agent: Resource, type_name: str, element: Json) -> Json:
    named = agent.data.get("agentResourcesAccountId")
    row: Json = {"agentId": agent.id, "accountId": number_in("account", named) or agent.row.get("accountId")}
    if type_name == "host":
        row |= {"computeFree": CAPACITY, "computeTotal": CAPACITY}
    return {**row, "uuid": element["uuid"], "name": element.get("name"), "data": _described(catalogue, type_name, element)}


def _described(catalogue: Catalogue, type_name: str, element: Json) -> Json:
    try:
        return free(catalogue, catalogue.type(type_name), element.get("data") or {})
    except Misread as wrong:
        raise Failure(f"the agent reports {type_name} {element['uuid']}, whose data can't be taken in: {wrong}") from None

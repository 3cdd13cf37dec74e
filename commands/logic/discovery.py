"""What an agent's ping reply tells of: its physical hosts, hosts and pools, created once each, found by uuid ever after."""

from __future__ import annotations

from collections.abc import Iterable

from commands.answers import Misread, free
from commands.catalogue.fields import number_in
from commands.inorder import KNOWS
from commands.placement import CAPACITY
from commands.resource import Json, Resource
from commands.turn import Failure, Turn

WORDS = ("uuid", "type", "kind", "name", "hostUuid", "physicalHostUuid")
"""What an element of an inventory says in text."""


def take_inventory(turn: Turn, agent: Resource) -> None:
    """After a ping that was answered in this turn: what it names is created where no row has its uuid, whatever its state."""
    bracket = agent.open.get("state")
    reply = turn.answered.get(bracket.pid) if bracket else None
    if reply is None:
        return
    knows_epochs = reply.get("epochs") is True
    if knows_epochs != ((agent.row.get("data") or {}).get(KNOWS) is True):
        turn.merge(agent.stream, {"+data": {KNOWS: knows_epochs}})
    elements = [each for each in reply.get("resources") or () if isinstance(each, dict) and each.get("uuid")]
    named = (agent.row.get("data") or {}).get("agentResourcesAccountId")
    account = number_in("account", named) or agent.row.get("accountId")
    common: Json = {"agentId": agent.id, "accountId": account}
    for each in _of(elements, "physicalHost"):
        _find_or_create(turn, "physicalHost", each, {"accountId": account, "agentId": agent.id})
    for each in _of(elements, "host"):
        physical = _find(turn, "physicalHost", each.get("physicalHostUuid"))
        capacity = {"computeFree": CAPACITY, "computeTotal": CAPACITY}
        host = _find_or_create(turn, "host", each, {**common, **capacity, "physicalHostId": physical.id if physical else None})
        if physical is not None and host.row.get("physicalHostId") != physical.id:
            turn.change(host, {"physicalHostId": physical.id})
    for each in _of(elements, "storagePool"):
        host_of_pool = _find(turn, "host", each.get("hostUuid"))
        if host_of_pool is None:
            raise Failure(f"agent {agent.name} reports pool {each['uuid']} for host {each.get('hostUuid')!r}, which it does not report")
        known = _find(turn, "storagePool", each["uuid"])
        pool = known or _find_or_create(turn, "storagePool", each, common)
        if known is None or host_of_pool.stream not in turn.fleet.resources:  # a new host, in the place of one that is purged
            turn.create("storagePoolHostMap", {"storagePoolId": pool.id, "hostId": host_of_pool.id})


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


def _find(turn: Turn, type_name: str, uuid: str | None) -> Resource | None:
    if not uuid:
        return None
    here = next((each for each in turn.resources.values() if each.type == type_name and each.row.get("uuid") == uuid), None)
    return here or turn.fleet.by_uuid(type_name, uuid)


def _find_or_create(turn: Turn, type_name: str, element: Json, row: Json) -> Resource:
    found = _find(turn, type_name, element["uuid"])
    if found is not None:
        return found
    named = {"uuid": element["uuid"], "name": element.get("name"), "data": _described(turn, type_name, element)}
    return turn.create(type_name, {**row, **named}, kind=element.get("kind") or type_name)


def _described(turn: Turn, type_name: str, element: Json) -> Json:
    try:
        return free(turn.catalogue, turn.catalogue.type(type_name), element.get("data") or {})
    except Misread as wrong:
        raise Failure(f"the agent reports {type_name} {element['uuid']}, whose data can't be taken in: {wrong}") from None

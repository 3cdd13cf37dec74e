"""What an ipsec tunnel service decides: the key that its agent instances share, and the two ports on its host for each of them."""

from __future__ import annotations

from commands.logic import agent_instances, leases
from commands.resource import Resource, leases_of
from commands.turns.turn import Turn
from commands.turns.world import World

KIND = "ipsecTunnelService"

KEY = "ipsecKey"
"""In a service's data: the number of the row (type data) that holds its key."""

KEY_BYTES = "ipsec.psk.byte.length"

PORTS = {"isakmp": 500, "nat": 4500}
"""What an agent instance shows for each host (data.ipsec). Cattle leases two numbers, and then says these."""

LEASED = "ipsecPorts"
"""In an instance's data, for people: its leases, as [host, item]."""


def scope(host: int) -> str:
    return f"host-{host}/hostPort"


def make_key(turn: Turn, service: Resource) -> None:
    """networkService.create: a row named <uuid>/ipsecKey, which no list shows."""
    provider = turn.get("networkServiceProvider", service.row.get("networkServiceProviderId"))
    made = service.data.get(KEY)
    if service.kind != KIND or made is not None or provider is None or provider.kind != agent_instances.PROVIDER:
        return
    value = turn.secret(int(turn.settings[KEY_BYTES])).hex()
    row = turn.create("data", {"name": f"{service.row['uuid']}/{KEY}", "value": value, "visible": False})
    turn.merge(service.stream, {"+data": {KEY: row.id}})


def lease_ports(turn: Turn, nic: Resource) -> None:
    """nic.activate: of an agent instance's first nic, where its provider offers tunnels. Those of hosts that it left are given back."""
    instance = turn.get("instance", nic.row.get("instanceId"))
    if instance is None or nic.row.get("deviceNumber") != 0 or instance.row.get("agentId") is None or not _offers(turn, instance):
        return
    hosts = [each.row["hostId"] for each in turn.children("instanceHostMap", "instanceId", instance.id)]
    has = held(instance)
    wanted = [each for each in has if each[0] in hosts]
    for host in hosts:
        while sum(1 for each in wanted if each[0] == host) < len(PORTS):
            wanted.append((host, leases.free_port(turn, scope(host), [item for _, item in wanted])))
    if sorted(wanted) != sorted(has):
        notes = {"ipsec": {str(host): dict(PORTS) for host in hosts}, LEASED: [list(each) for each in wanted]}
        turn.merge(instance.stream, {"+data": notes}, *leases.swapped(scope, has, wanted))


def release_ports(turn: Turn, nic: Resource) -> None:
    """nic.deactivate, of the first nic."""
    instance = turn.get("instance", nic.row.get("instanceId"))
    if instance is not None and nic.row.get("deviceNumber") == 0 and (has := held(instance)):
        turn.merge(instance.stream, {"+data": {LEASED: []}}, releases=leases.given_back(scope, has))


def held(instance: Resource) -> list[tuple[int, str]]:
    """(host, item) of what the instance has leased."""
    return leases_of(instance, "host", "hostPort")


def _offers(world: World, instance: Resource) -> bool:
    maps = world.having("networkServiceProviderInstanceMap", "instanceId", instance.id)
    providers = (each.row["networkServiceProviderId"] for each in maps if each.row.get("networkServiceProviderId") is not None)
    return any(each.kind == KIND for number in providers for each in world.having("networkService", "networkServiceProviderId", number))

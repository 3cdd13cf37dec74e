"""What published ports decide: the rows that an instance asks for, and the lease of public ports on its host.

A public port is leased with the placement and given back when the instance has stopped: a stopped container binds nothing, so that
another may have the port meanwhile; a later start on the same host takes it again, or fails and says who has it.
"""

from __future__ import annotations

from commands.catalogue.ids import api_id
from commands.catalogue.ports import parse_port
from commands.errors import Refused
from commands.logic import leases, nics
from commands.resource import Json, Resource, leases_of
from commands.turns.turn import Failure, Turn
from commands.turns.world import World

GIVEN = "givenPort"
"""In a port's data: the public port that the host's engine chose. It is no wish, and nobody else has it there while the container runs."""

LEASED = "hostPorts"
"""In an instance's data, for people: its leases, as [host, item]."""


def scope(host: int) -> str:
    return f"host-{host}/port"


def create_all(turn: Turn, instance: Resource) -> None:
    """instance.create: a row for each port of the field `ports`, unless one for the private port is there."""
    present = {_private(each) for each in turn.children("port", "instanceId", instance.id, removed=True)}
    for text in instance.fields.get("ports") or ():
        try:
            spec = parse_port(text)
        except Refused as refused:
            raise Failure(str(refused)) from None
        if (spec.private, spec.protocol) not in present:
            present.add((spec.private, spec.protocol))
            row = {
                "accountId": instance.row.get("accountId"), "instanceId": instance.id,
                "publicPort": spec.public, "privatePort": spec.private, "protocol": spec.protocol,
            }  # fmt: skip
            turn.create("port", row, kind="userPort")


def wanted(world: World, instance: Resource) -> list[str]:
    """The public ports that the instance insists on, as a host's leases name them: 8080/tcp."""
    rows = world.children("port", "instanceId", instance.id)
    return sorted({f"{each.row['publicPort']}/{each.row.get('protocol') or 'tcp'}" for each in rows if insisted(each)})


def insisted(port: Resource) -> bool:
    public = port.row.get("publicPort")
    return public is not None and public != port.data.get(GIVEN)


def held(instance: Resource) -> list[tuple[int, str]]:
    """(host, item) of what the instance has leased."""
    return leases_of(instance, "host", "port")


def taken(world: World, instance: Resource, items: list[str], host: int) -> str | None:
    """Why the host can't have the instance's public ports (`wanted`), if it can't."""
    for item in items:
        holder = world.fleet.holder(scope(host), item)
        if holder not in (None, instance.stream):
            return f"port {item} is taken by {holder or 'an instance that is just being placed'}"
    return None


def claim_all(turn: Turn, instance: Resource) -> None:
    """instance.start, once it has a place: its public ports there are its own until it stops."""
    hosts = [each.row["hostId"] for each in turn.children("instanceHostMap", "instanceId", instance.id)]
    published = wanted(turn, instance)
    for host in hosts:
        if reason := taken(turn, instance, published, host):
            raise Failure(f"{reason} on host {api_id('host', host, turn.catalogue)}: stop that one, or publish another port")
    items = [(host, item) for host in hosts for item in published]
    has = held(instance)
    if sorted(has) != sorted(items):
        turn.merge(instance.stream, {"+data": {LEASED: [list(each) for each in items]}}, *leases.swapped(scope, has, items))


def release_all(turn: Turn, instance: Resource) -> None:
    """The instance has stopped, or never started."""
    if has := held(instance):
        turn.merge(instance.stream, {"+data": {LEASED: []}}, releases=leases.given_back(scope, has))


def take_addresses(turn: Turn, port: Resource) -> None:
    """port.activate: the addresses that it leads from and to, and the public port that the host's engine chose for it."""
    instance = turn.get("instance", port.row.get("instanceId"))
    if instance is None:
        return
    found = nics.by_device(turn, instance)
    inner = [each for nic in found if nic.row.get("deviceNumber") == 0 for each in nics.primary(turn, nic) or nics.addresses(turn, nic)]
    maps = turn.children("instanceHostMap", "instanceId", instance.id)
    outer = [m.row["ipAddressId"] for each in maps for m in turn.having("hostIpAddressMap", "hostId", each.row["hostId"])]
    values: Json = {}
    if inner:
        values["privateIpAddressId"] = inner[0].id
    if outer and port.row.get("publicIpAddressId") not in outer:  # it may have been that of a host where it was before
        values["publicIpAddressId"] = outer[0]
    values |= given_by_docker(turn, port, instance)
    differing = {name: value for name, value in values.items() if port.row.get(name) != value}
    if differing:
        turn.change(port, differing)


def given_by_docker(world: World, port: Resource, instance: Resource) -> Json:
    """Where the host publishes the port, if nobody insisted on a number. Not on a network with a port service, which does that itself."""
    given = (instance.fields.get("dockerPorts") or {}).get("/".join(map(str, _private(port))))
    if not given or not str(given).isdigit() or insisted(port) or has_port_service(world, instance):
        return {}
    return {} if port.row.get("publicPort") == int(given) else {"publicPort": int(given), "data": {GIVEN: int(given)}}


def has_port_service(world: World, instance: Resource) -> bool:
    networks = {each.row.get("networkId") for each in world.children("nic", "instanceId", instance.id)}
    services = (each for number in networks if number is not None for each in world.having("networkService", "networkId", number))
    return any(each.kind == "portService" for each in services)


def forget_addresses(turn: Turn, port: Resource) -> None:
    """port.remove"""
    if any(port.row.get(name) is not None for name in ("publicIpAddressId", "privateIpAddressId")):
        turn.change(port, {"publicIpAddressId": None, "privateIpAddressId": None})


def _private(port: Resource) -> tuple[int | None, str]:
    return port.row.get("privatePort"), port.row.get("protocol") or "tcp"

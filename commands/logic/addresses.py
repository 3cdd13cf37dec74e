"""What subnets and ip addresses decide: ranges, and the lease of one address of a range. A lease is a claim of the address's stream."""

from __future__ import annotations

from commands.catalogue import subnets
from commands.resource import Resource, leases_of
from commands.turns import purges
from commands.turns.turn import Failure, Turn
from commands.turns.world import World
from eventstore import Claim, Release

NO_ADDRESS = "Failed to allocate IP from subnet : IP allocation error"

LEASED = "leased"
"""In an address's data: its lease, as [subnet, item]. The row's own subnetId may be changed meanwhile."""


def scope(subnet: int) -> str:
    return f"subnet-{subnet}/address"


def fill_range(turn: Turn, subnet: Resource) -> None:
    """subnet.create: gateway, first and last address, each where none was given."""
    try:
        computed = subnets.computed(subnet.row["networkAddress"], subnet.row.get("cidrSize"))
    except (KeyError, ValueError) as error:
        raise Failure(f"{subnet.name} has no usable network address: {error}") from None
    missing = {name: value for name, value in computed.items() if subnet.row.get(name) is None}
    if missing:
        turn.change(subnet, missing)


def range_of(subnet: Resource) -> subnets.Range:
    """What the subnet gives out; nothing where its range is unusable."""
    try:
        return subnets.range_of(subnet.row["startAddress"], subnet.row["endAddress"])
    except (KeyError, ValueError):
        return subnets.NOTHING


def has_room(world: World, subnet: Resource) -> bool:
    """Whether it seems to have an address left: placement prefers such a one."""
    return world.fleet.held(scope(subnet.id)) < range_of(subnet).size


def lease(turn: Turn, address: Resource) -> None:
    """ipAddress.activate: an address of its subnet. The one it had, or was created with, where that is free; else any that is."""
    number = address.row.get("subnetId")
    if number is None:
        return
    had, has = address.row.get("address"), held(address)
    if had is not None and has == (number, had) and turn.holder(scope(number), had) == address.stream:
        return
    subnet = turn.get("subnet", number)
    if subnet is None or subnet.state != "active":
        raise Failure("Subnet not active : IP allocation error")
    range_ = range_of(subnet)
    found = turn.pick(scope(number), range_.size, range_.item, had)
    if found is None:
        raise Failure(NO_ADDRESS)
    name, network = address.row.get("name"), address.row.get("networkId")
    values = {"address": found, "name": name or found, "networkId": subnet.row.get("networkId") if network is None else network}
    releases = (Release(scope(has[0]), has[1]),) if has is not None and has != (number, found) else ()
    turn.change(address, {**values, "data": {LEASED: [number, found]}}, (Claim(scope(number), found),), releases)


def held(address: Resource) -> tuple[int, str] | None:
    """(subnet, item) of the lease that it has."""
    return next(iter(leases_of(address, "subnet", "address")), None)


def release(turn: Turn, address: Resource) -> None:
    """ipAddress.deactivate: its address is free for others, unless its instance may run with it; the row keeps it, except one that
    Docker gave."""
    if (has := held(address)) is not None and not purges.waits(turn, address):
        turn.merge(address.stream, {"+data": {LEASED: None}}, releases=(Release(scope(has[0]), has[1]),))
    if address.kind == "docker" and address.row.get("address") is not None:
        turn.change(address, {"address": None})


def may_go(turn: Turn, resource: Resource) -> None:
    """purge of an address or a nic: what its instance may run with is not given to another."""
    if purges.waits(turn, resource):
        raise Failure(f"{resource.name} can't be purged: its instance may run with it. Stop that first")


def after_deactivate(turn: Turn, address: Resource) -> tuple[str, dict[str, object]] | None:
    """An address of a pool is removed when it is released."""
    return ("ipaddress.remove", {}) if address.kind == "pooledIpAddress" else None

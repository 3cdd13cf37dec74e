"""What subnets and ip addresses decide: ranges, and the lease of one address of a range. A lease is a claim of the address's stream."""

from __future__ import annotations

from commands.catalogue import subnets
from commands.resource import Resource
from commands.turn import Failure, Turn
from commands.world import World
from eventstore import Claim, Release

NO_ADDRESS = "Failed to allocate IP from subnet : IP allocation error"


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
    had = address.row.get("address")
    if had is not None and turn.holder(scope(number), had) == address.stream:
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
    turn.change(address, values, claims=(Claim(scope(number), found),))


def release(turn: Turn, address: Resource) -> None:
    """ipAddress.deactivate: its address is free for others; the row keeps it, except one that Docker gave."""
    number, had = address.row.get("subnetId"), address.row.get("address")
    if number is not None and had is not None:
        turn.merge(address.stream, {}, releases=(Release(scope(number), had),))
    if address.kind == "docker" and had is not None:
        turn.change(address, {"address": None})


def after_deactivate(turn: Turn, address: Resource) -> tuple[str, dict[str, object]] | None:
    """An address of a pool is removed when it is released."""
    return ("ipaddress.remove", {}) if address.kind == "pooledIpAddress" else None

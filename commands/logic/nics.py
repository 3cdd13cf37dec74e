"""What an instance's nics decide: which ones it has, and their way from a network to a vnet, an ip address and a mac."""

from __future__ import annotations

from collections.abc import Iterator

from commands.catalogue.model import Target
from commands.resource import Json, Resource
from commands.turns.turn import Turn
from commands.turns.world import World

Wish = tuple[int, str, int]
"""Device number, field of the nic, and the id that it names."""


def create_all(turn: Turn, instance: Resource) -> None:
    """instance.create: a nic for each network, subnet and vnet that was asked for; for none, those that the account asks for."""
    wishes = list(_wishes(instance))
    if not wishes and (account := turn.get("account", instance.row.get("accountId"))) is not None:
        wishes = [
            (number, "networkId", network)
            for number, network in enumerate(account.fields.get("defaultNetworkIds") or ())
            if network is not None
        ]
    present = turn.children("nic", "instanceId", instance.id)
    for device, name, wanted in wishes:
        if any(each.row.get(name) == wanted for each in present):
            continue
        row: Json = {"accountId": instance.row.get("accountId"), "instanceId": instance.id, "deviceNumber": device, name: wanted}
        if name != "networkId" and (named := turn.get(name.removesuffix("Id"), wanted)) is not None:
            row["networkId"] = named.row.get("networkId")
        turn.create("nic", row)


def _wishes(instance: Resource) -> Iterator[Wish]:
    """Device numbers count on over the three lists; nothing in the first one's place leaves out a number."""
    number = 0
    for source, name in (("networkIds", "networkId"), ("subnetIds", "subnetId"), ("vnetIds", "vnetId")):
        for wanted in instance.fields.get(source) or ():
            if wanted is not None:
                yield number, name, wanted
            number += 1


# --- the steps of nic.activate ---


def network(turn: Turn, nic: Resource) -> list[Target]:
    number = nic.row.get("networkId")
    return [] if number is None else [Target("network", number)]


def vnet(turn: Turn, nic: Resource) -> list[Target]:
    number = nic.row.get("vnetId")
    return [] if number is None or nic.row.get("networkId") is None else [Target("vnet", number)]


def ensure_address(turn: Turn, nic: Resource) -> None:
    """A nic on a subnet has a primary address there; what it is, its activation decides."""
    subnet = nic.row.get("subnetId")
    if subnet is None or nic.row.get("networkId") is None or primary(turn, nic):
        return
    row = {
        "accountId": nic.row.get("accountId"), "networkId": nic.row["networkId"], "subnetId": subnet, "role": "primary",
    }  # fmt: skip
    address = turn.create("ipAddress", row, run=False, in_our_root=True)
    turn.create("ipAddressNicMap", {"ipAddressId": address.id, "nicId": nic.id})


def primary(world: World, nic: Resource) -> list[Resource]:
    """The nic's address on its subnet: none or one."""
    subnet = nic.row.get("subnetId")
    if subnet is None:
        return []
    return [each for each in addresses(world, nic) if each.row.get("subnetId") == subnet][:1]


def addresses(world: World, nic: Resource) -> list[Resource]:
    """All that are mapped to the nic, oldest first."""
    maps = world.children("ipAddressNicMap", "nicId", nic.id)
    found = (world.get("ipAddress", each.row.get("ipAddressId")) for each in maps)
    return [each for each in found if each is not None and not each.removed]


def ever_mapped(world: World, nic: Resource) -> list[Resource]:
    """Its addresses in this root, those of removed maps too: what goes with the nic."""
    maps = world.children("ipAddressNicMap", "nicId", nic.id, removed=True)
    found = (world.resources.get(f"ipAddress-{each.row.get('ipAddressId')}") for each in maps)
    return [each for each in found if each is not None]


def dockers(world: World, nic: Resource) -> list[Resource]:
    """nic.deactivate: the address that Docker gave the container, and takes back."""
    instance = world.get("instance", nic.row.get("instanceId"))
    given = instance.fields.get("dockerIp") if instance is not None and instance.kind == "container" else None
    found = (each for each in addresses(world, nic) if each.row.get("subnetId") is None)  # one of a subnet's is Corral's own to give
    return [each for each in found if given and each.row.get("address") == given]


# --- what the instance shows ---


def by_device(world: World, instance: Resource) -> list[Resource]:
    found = world.children("nic", "instanceId", instance.id)
    return sorted(found, key=lambda each: (each.row.get("deviceNumber") is None, each.row.get("deviceNumber"), each.id))


def primary_address(world: World, instance: Resource) -> Resource | None:
    """The primary address of the first nic, else any that is mapped to one."""
    found = by_device(world, instance)
    first = primary(world, found[0]) if found else []
    every = first or [each for nic in found for each in addresses(world, nic)]
    return next((each for each in every if each.row.get("address")), None)


def show_addresses(turn: Turn, instance: Resource) -> None:
    """instance.start ends: primaryIpAddress, and the public address that is associated with it."""
    primary_ = primary_address(turn, instance)
    shown = {
        "primaryIpAddress": primary_.row["address"] if primary_ else None,
        "primaryAssociatedIpAddress": public_address(turn, primary_) if primary_ else None,
    }
    differing = {name: value for name, value in shown.items() if instance.fields.get(name) != value}
    if differing:
        turn.change(instance, differing)


def public_address(world: World, inner: Resource) -> str | None:
    """The address of the active association with an inner one: it is noted on the association, whose root may be another."""
    for each in world.having("ipAssociation", "childIpAddressId", inner.id):
        if each.state == "active" and (address := each.data.get("address")):
            return str(address)
    return None

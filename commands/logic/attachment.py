"""Which subnet each nic of an instance gets, host by host: the part of placement that is about networks. Pure.

The rules are the scheduler's: a nic's own subnet, else an active one of its network; with a vnet only what runs on it; and where
vnets are not made on the spot, a host that reaches one (or stands on the physical host of one that does).
"""

from __future__ import annotations

from dataclasses import dataclass

from commands.catalogue.ids import api_id
from commands.logic import addresses
from commands.resource import Resource
from commands.turns.world import World


@dataclass(frozen=True, slots=True)
class Choice:
    """A subnet for a nic, and the hosts that reach a vnet of it (none: any host will do)."""

    subnet: int | None
    hosts: frozenset[int] = frozenset()
    physical: frozenset[int] = frozenset()

    def fits(self, host: Resource) -> bool:
        if not self.hosts or host.id in self.hosts:
            return True
        number = host.row.get("physicalHostId")
        return number is not None and (not self.physical or number in self.physical)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a nic can be given, the best first; `reason`: why nothing, whatever the host."""

    nic: Resource
    choices: tuple[Choice, ...]
    reason: str = ""

    def on(self, host: Resource) -> Choice | None:
        return next((each for each in self.choices if each.fits(host)), None)


def wanted(world: World, nic: Resource) -> Wanted:
    network = world.get("network", nic.row.get("networkId"))
    name = f"nic {nic.row.get('deviceNumber') or 0}"
    candidates = _candidates(world, nic, network)
    vnet = nic.row.get("vnetId")
    if vnet is not None:
        runs = {each.row.get("subnetId") for each in world.having("subnetVnetMap", "vnetId", vnet)}
        candidates = [each for each in candidates if each is not None and each in runs]
        if not candidates:
            return Wanted(nic, (), f"{name}: no subnet of its network runs on vnet {api_id('vnet', vnet, world.catalogue)}")
    matched = vnet is not None or (network is not None and not network.fields.get("dynamicCreateVnet"))
    return Wanted(nic, tuple(_reached(world, each, vnet) if matched else Choice(each) for each in candidates))


def _candidates(world: World, nic: Resource, network: Resource | None) -> list[int | None]:
    own = nic.row.get("subnetId")
    if own is not None or network is None:
        return [own]
    active = [each for each in world.having("subnet", "networkId", network.id) if each.state == "active"]
    # One that has addresses left is as good by the rules as one that has none, and better for whoever asks.
    return [each.id for each in sorted(active, key=lambda each: not addresses.has_room(world, each))] or [None]


def _reached(world: World, subnet: int | None, only: int | None) -> Choice:
    """The hosts with an active map to a vnet that the subnet runs on (to the nic's own, where it has one)."""
    if subnet is None:
        return Choice(None)
    vnets = {each.row.get("vnetId") for each in world.having("subnetVnetMap", "subnetId", subnet)}
    if only is not None:
        vnets &= {only}
    maps = (each for vnet in vnets if vnet is not None for each in world.having("hostVnetMap", "vnetId", vnet))
    hosts = frozenset(each.row["hostId"] for each in maps if each.state == "active" and each.row.get("hostId") is not None)
    found = (world.get("host", each) for each in hosts)
    physical = frozenset(each.row["physicalHostId"] for each in found if each is not None and each.row.get("physicalHostId") is not None)
    return Choice(subnet, hosts, physical)

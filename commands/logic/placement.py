"""Placement: which host, pool and subnets an instance gets. Pure: the hosts as the fleet knows them -> a choice, or why not, host by host.

The rules are those of the scheduler's facts (candidates, constraints, spread by what is free); what a choice takes is
claimed by the append that records it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from heapq import heapify, heappop

from commands.catalogue.ids import api_id
from commands.logic import ports
from commands.logic.attachment import Wanted, wanted
from commands.resource import Resource
from commands.turns.fleet import Fleet, is_dead
from commands.turns.turn import Turn
from commands.turns.world import World

DRIVERS = ("sim", "docker", "libvirt")
"""The kinds of host and pool that an image can be tied to."""

CAPACITY = 1_000_000
"""Of a host whose capacity nobody has set."""

MOST_CAPACITY = 2**62
"""Of a host, so that claims on it can be added up in the store's 64 bits."""

NOT_PLACED = "Failed to find a placement"
"""The words that Cattle's users look for."""

FIRST = "firstHostId"
"""In an instance's fields: the host that it had best be placed on, once. Forgotten as soon as it has a place, there or elsewhere."""


@dataclass(frozen=True, slots=True)
class Placed:
    host: Resource
    pool: Resource
    limit: int
    """The host's capacity in all: what its claims may add up to."""
    subnets: dict[int, int]
    """Nic -> the subnet chosen for it, where it is to have one."""


@dataclass(frozen=True, slots=True)
class NotPlaced:
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{NOT_PLACED} : " + ("; ".join(self.reasons) or "there is no host. Add one: corral agent --help")


def scope(host: Resource) -> str:
    return f"{host.stream}/compute"


def capacity(host: Resource) -> int:
    """What the host can carry in all (its computeFree as it was set, before any claim)."""
    free = host.row.get("computeFree")
    return min(int(free), MOST_CAPACITY) if isinstance(free, int) else CAPACITY


def free(host: Resource, fleet: Fleet) -> int:
    return capacity(host) - fleet.used(scope(host))


def driver_of(image: Resource | None, fleet: Fleet) -> str | None:
    """The kind of host that an image needs: its own, that of the driver that registered it, or of a pool it is already in."""
    if image is None:
        return None
    for named in (image.kind, image.row.get("format")):
        if named in DRIVERS:
            return str(named)
    pools = (fleet.get("storagePool", each.row.get("storagePoolId")) for each in fleet.having("imageStoragePoolMap", "imageId", image.id))
    return next((pool.kind for pool in pools if pool is not None and pool.kind in DRIVERS), None)


def place(
    world: World, instance: Resource, image: Resource | None, needed: int, spread: bool = True, used: Collection[int] = (),
    *, allowed: Collection[int] | None = None, leaves: int | None = None,
) -> Placed | NotPlaced:
    """The fitting host with the most (spread) or least (not spread) free capacity, and its first active pool.

    `used`: pools that its volumes are in already, all of which the host must reach. `allowed`: hosts, None for any. `leaves`: the one
    that it moves away from.
    """
    fleet = world.fleet
    driver = driver_of(image, fleet)
    nics = [wanted(world, each) for each in world.children("nic", "instanceId", instance.id)]
    published = ports.wanted(world, instance)
    first = -1 if spread else 1
    ranked = [(first * free(host, fleet), host.id, host) for host in fleet.all("host")]
    heapify(ranked)  # mostly the first one fits: neither are all looked at nor is all sorted
    reasons: dict[int, str] = {}
    while ranked:
        _, _, host = heappop(ranked)
        pool, reason = (None, "it moves away from there") if host.id == leaves else _fits(host, driver, allowed, needed, fleet)
        if pool is not None:
            taken = ports.taken(world, instance, published, host.id)
            reason = out_of_reach(world, used, host) or unattached(world, nics, host) or taken or ""
            if not reason:
                return Placed(host, pool, capacity(host), subnets_on(nics, host))
        name = host.row.get("name")
        reasons[host.id] = f"host {api_id('host', host.id, world.catalogue)}{f' ({name})' if name else ''}: {reason}"
    return NotPlaced(tuple(reasons[number] for number in sorted(reasons)))


def needed(turn: Turn, instance: Resource) -> int:
    """What it takes of a host's capacity; less than nothing is nothing."""
    asked = instance.row.get("compute")
    return max(0, int(turn.settings["instance.compute.default"] if asked is None else asked))


def out_of_reach(world: World, used: Collection[int], host: Resource) -> str | None:
    """Why the host can't have an instance whose volumes are in these pools, if it can't."""
    missing = sorted(set(used) - {each.id for each in world.fleet.pools_of(host.id)})
    if not missing:
        return None
    return f"it does not reach storage pool {api_id('storagePool', missing[0], world.catalogue)}, where the instance has a volume"


def unattached(world: World, nics: list[Wanted], host: Resource) -> str | None:
    """Why a nic has no subnet on the host, if one has none."""
    for each in nics:
        if not each.choices:
            return each.reason
        if each.on(host) is None:
            subnets = ", ".join(api_id("subnet", choice.subnet, world.catalogue) for choice in each.choices if choice.subnet is not None)
            return f"nic {each.nic.row.get('deviceNumber') or 0}: no vnet of subnet {subnets} reaches it"
    return None


def subnets_on(nics: list[Wanted], host: Resource) -> dict[int, int]:
    chosen = {each.nic.id: choice.subnet for each in nics if (choice := each.on(host)) is not None}
    return {nic: subnet for nic, subnet in chosen.items() if subnet is not None}


def valid_hosts(instance: Resource) -> set[int] | None:
    """The hosts that the request names; None: any."""
    named = set(instance.get("validHostIds") or ())
    requested = instance.get("requestedHostId")
    if requested is not None:
        named.add(requested)
    return named or None


def _fits(host: Resource, driver: str | None, allowed: Collection[int] | None, needed: int, fleet: Fleet) -> tuple[Resource | None, str]:
    if allowed is not None and host.id not in allowed:
        return None, "the request names other hosts"
    if is_dead(host):
        return None, "it was declared dead. Activate it when it is back"
    if host.state != "active":
        return None, f"it is {host.state}"
    agent = fleet.get("agent", host.row.get("agentId"))
    if agent is not None and agent.state != "active":
        return None, f"its agent is {agent.state}"
    if driver is not None and host.kind != driver:
        return None, f"it is of kind {host.kind}, the image needs {driver}"
    if driver is None and host.kind in DRIVERS:
        return None, f"it takes images of kind {host.kind} only"
    pools = [each for each in fleet.pools_of(host.id) if each.state == "active" and not each.row.get("external")]
    if driver is not None:
        pools = [each for each in pools if each.kind == driver]
    if not pools:
        return None, "it has no active storage pool of that kind"
    available = free(host, fleet)
    if available < needed:
        return None, f"full, {max(available, 0)} of {capacity(host)} free, {needed} needed"
    return pools[0], ""

"""What pools of public addresses decide, and the associations that tie such an address to one inside."""

from __future__ import annotations

from commands.catalogue.model import Target
from commands.logic import addresses, nics
from commands.resource import Json, Resource
from commands.turns.turn import Failure, Turn
from commands.turns.world import World

POOLED = "pooledIpAddress"
OF_POOL = "ipPoolSubnet"
RANGE = ("networkAddress", "cidrSize", "gateway", "startAddress", "endAddress")

RELEASED_WITH_INNER = "releaseOnChildPurge"
INNER = "innerAddress"
"""In a public address' data: the inner one it was made for."""


def acquired(pool: int) -> Json:
    """The row of an address that somebody acquires from a pool."""
    return {"ipPoolId": pool, "role": "public", "capabilities": ["associate"]}


# --- pools ---


def make_subnet(turn: Turn, pool: Resource) -> None:
    """ipPool.create: a pool that is a range brings its subnet."""
    if pool.kind == "subnetIpPool" and not turn.having("subnet", "ipPoolId", pool.id):
        given = {name: pool.fields.get(name) for name in RANGE}
        turn.create("subnet", {**given, "accountId": pool.row.get("accountId"), "ipPoolId": pool.id}, kind=OF_POOL)


def active_subnets(turn: Turn, pool: Resource) -> list[Target]:
    """ipPool.remove: first they are deactivated,"""
    return [Target("subnet", each.id) for each in _own_subnets(turn, pool) if each.state not in ("inactive", "removing", "removed")]


def subnets(turn: Turn, pool: Resource) -> list[Target]:
    """then removed."""
    return [Target("subnet", each.id) for each in _own_subnets(turn, pool)]


def _own_subnets(world: World, pool: Resource) -> list[Resource]:
    return [each for each in world.having("subnet", "ipPoolId", pool.id) if each.kind == OF_POOL]


# --- their addresses ---


def choose_subnet(turn: Turn, address: Resource) -> None:
    """ipAddress.create: of a pool's subnets the first active one that has room."""
    pool = address.row.get("ipPoolId")
    if address.kind != POOLED or pool is None or address.row.get("subnetId") is not None:
        return
    active = [each for each in turn.having("subnet", "ipPoolId", pool) if each.state == "active"]
    if not active:
        raise Failure(f"ip pool {pool} has no active subnet: give it one, or activate its subnet")
    chosen = next((each for each in active if addresses.has_room(turn, each)), active[0])
    turn.change(address, {"subnetId": chosen.id})


def give_public(turn: Turn, nic: Resource) -> None:
    """nic.activate: the public address of the instance's pool, tied to the nic's primary one. It goes when that one is purged."""
    instance = turn.get("instance", nic.row.get("instanceId"))
    pool = instance.fields.get("publicIpAddressPoolId") if instance is not None else None
    inner = nics.primary(turn, nic)
    if pool is None or not inner or public_of(turn, nic):
        return
    row = {
        "uuid": _public_uuid(inner[0]), "accountId": nic.row.get("accountId"), "ipPoolId": pool, "role": "public", "capabilities": [],
        "data": {RELEASED_WITH_INNER: True, INNER: inner[0].id},
    }  # fmt: skip
    turn.create("ipAddress", row, kind=POOLED, run=False, in_our_root=True)


def public_of(world: World, nic: Resource) -> list[Resource]:
    """The public address that was made for the nic's primary one."""
    uuids = {_public_uuid(each) for each in nics.primary(world, nic)}
    return [each for each in world.resources.values() if each.type == "ipAddress" and each.row.get("uuid") in uuids]


def released_with(world: World, inner: Resource) -> list[Resource]:
    """ipAddress.purge: the public addresses that go with it."""
    ties = world.children("ipAssociation", "childIpAddressId", inner.id, removed=True)
    outer = (world.resources.get(f"ipAddress-{each.row.get('ipAddressId')}") for each in ties)
    return [each for each in outer if each is not None and each.data.get(RELEASED_WITH_INNER)]


def tie(turn: Turn, address: Resource) -> None:
    """ipAddress.associate: the association with the inner address; nothing when none is named."""
    inner = turn.input(address).get("ipAddressId") or address.data.get(INNER)
    ties = turn.children("ipAssociation", "ipAddressId", address.id)
    if inner is None or any(each.row.get("childIpAddressId") == inner for each in ties):
        return
    row = {
        "accountId": address.row.get("accountId"), "ipAddressId": address.id, "childIpAddressId": inner,
        "data": {"address": address.row.get("address")},
    }  # fmt: skip
    turn.create("ipAssociation", row)


def _public_uuid(inner: Resource) -> str:
    return f"{inner.row['uuid']}-public-ip"

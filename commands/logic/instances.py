"""What an instance's processes decide: its root volume, its place, when it lets go of its host, what follows a stop."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from commands.catalogue.fields import date_text
from commands.catalogue.ids import api_id
from commands.logic import attachment, links, nics, placement, ports
from commands.resource import Json, Resource
from commands.turns.fleet import is_dead
from commands.turns.turn import Failure, Turn
from commands.turns.world import World
from eventstore import Claim, Release

COMPUTE_TRIES = 3
"""instance.compute.tries: how often a host may answer compute.instance.activate with an error."""


def prepare(turn: Turn, instance: Resource) -> None:
    """instance.create: its credentials, root volume and nics; then on to the start, unless startOnCreate is false.

    Cattle also inserts a volume for each of volumeOfferingIds, a field of no schema, and then can't start the instance: these are left out.
    """
    make_parts(turn, instance)
    if instance.fields.get("startOnCreate") is not False:
        turn.delegate()


def make_up_for_creation(turn: Turn, instance: Resource) -> None:
    """instance.restore: what was removed before its creation ran gets what that would have made."""
    if instance.row.get("imageId") is not None and not root_volumes(turn, instance):
        make_parts(turn, instance)
        links.create_all(turn, instance)
        ports.create_all(turn, instance)


def make_parts(turn: Turn, instance: Resource) -> None:
    give_credentials(turn, instance)
    image = instance.row.get("imageId")
    if image is not None and not root_volumes(turn, instance):
        turn.create(
            "volume",
            {
                "accountId": instance.row.get("accountId"),
                "instanceId": instance.id,
                "imageId": image,
                "deviceNumber": 0,
                "attachedState": "active",
            },
        )
    nics.create_all(turn, instance)


def give_credentials(turn: Turn, instance: Resource) -> None:
    """A map to each of the credentials that the request names, or else its account has for all."""
    account = turn.get("account", instance.row.get("accountId"))
    named = instance.fields.get("credentialIds") or (account.fields.get("defaultCredentialIds") if account else None) or ()
    present = {each.row.get("credentialId") for each in turn.children("credentialInstanceMap", "instanceId", instance.id)}
    for credential in dict.fromkeys(named):
        if credential not in present:
            turn.create("credentialInstanceMap", {"credentialId": credential, "instanceId": instance.id})


def root_volumes(turn: Turn, instance: Resource) -> list[Resource]:
    return [each for each in turn.children("volume", "instanceId", instance.id, removed=True) if each.row.get("deviceNumber") == 0]


TRIGGERED = {"restart": "instance.start", "remove": "instance.remove"}
"""instanceTriggeredStop -> what follows when an instance ends by itself; stop: nothing."""


def give_token(turn: Turn, instance: Resource) -> None:
    if not instance.row.get("token"):
        text = base64.b64encode(turn.secret(64)).decode()
        turn.change(instance, {"token": "".join(c for c in text if c not in "/=+")})


def note_first_running(turn: Turn, instance: Resource) -> None:
    if not instance.row.get("firstRunning"):
        turn.change(instance, {"firstRunning": date_text(turn.now)})


def find_place(turn: Turn, instance: Resource) -> None:
    """instance.allocate: a host and a pool for each volume, claimed by the append; kept where it has a place already."""
    maps = turn.children("instanceHostMap", "instanceId", instance.id)
    subnets: dict[int, int] = {}
    if maps:
        host = turn.get("host", maps[0].row["hostId"])
        there = f"host {api_id('host', maps[0].row['hostId'], turn.catalogue)}, where the instance is"
        wanted = [attachment.wanted(turn, each) for each in turn.children("nic", "instanceId", instance.id)]
        if host is not None and (reason := placement.unattached(turn, wanted, host)):
            raise Failure(f"{placement.NOT_PLACED} : {there}: {reason}")
        subnets = placement.subnets_on(wanted, host) if host is not None else {}
        pools = turn.fleet.pools_of(maps[0].row["hostId"])
        pool = next((each for each in pools if each.state == "active"), None)
        if pool is None:
            raise Failure(f"{placement.NOT_PLACED} : {there}, has no active storage pool")
    else:
        needed = placement.needed(turn, instance)
        image = turn.get("image", instance.row.get("imageId"))
        spread = bool(turn.settings["simple.allocator.spread"])
        used, allowed, first = pools_in_use(turn, instance), placement.valid_hosts(instance), instance.get(placement.FIRST)
        fits = {first} if first is not None and (allowed is None or first in allowed) else allowed
        found = placement.place(turn, instance, image, needed, spread, used, allowed=fits)
        if isinstance(found, placement.NotPlaced) and fits != allowed:
            found = placement.place(turn, instance, image, needed, spread, used, allowed=allowed)
        if isinstance(found, placement.NotPlaced):
            raise Failure(str(found))
        if first is not None:
            turn.change(instance, {placement.FIRST: None})
        pool, subnets = found.pool, found.subnets
        claim = Claim(placement.scope(found.host), instance.stream, needed, found.limit)
        turn.create("instanceHostMap", {"hostId": found.host.id, "instanceId": instance.id}, claims=(claim,))
    for nic in turn.children("nic", "instanceId", instance.id):
        if nic.id in subnets and nic.row.get("subnetId") != subnets[nic.id]:
            turn.change(nic, {"subnetId": subnets[nic.id]})
    for volume in turn.children("volume", "instanceId", instance.id):
        if not turn.children("volumeStoragePoolMap", "volumeId", volume.id):
            turn.create("volumeStoragePoolMap", {"volumeId": volume.id, "storagePoolId": pool.id})


def pools_in_use(turn: Turn, instance: Resource) -> set[int]:
    """Those that its volumes are in already: it can only go where they are within reach."""
    volumes = turn.children("volume", "instanceId", instance.id)
    return {each.row["storagePoolId"] for volume in volumes for each in turn.children("volumeStoragePoolMap", "volumeId", volume.id)}


def leave_place(turn: Turn, instance: Resource) -> None:
    """instance.deallocate: its share of the host's capacity is free again, once its maps are gone."""
    give_back(turn, turn.children("instanceHostMap", "instanceId", instance.id, removed=True))


def give_back(turn: Turn, host_maps: Iterable[Resource]) -> None:
    for each in host_maps:
        if each.shares:
            turn.merge(each.stream, {"+data": {"deallocated": True}}, releases=tuple(Release(*share) for share in each.shares))


def leaves_host(turn: Turn, instance: Resource) -> bool:
    """Whether a stop frees the placement: when asked to, when its host was declared dead, or when all its pools are within reach of two
    hosts or more."""
    if not has_place(turn, instance):
        return False
    if instance.row["allocationState"] != "active":  # an allocation that failed, or a deallocation that a newer stop superseded
        return True
    return bool(turn.input(instance).get("deallocateFromHost")) or on_dead_host(turn, instance) or on_shared_storage(turn, instance)


def on_dead_host(turn: Turn, instance: Resource) -> bool:
    hosts = (turn.get("host", each.row["hostId"]) for each in turn.children("instanceHostMap", "instanceId", instance.id))
    return any(host is not None and is_dead(host) for host in hosts)


def on_shared_storage(turn: Turn, instance: Resource) -> bool:
    volumes = turn.children("volume", "instanceId", instance.id, removed=True)  # one that this very removal removed counts, too
    maps = [each for volume in volumes for each in turn.children("volumeStoragePoolMap", "volumeId", volume.id)]
    return all(len(_living_hosts(turn, each.row["storagePoolId"])) > 1 for each in maps)


def _living_hosts(world: World, pool: int) -> list[Resource]:
    found = (world.get("host", number) for number in world.fleet.hosts_of(pool))
    return [each for each in found if each is not None and not each.removed]


def after_stop(turn: Turn, instance: Resource) -> tuple[str, Json] | None:
    """What follows a stop: of what ended by itself its instanceTriggeredStop, else the launch data's start and remove."""
    given = turn.input(instance)
    if given.get("haRestart"):
        process = TRIGGERED.get(instance.row.get("instanceTriggeredStop") or "stop")
        return (process, {}) if process else None
    if given.get("start"):
        return "instance.start", {}
    return ("instance.remove", {}) if given.get("remove") else None


def after_restart(turn: Turn, instance: Resource) -> tuple[str, Json]:
    """A restart is a stop that is told to start again."""
    return "instance.stop", {**turn.input(instance), "start": True}


def undo_start(turn: Turn, instance: Resource) -> str:
    """A start that fails on the way from create removes the instance; a later one stops it. The error stays on it."""
    bracket = instance.open.get("state")
    created = bracket is not None and "instance.create" in (bracket.process, bracket.origin)
    return "instance.remove" if created else "instance.stop"


def compute_tries(world: World, instance_host_map: Resource) -> int:
    """How many error answers a start bears; instance.data may say another number (Cattle's scope key)."""
    instance = world.get("instance", instance_host_map.row.get("instanceId"))
    scope = instance.data.get("io.cattle.platform.process.instance.InstanceStart") if instance else None
    tries = scope.get("computeTries") if isinstance(scope, dict) else None
    return tries if isinstance(tries, int) and tries > 0 else COMPUTE_TRIES


def has_place(turn: Turn, resource: Resource) -> bool:
    """An instance or a volume that is allocated, or was on the way to it, or on the way back when it was superseded."""
    return resource.row.get("allocationState") in ("active", "activating", "deactivating")

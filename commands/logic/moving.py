"""Moving a running instance to another host: what it gets there, what it gives up here, and the way back. Pure.

    running -> a second place is claimed -> image and volumes there -> (cold) it ends here -> it runs there -> the first place is given up
                       `------------- anything fails, or a stop supersedes it: the second place is given up ----'

While it moves it has two places, and is to keep one of them: at first the one that it came from, and from the moment that it runs there
the other one. Whatever ends a move, or begins after one that did not end, gives up the one that is not kept.
"""

from __future__ import annotations

from commands.catalogue.ids import api_id
from commands.catalogue.model import Target
from commands.logic import instances, placement, storage
from commands.resource import ACTIVE, Json, Resource
from commands.turns.turn import Failure, Turn
from commands.turns.world import World
from eventstore import Claim

MOVE = "move"
"""In an instance's data while it has two places: {from: [streams of its maps], to: [the same], there: it runs in the new one}."""

LIVE = frozenset({"libvirt"})
"""The kinds of host between which what runs moves without a stop; elsewhere it ends here before it starts there."""

HOSTS, POOLS = "instanceHostMap-", "volumeStoragePoolMap-"

GOES_WHERE = ("requestedHostId", "hostId")
"""By either name instance.migrate may be told a host."""


def choose(turn: Turn, instance: Resource) -> None:
    """instance.migrate begins: a place on another host, claimed by the append. Of two that meet, the first says where."""
    if move_of(instance):
        return
    places = [each for each in turn.children("instanceHostMap", "instanceId", instance.id) if each.state in ACTIVE]
    if len(places) != 1:
        raise Failure(f"{instance.name} can't move: it runs on no host that Corral knows of")
    here = places[0]
    wish = _wanted_host(turn, instance)
    if wish is not None and wish == here.row["hostId"]:
        raise Failure(f"{instance.name} is on host {api_id('host', wish, turn.catalogue)} already: name another one, or none")
    found = _place(turn, instance, here.row["hostId"], wish)
    claim = Claim(placement.scope(found.host), instance.stream, placement.needed(turn, instance), found.limit)
    there = turn.create("instanceHostMap", {"hostId": found.host.id, "instanceId": instance.id}, claims=(claim,))
    leaves, comes = [here.stream], [there.stream]
    reached = {each.id for each in turn.fleet.pools_of(found.host.id)}
    for volume in turn.children("volume", "instanceId", instance.id):
        maps = turn.children("volumeStoragePoolMap", "volumeId", volume.id)
        if not any(each.row["storagePoolId"] in reached for each in maps):
            leaves += [each.stream for each in maps]
            comes.append(turn.create("volumeStoragePoolMap", {"volumeId": volume.id, "storagePoolId": found.pool.id}).stream)
    turn.merge(instance.stream, {"+data": {MOVE: {"from": leaves, "to": comes, "there": False}}})


def _wanted_host(turn: Turn, instance: Resource) -> int | None:
    given = turn.input(instance)
    return next((given[name] for name in GOES_WHERE if given.get(name) is not None), None)


def _place(turn: Turn, instance: Resource, here: int, wish: int | None) -> placement.Placed:
    """Who says where takes back what the request of its creation said; validHostIds hold for ever."""
    allowed = set(instance.get("validHostIds") or ()) or None
    if wish is None:
        allowed = placement.valid_hosts(instance)
    elif allowed is None or wish in allowed:
        allowed = {wish}
    else:
        raise Failure(f"{placement.NOT_PLACED} : {api_id('host', wish, turn.catalogue)} is none of the validHostIds of {instance.name}")
    image = turn.get("image", instance.row.get("imageId"))
    found = placement.place(
        turn, instance, image, placement.needed(turn, instance), bool(turn.settings["simple.allocator.spread"]), _stays_in(turn, instance),
        allowed=allowed, leaves=here,
    )  # fmt: skip
    if isinstance(found, placement.NotPlaced):
        raise Failure(str(found))
    return found


def _stays_in(turn: Turn, instance: Resource) -> set[int]:
    """The pools that the new host must reach: what they hold is nowhere else. (The root volume is made anew from its image.)"""
    roots = {each.id for each in instances.root_volumes(turn, instance) if each.row.get("imageId") is not None}
    volumes = [each for each in turn.children("volume", "instanceId", instance.id) if each.id not in roots]
    return {each.row["storagePoolId"] for volume in volumes for each in turn.children("volumeStoragePoolMap", "volumeId", volume.id)}


# --- where it is ---


def move_of(instance: Resource) -> Json | None:
    """The move that it is in the middle of."""
    found = instance.data.get(MOVE)
    return found if isinstance(found, dict) and found else None


def is_there(instance: Resource) -> bool:
    """It runs in the new place: there is no way back any more."""
    return bool((move_of(instance) or {}).get("there"))


def _maps(world: World, instance: Resource, side: str, prefix: str) -> list[Resource]:
    streams = (move_of(instance) or {}).get(side) or ()
    return [world.resources[each] for each in streams if each.startswith(prefix) and each in world.resources]


def is_live(world: World, instance: Resource) -> bool:
    """Whether both hosts are of a kind that hands over what runs."""
    maps = [*_maps(world, instance, "from", HOSTS), *_maps(world, instance, "to", HOSTS)]
    hosts = (world.get("host", each.row["hostId"]) for each in maps)
    kinds = {None if host is None else host.kind for host in hosts}
    return len(kinds) == 1 and kinds <= LIVE


def source_of(world: World, host_map: Resource) -> Resource | None:
    """The map from which what runs is handed over to this one, before it is started here; None: it is started as ever."""
    instance = world.get("instance", host_map.row.get("instanceId"))
    if instance is None or is_there(instance) or host_map not in _maps(world, instance, "to", HOSTS) or not is_live(world, instance):
        return None
    return next((each for each in _maps(world, instance, "from", HOSTS) if not each.removed), None)


# --- the steps of instance.migrate ---


def images(turn: Turn, instance: Resource) -> list[Target]:
    return list({each.id: each for volume in _volumes(turn, instance) for each in storage.image_of(turn, volume)}.values())


def images_in_pools(turn: Turn, instance: Resource) -> list[Target]:
    """Each once: two would claim the same place."""
    found = (each for volume in _volumes(turn, instance) for each in storage.images_in_pools(turn, volume))
    return list({(each.create or {}).get("storagePoolId"): each for each in found}.values())


def _volumes(turn: Turn, instance: Resource) -> list[Resource]:
    """What has to be made there."""
    moved = {each.row["volumeId"] for each in new_volumes(turn, instance)}
    return [each for each in turn.children("volume", "instanceId", instance.id) if each.id in moved]


def new_volumes(world: World, instance: Resource) -> list[Resource]:
    return [] if is_there(instance) else _maps(world, instance, "to", POOLS)


def ends_first(world: World, instance: Resource) -> list[Resource]:
    """Where it has to end before it may start there."""
    return [] if is_there(instance) or is_live(world, instance) else _maps(world, instance, "from", HOSTS)


def new_place(world: World, instance: Resource) -> list[Resource]:
    return [] if is_there(instance) else _maps(world, instance, "to", HOSTS)


def arrive(turn: Turn, instance: Resource) -> None:
    """It runs there: from now on that is its place."""
    if is_there(instance):
        return
    for each in (*_maps(turn, instance, "to", HOSTS), *_maps(turn, instance, "to", POOLS)):
        if each.removed or each.state not in ACTIVE:
            raise Failure(f"the new place of {instance.name} was taken away while it moved: {each.stream} is {each.state}")
    turn.merge(instance.stream, {"+data": {MOVE: {**(move_of(instance) or {}), "there": True}}})
    host = new_host(turn, instance)
    if instance.get("requestedHostId") not in (None, host):
        turn.change(instance, {"requestedHostId": host})


def new_host(world: World, instance: Resource) -> int | None:
    return next((each.row["hostId"] for each in _maps(world, instance, "to", HOSTS)), None)


def go_back(turn: Turn, instance: Resource) -> str | None:
    """A move that fails: it is started where it was, if it does not run there still. One that had taken nothing yet changed nothing."""
    return "instance.start" if move_of(instance) else None


# --- what is given up ---


def given_up_place(world: World, instance: Resource) -> list[Resource]:
    return _maps(world, instance, "from" if is_there(instance) else "to", HOSTS)


def given_up_volumes(world: World, instance: Resource) -> list[Resource]:
    return _maps(world, instance, "from" if is_there(instance) else "to", POOLS)


def hands_over(world: World, instance: Resource) -> list[Resource]:
    """Of a live move that was cut off: the side that hands over ends first, so that nothing arrives after the other one was told to end."""
    return _maps(world, instance, "from", HOSTS) if is_live(world, instance) and not is_there(instance) else []


def end(turn: Turn, instance: Resource) -> None:
    """One place is left: what the other one took is free."""
    if move_of(instance) is None:
        return
    instances.give_back(turn, given_up_place(turn, instance))
    turn.merge(instance.stream, {"+data": {MOVE: None}})


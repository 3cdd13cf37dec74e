"""What a running or stopped instance relies on, and what becomes of it when somebody takes that away: pure.

    running: its map to a host and its volumes' maps to pools are active ---- one is not any more --> instance.stop
    stopped: nothing of it runs, and no public port is its own -------------- its map is active ----> instancehostmap.deactivate
    starting: one place, on a host that lives and reaches its volumes ------- it has none ----------> it is placed anew
"""

from __future__ import annotations

from commands.logic import instances, ports
from commands.resource import ACTIVE, Resource
from commands.turns.dead import all_gone, is_gone
from commands.turns.fleet import is_dead
from commands.turns.purges import FORCED, to_be_confirmed, unconfirmed
from commands.turns.turn import Failure, Turn
from commands.turns.world import World

OWED = "its host was declared dead"
"""Why a map is removed without a word of its agent."""

RUNS_WITH = "runsWith"
"""In an instance's data: the maps that were active when its start ended. None of a start that an external handler stood in for."""


def volume_maps(world: World, instance: Resource, removed: bool = False) -> list[Resource]:
    volumes = world.children("volume", "instanceId", instance.id, removed=True)
    return [each for volume in volumes for each in world.children("volumeStoragePoolMap", "volumeId", volume.id, removed)]


def unconfirmed_places(world: World, instance: Resource) -> list[Resource]:
    """Removed by force: its agent says first that nothing runs there. Of a host that was declared dead nobody waits for that."""
    maps = world.children("instanceHostMap", "instanceId", instance.id, removed=True)
    return [each for each in maps if to_be_confirmed(world, each)]


def unconfirmed_volume_maps(world: World, instance: Resource) -> list[Resource]:
    maps = (each for each in volume_maps(world, instance, removed=True) if unconfirmed(each))
    return [each for each in maps if not all_gone(world, each.row.get("storagePoolId") or 0)]


# --- the steps of instance.start ---


def forget_parts(turn: Turn, instance: Resource) -> None:
    """It begins: what it ran with the last time is not what it will run with."""
    if _lost(turn, instance):
        turn.merge(instance.stream, {"+data": {RUNS_WITH: None}})


def lost_place(turn: Turn, instance: Resource) -> bool:
    """Its host is gone for good, or all hosts of a pool that it has a volume in: there is nothing left to go back to."""
    under_way = any(each.open for each in turn.resources.values() if each.stream != instance.stream)
    if under_way or not instances.has_place(turn, instance):  # what is in the middle of its start fails, and says why
        return False
    maps = turn.children("instanceHostMap", "instanceId", instance.id)
    if any(each.state in ACTIVE for each in maps):  # it was started there: that ends, and what follows is for commands.watching.endings
        return False
    hosts = [turn.get("host", each.row["hostId"]) for each in maps]
    return any(map(is_gone, hosts)) or any(_is_lost(turn, each) for each in volume_maps(turn, instance))


def _is_lost(world: World, volume_map: Resource) -> bool:
    pool = world.get("storagePool", volume_map.row["storagePoolId"])
    return pool is None or pool.removed or all_gone(world, pool.id)


def ensure_place(turn: Turn, instance: Resource) -> None:
    """It is allocated: but its map, or a volume's, may have been removed since."""
    placed = turn.children("instanceHostMap", "instanceId", instance.id)
    volumes = turn.children("volume", "instanceId", instance.id)
    if placed and all(turn.children("volumeStoragePoolMap", "volumeId", each.id) for each in volumes):
        return
    if not placed:
        for nic in turn.children("nic", "instanceId", instance.id):
            if nic.state in ("active", "activating"):
                raise Failure(f"the place of {instance.name} was taken away while it started: start it again")
        instances.leave_place(turn, instance)
    instances.find_place(turn, instance)


def note_parts(turn: Turn, instance: Resource) -> None:
    """It ends: without these the instance does not run."""
    maps = [*turn.children("instanceHostMap", "instanceId", instance.id), *volume_maps(turn, instance)]
    parts = [each.stream for each in maps if each.state in ACTIVE]
    if instance.data.get(RUNS_WITH) != parts:
        turn.merge(instance.stream, {"+data": {RUNS_WITH: parts}})


# --- what is looked at while it rests ---


def still_runs(turn: Turn, instance: Resource) -> None:
    """running: what it ran with is gone, so it does not run; it is stopped, and what is left of it with it."""
    for each in _lost(turn, instance):
        turn.follow_up(instance, "instance.stop", each, f"{each.stream} is {each.state}, and {instance.name} does not run without it")
        return


def _lost(world: World, instance: Resource) -> list[Resource]:
    noted = instance.data.get(RUNS_WITH)
    parts = (world.resources.get(each) for each in (noted if isinstance(noted, list) else ()) if isinstance(each, str))
    return [each for each in parts if each is not None and each.state not in ACTIVE]


def holds_nothing(turn: Turn, instance: Resource) -> None:
    """stopped, perhaps since a removal was cancelled in its middle."""
    ports.release_all(turn, instance)
    for each in turn.children("instanceHostMap", "instanceId", instance.id):
        if each.state in ACTIVE:
            turn.follow_up(each, "instancehostmap.deactivate", instance, f"{instance.name} is stopped")


# --- the maps' own processes ---


def goes_with_start(turn: Turn, host_map: Resource) -> None:
    """instanceHostMap.activate runs an instance: nothing but its start may."""
    instance = turn.get("instance", host_map.row.get("instanceId"))
    if instance is not None and host_map.open["state"].parent is None and instance.state != "starting":
        raise Failure(f"{instance.name} is {instance.state}: its map to a host becomes active with its start (instance.start)")


def owe_place(turn: Turn, host_map: Resource) -> None:
    """instanceHostMap.remove, where the host was declared dead: what may run there still is asked for by its purge."""
    host = turn.get("host", host_map.row.get("hostId"))
    if host is not None and not host.removed and is_dead(host):
        _owe(turn, host_map)


def owe_volume(turn: Turn, volume_map: Resource) -> None:
    """The same of an instance's root volume. What else a dead host's pools hold stays there: it may be all that is left of it."""
    volume, pool = turn.get("volume", volume_map.row.get("volumeId")), volume_map.row.get("storagePoolId")
    is_root = volume is not None and volume.row.get("deviceNumber") == 0
    if is_root and pool is not None and all_gone(turn, pool) and not all_gone(turn, pool, for_good=True):
        _owe(turn, volume_map)


def _owe(turn: Turn, each: Resource) -> None:
    if not each.data.get(FORCED):
        turn.merge(each.stream, {"+data": {FORCED: OWED}})


def may_return(turn: Turn, host_map: Resource) -> None:
    """instanceHostMap.restore: its share of the host may be another's by now."""
    if host_map.data.get("deallocated"):
        raise Failure(f"{host_map.stream} can't be restored: its place on host {host_map.row['hostId']} was given back. Start the instance")

"""The processes of every type, as data: which states they lead through, and in which steps. The logic they name is in commands.logic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from commands import payload
from commands.catalogue.fields import date_text
from commands.catalogue.model import Ask, Child, Decide, Join, Own, Process, Step
from commands.logic import accounts, discovery, instances, storage
from commands.resource import Resource
from commands.turn import Turn
from commands.world import World

REMOVE_TIME_DELAY = "object.remove.time.delay.seconds"

UPDATING = ("updating-active", "updating-inactive")


def set_removed(turn: Turn, resource: Resource) -> None:
    """Every remove ends with the time of removal, and the time from which the row may be purged."""
    if not resource.removed:
        specific = f"object.{resource.type.lower()}.remove.time.delay.seconds"
        delay = turn.settings.get(specific, turn.settings[REMOVE_TIME_DELAY])
        turn.change(resource, {"removed": date_text(turn.now), "removeTime": date_text(turn.after(float(delay)))})


def clear_removed(turn: Turn, resource: Resource) -> None:
    if resource.removed:
        turn.merge(resource.stream, {"removed": None, "removeTime": None})


def delegate(turn: Turn, resource: Resource) -> None:
    turn.delegate()


REMOVED = Decide(set_removed)
RESTORED = Decide(clear_removed)
ACTIVATE_BY_DEFAULT = Decide(delegate)


def lifecycle(
    name: str,
    *,
    by_default: bool = True,
    create: tuple[Step, ...] = (),
    activate: tuple[Step, ...] = (),
    deactivate: tuple[Step, ...] = (),
    remove: tuple[Step, ...] = (),
    purge: tuple[Step, ...] = (),
    restore: tuple[Step, ...] = (),
    deactivates: tuple[str, ...] = (),
) -> list[Process]:
    """The seven processes that most types have. `by_default`: create goes on to activate; `deactivates`: further start states."""
    low = name.lower()

    def process(verb: str, start: tuple[str, ...], via: Any, done: Any, **more: Any) -> Process:
        return Process(f"{low}.{verb}", name, start, via, done, **more)

    return [
        process(
            "create", ("requested",), "registering", "inactive", delegate=f"{low}.activate", handlers=create,
            post=(ACTIVATE_BY_DEFAULT,) if by_default else (), failed="inactive",
        ),
        process("activate", ("inactive", "registering"), "activating", "active", handlers=activate, failed="inactive"),
        process(
            "deactivate", ("active", "activating", *deactivates, *UPDATING), "deactivating", "inactive",
            delegate=f"{low}.remove", handlers=deactivate,
        ),
        process(
            "remove", ("requested", "inactive", "activating", "deactivating", "registering", *UPDATING), "removing", "removed",
            handlers=remove, post=(REMOVED,),
        ),
        process("purge", ("removed",), "purging", "purged", handlers=purge),
        process(
            "update", ("inactive", "active"), {"inactive": "updating-inactive", "active": "updating-active"},
            {"updating-inactive": "inactive", "updating-active": "active"},
        ),
        process("restore", ("removed",), "restoring", "inactive", handlers=restore, post=(RESTORED,)),
    ]


def agent_of_pool(world: World, each: Resource) -> int | None:
    pool = world.get("storagePool", each.row.get("storagePoolId"))
    return pool.row.get("agentId") if pool else None


def agent_of_host(world: World, each: Resource) -> int | None:
    host = world.get("host", each.row.get("hostId"))
    return host.row.get("agentId") if host else None


def itself(world: World, agent: Resource) -> int | None:
    return agent.id


def is_root(volume: Resource) -> bool:
    return volume.row.get("deviceNumber") == 0


def to_pool(command: str, payload_of: Callable[[World, Resource], dict[str, Any]], **more: Any) -> Ask:
    return Ask(command, agent_of_pool, payload_of, **more)


def to_host(command: str, **more: Any) -> Ask:
    return Ask(command, agent_of_host, payload.instance_map, **more)


IMAGE_MINUTES = 10 * 60.0
"""Seconds: an image may take long to be pulled (progress restarts the clock)."""

STOP: tuple[Step, ...] = (
    Child("instanceHostMap", "instanceId", "instancehostmap.deactivate", ignore_invalid=True),
    Child("volume", "instanceId", "volume.deactivate", ignore_invalid=True),
    Own("instance.deallocate", when=instances.leaves_host),
)

INSTANCE = [
    Process(
        "instance.create", "instance", ("requested",), "creating", "stopped", delegate="instance.start",
        handlers=(Decide(instances.prepare),), compensate=instances.undo_start,
    ),
    Process(
        "instance.start", "instance", ("stopped", "creating"), "starting", "running",
        pre=(Decide(instances.give_token),),
        handlers=(
            Own("instance.allocate"),
            Child("volume", "instanceId", "volume.activate"),
            Child("instanceHostMap", "instanceId", "instancehostmap.activate"),
        ),
        post=(Decide(instances.note_first_running),),
        compensate=instances.undo_start,
    ),
    Process(
        "instance.stop", "instance", ("running", "starting", "updating-running", "updating-stopped"), "stopping", "stopped",
        delegate="instance.remove", handlers=STOP, chain=instances.after_stop,
    ),
    Process("instance.restart", "instance", ("running",), "restarting", "running", chain=instances.after_restart),
    Process(
        "instance.remove", "instance",
        ("requested", "stopped", "starting", "stopping", "creating", "updating-running", "updating-stopped"), "removing", "removed",
        handlers=(*STOP, Child("volume", "instanceId", "volume.remove", when=is_root, ignore_invalid=True)),
        post=(REMOVED,),
    ),
    Process(
        "instance.purge", "instance", ("removed",), "purging", "purged",
        handlers=(Own("instance.deallocate", when=instances.has_place),),
    ),
    Process(
        "instance.update", "instance", ("stopped", "running"), {"stopped": "updating-stopped", "running": "updating-running"},
        {"updating-stopped": "stopped", "updating-running": "running"},
    ),
    Process(
        "instance.restore", "instance", ("removed",), "restoring", "stopped",
        handlers=(Child("volume", "instanceId", "volume.restore", removed=True, ignore_invalid=True),), post=(RESTORED,),
    ),
    Process("instance.migrate", "instance", ("running",), "migrating", "running"),
    Process(
        "instance.allocate", "instance", ("inactive",), "activating", "active", field="allocationState",
        handlers=(Decide(instances.find_place), Child("volume", "instanceId", "volume.allocate")),
    ),
    Process(
        "instance.deallocate", "instance", ("activating", "active"), "deactivating", "inactive", field="allocationState",
        handlers=(
            Child("instanceHostMap", "instanceId", "instancehostmap.remove", ignore_invalid=True),
            Decide(instances.leave_place),
            Child("volume", "instanceId", "volume.deallocate", removed=True),
        ),
    ),
]

VOLUME_MAPS = (Child("volumeStoragePoolMap", "volumeId", "volumestoragepoolmap.deactivate", ignore_invalid=True),)

VOLUME = [
    *lifecycle(
        "volume",
        by_default=False,
        activate=(
            Join(storage.image_of, "image.activate"),
            Join(storage.images_in_pools, "imagestoragepoolmap.activate"),
            Child("volumeStoragePoolMap", "volumeId", "volumestoragepoolmap.activate"),
        ),
        deactivate=VOLUME_MAPS,
        remove=VOLUME_MAPS,
        purge=(Own("volume.deallocate", when=instances.has_place),),
    ),
    Process("volume.allocate", "volume", ("inactive",), "activating", "active", field="allocationState"),
    Process(
        "volume.deallocate", "volume", ("activating", "active"), "deactivating", "inactive", field="allocationState",
        handlers=(*VOLUME_MAPS, Child("volumeStoragePoolMap", "volumeId", "volumestoragepoolmap.remove", ignore_invalid=True)),
    ),
]

PING = Ask("ping", itself, payload.ping, seconds=30.0, tries=0)

AGENT = [
    *lifecycle(
        "agent",
        create=(Decide(accounts.give_account),),
        activate=(PING, Decide(discovery.take_inventory)),
        deactivates=("reconnecting",),
    ),
    Process(
        "agent.reconnect", "agent", ("active", "activating"), "reconnecting", "active",
        handlers=(PING, Decide(discovery.take_inventory)),
    ),
]

PROCESSES: list[Process] = [
    *INSTANCE,
    *VOLUME,
    *AGENT,
    *lifecycle(
        "instanceHostMap",
        by_default=False,
        activate=(to_host("compute.instance.activate", tries=instances.compute_tries, undo="compute.instance.deactivate"),),
        deactivate=(to_host("compute.instance.deactivate", tries=0),),
    ),
    *lifecycle(
        "volumeStoragePoolMap",
        by_default=False,
        activate=(to_pool("storage.volume.activate", payload.volume_map, undo="storage.volume.deactivate"),),
        deactivate=(to_pool("storage.volume.deactivate", payload.volume_map, tries=0),),
        remove=(to_pool("storage.volume.remove", payload.volume_map, tries=0),),
    ),
    *lifecycle(
        "imageStoragePoolMap",
        by_default=False,
        activate=(to_pool("storage.image.activate", payload.image_map, seconds=IMAGE_MINUTES),),
        deactivate=(to_pool("storage.image.deactivate", payload.image_map, tries=0),),
        remove=(Decide(storage.leave_pool),),
    ),
    *lifecycle("image"),
    *lifecycle("storagePool", create=(Decide(storage.external_pool),)),
    *lifecycle("storagePoolHostMap"),
    *lifecycle("host"),
    *lifecycle("physicalHost"),
    *lifecycle("account", create=(Decide(accounts.give_keys),)),
    *lifecycle("credential", create=(Decide(accounts.generate_values),)),
]

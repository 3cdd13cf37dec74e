"""The life of what runs: instances, and their maps to hosts."""

from __future__ import annotations

from typing import Any

from commands import payload
from commands.catalogue.model import Ask, Child, Decide, Own, Process, Step
from commands.catalogue.processes.common import REMOVED, RESTORED, lifecycle
from commands.logic import instances
from commands.resource import Resource
from commands.world import World


def agent_of_host(world: World, each: Resource) -> int | None:
    host = world.get("host", each.row.get("hostId"))
    return host.row.get("agentId") if host else None


def is_root(volume: Resource) -> bool:
    return volume.row.get("deviceNumber") == 0


def to_host(command: str, **more: Any) -> Ask:
    return Ask(command, agent_of_host, payload.instance_map, **more)


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

INSTANCE_HOST_MAP = [
    *lifecycle(
        "instanceHostMap",
        by_default=False,
        activate=(to_host("compute.instance.activate", tries=instances.compute_tries, undo="compute.instance.deactivate"),),
        deactivate=(to_host("compute.instance.deactivate", tries=0),),
    ),
]

PROCESSES: list[Process] = [*INSTANCE, *INSTANCE_HOST_MAP]

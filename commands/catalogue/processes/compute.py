"""The life of what runs: instances, and their maps to hosts."""

from __future__ import annotations

from typing import Any

from commands.catalogue.model import LAST, PRIORITIES, Ask, Checkpoint, Child, Decide, Join, Logic, Own, Process, Step
from commands.catalogue.processes.common import PURGED, REMOVED, RESTORED, Phases, lifecycle, managing
from commands.logic import (
    agent_instances,
    config_items,
    docker,
    instances,
    keeping,
    links,
    machines,
    metadata,
    moving,
    nics,
    payload,
    ports,
)
from commands.resource import Resource
from commands.turns.purges import unconfirmed
from commands.turns.world import World


def agent_of_host(world: World, each: Resource, dead_too: bool = False) -> int | None:
    return managing(world, world.get("host", each.row.get("hostId")), dead_too=dead_too)


def agent_of_machine(world: World, instance: Resource) -> int | None:
    """Of the host that it is on; None: it is on none."""
    return next((agent_of_host(world, each) for each in machines.places(world, instance)), None)


def agent_that_resizes(world: World, instance: Resource) -> int | None:
    return agent_of_machine(world, instance) if machines.resizes_a_disk(instance) else None


def agent_where_it_may_run(world: World, each: Resource) -> int | None:
    """Of a map that is removed in the middle of its activation, or before its deactivation is confirmed: nobody knows what runs there."""
    bracket = each.open.get("state")
    unsure = bracket is not None and bracket.came_from in ("activating", "deactivating")
    return agent_of_host(world, each) if unsure else None


def agent_where_nothing_else_removes_it(world: World, each: Resource, dead_too: bool = False) -> int | None:
    """What an instance has on a host goes with its root volume's map to a pool there. Without such a map its own takes it along."""
    agent = agent_of_host(world, each, dead_too)
    instance = world.get("instance", each.row["instanceId"])
    if instance is not None and each in moving.given_up_place(world, instance) and not moving.given_up_volumes(world, instance):
        return agent  # its volumes stay in a pool that both hosts reach
    roots = (volume for volume in world.children("volume", "instanceId", each.row["instanceId"], removed=True) if is_root(volume))
    maps = (found for volume in roots for found in world.children("volumeStoragePoolMap", "volumeId", volume.id))
    pools = (world.get("storagePool", found.row.get("storagePoolId")) for found in maps)
    return None if any(pool is not None and not pool.removed and pool.row.get("agentId") == agent for pool in pools) else agent


def is_ending(host_map: Resource) -> bool:
    """Of a move that was cut off while it ended where it was: that comes to its end, before it starts there again."""
    return host_map.state == "deactivating"


def is_root(volume: Resource) -> bool:
    return volume.row.get("deviceNumber") == 0


HANDING_OVER = 10 * 60.0
"""Seconds: memory and disks of what runs may take long to be copied (progress restarts the clock)."""


def agent_that_hands_over(world: World, each: Resource) -> int | None:
    """Of a map to which its instance moves while it runs: the agent of the host where it runs."""
    source = moving.source_of(world, each)
    return agent_of_host(world, source) if source is not None else None


def to_host(command: str, **more: Any) -> Ask:
    return Ask(command, agent_of_host, payload.instance_map, **more)


def agent_that_was_not_asked(world: World, each: Resource) -> int | None:
    """Of a map that was removed by force."""
    return agent_of_host(world, each, dead_too=True) if unconfirmed(each) else None


def agent_that_removes_what_was_forced(world: World, each: Resource) -> int | None:
    return agent_where_nothing_else_removes_it(world, each, dead_too=True) if unconfirmed(each) else None


CONFIRMED = Child(
    "instanceHostMap", keeping.unconfirmed_places, "instancehostmap.purge", removed=True, ignore_invalid=True, mends=True
)
"""A map that was removed by force: its agent says first that nothing runs there."""

ONE_PLACE: tuple[Step, ...] = (
    Child("instanceHostMap", moving.given_up_place, "instancehostmap.deactivate", ignore_invalid=True, mends=True),
    Child("instanceHostMap", moving.given_up_place, "instancehostmap.remove", ignore_invalid=True, mends=True),
    Child("volumeStoragePoolMap", moving.given_up_volumes, "volumestoragepoolmap.deactivate", ignore_invalid=True, mends=True),
    Child("volumeStoragePoolMap", moving.given_up_volumes, "volumestoragepoolmap.remove", ignore_invalid=True, mends=True),
    Decide(moving.end),
)
"""What moves, or was cut off while it did, gives up the place that it does not keep."""

TEARDOWN: tuple[Step, ...] = (
    CONFIRMED,
    Child("instanceHostMap", moving.hands_over, "instancehostmap.deactivate", ignore_invalid=True, mends=True),
    Child("instanceHostMap", "instanceId", "instancehostmap.deactivate", ignore_invalid=True),
    Decide(ports.release_all),
    Child("nic", "instanceId", "nic.deactivate", ignore_invalid=True),
    Child("port", "instanceId", "port.deactivate", ignore_invalid=True),
    Child("instanceLink", "instanceId", "instancelink.deactivate", ignore_invalid=True),
    Child("volume", "instanceId", "volume.deactivate", ignore_invalid=True),
)

STOP: tuple[Step, ...] = (
    *TEARDOWN,
    *ONE_PLACE,
    Own("instance.deallocate", when=instances.leaves_host),
)

UPDATING = {"stopped": "updating-stopped", "running": "updating-running"}
UPDATED = {via: state for state, via in UPDATING.items()}
"""What changes an instance without stopping it."""

MACHINE_MINUTES = 10 * 60.0
"""Seconds: a snapshot writes down a machine's memory."""

INSTANCE = [
    Process(
        "instance.create", "instance", ("requested",), "creating", "stopped", delegate="instance.start", failed="stopped",
        handlers=(
            Decide(instances.prepare),
            Child("credentialInstanceMap", "instanceId", "credentialinstancemap.activate"),
        ),
        post=(
            Logic("InstanceInstanceLinkCreate", (Decide(links.create_all),), PRIORITIES["default"]),
            Logic("InstancePortCreate", (Decide(ports.create_all),), PRIORITIES["default"]),
        ),
        compensate=instances.undo_start,
    ),
    Process(
        "instance.start", "instance", ("stopped", "creating"), "starting", "running",
        pre=(Logic("InstanceStartToken", (Decide(instances.give_token), Decide(keeping.forget_parts)), 0),),
        handlers=(
            Checkpoint("find placement", 5),
            CONFIRMED,
            *ONE_PLACE,
            Child(
                "volumeStoragePoolMap", keeping.unconfirmed_volume_maps, "volumestoragepoolmap.purge", removed=True,
                ignore_invalid=True, mends=True,
            ),
            Own("instance.deallocate", when=keeping.lost_place, mends=True),
            Own("instance.allocate"),
            Decide(keeping.ensure_place),
            Decide(ports.claim_all),
            Decide(metadata.attach),
            Checkpoint("create network", 5),
            Child("nic", "instanceId", "nic.activate"),
            Child("instanceLink", "instanceId", "instancelink.activate"),
            Checkpoint("create storage", 80),
            Child("volume", "instanceId", "volume.activate"),
            Checkpoint("create compute", 5),
            Child("instanceHostMap", "instanceId", "instancehostmap.deactivate", when=is_ending, mends=True),
            Child("instanceHostMap", "instanceId", "instancehostmap.activate"),
            Checkpoint("post network", 5),
            Child("port", "instanceId", "port.activate"),
            Decide(nics.show_addresses),
            Decide(keeping.note_parts),
        ),
        post=(Logic("InstanceStartFirstRunning", (Decide(instances.note_first_running),), LAST),), failed="stopped",
        compensate=instances.undo_start, at_rest=keeping.still_runs,
    ),
    Process(
        "instance.stop", "instance", ("running", "starting", "migrating", "updating-running", "updating-stopped"), "stopping", "stopped",
        delegate="instance.remove", handlers=STOP, chain=instances.after_stop, failed="stopped",
        at_rest=keeping.holds_nothing,
    ),
    Process("instance.restart", "instance", ("running",), "restarting", "running", chain=instances.after_restart),
    Process(
        "instance.remove", "instance",
        ("requested", "stopped", "starting", "stopping", "creating", "migrating", "updating-running", "updating-stopped"),
        "removing", "removed",
        handlers=(
            *STOP,
            Child("nic", "instanceId", "nic.remove", ignore_invalid=True),
            Child("volume", "instanceId", "volume.remove", when=is_root, ignore_invalid=True),
        ),
        post=(REMOVED,), failed="stopped",
    ),
    Process(
        "instance.purge", "instance", ("removed",), "purging", "purged", failed="removed",
        # A removal that was forced left to this what the agents must confirm.
        handlers=(
            *TEARDOWN,
            Child("nic", "instanceId", "nic.remove", ignore_invalid=True),
            Child("port", "instanceId", "port.remove", ignore_invalid=True),
            Child("volume", "instanceId", "volume.remove", when=is_root, ignore_invalid=True),
            Child("instanceLink", "instanceId", "instancelink.remove", ignore_invalid=True),
            Own("instance.deallocate", when=instances.has_place),
        ),
        post=(PURGED,),
    ),
    Process(
        "instance.update", "instance", ("stopped", "running"), UPDATING, UPDATED,
    ),
    Process(
        "instance.restore", "instance", ("removed",), "restoring", "stopped",
        handlers=(
            Decide(instances.make_up_for_creation),
            Child("nic", "instanceId", "nic.restore", removed=True, ignore_invalid=True),
            Child("volume", "instanceId", "volume.restore", removed=True, ignore_invalid=True),
        ),
        post=(RESTORED,),
    ),
    *(
        Process(
            f"instance.{verb}", "instance", ("stopped", "running"), UPDATING, UPDATED, failed="stopped",
            handlers=(
                Decide(machines.must_be_placed),
                Ask(
                    f"compute.instance.{verb}", agent_of_machine, machines.with_input, seconds=MACHINE_MINUTES,
                    no_undo="a snapshot holds up nothing, and what was gone back to is what was asked for",
                ),
            ),
        )
        for verb in ("snapshot", "revert")
    ),
    Process(
        "instance.resize", "instance", ("stopped", "running"), UPDATING, UPDATED, failed="stopped",
        handlers=(
            Decide(machines.must_have_its_disk),
            Ask(
                "compute.instance.resize", agent_that_resizes, machines.with_input, seconds=MACHINE_MINUTES,
                no_undo="a disk only grows: what it has more harms nobody",
            ),
            Decide(machines.note_size),
        ),
    ),
    Process(
        "instance.migrate", "instance", ("running",), "migrating", "running",
        handlers=(
            Checkpoint("find placement", 5),
            Decide(moving.choose),
            Decide(ports.claim_all),
            Checkpoint("create storage", 60),
            Join(moving.images, "image.activate"),
            Join(moving.images_in_pools, "imagestoragepoolmap.activate"),
            Child("volumeStoragePoolMap", moving.new_volumes, "volumestoragepoolmap.activate"),
            Checkpoint("move compute", 30),
            Child("instanceHostMap", moving.ends_first, "instancehostmap.deactivate"),
            CONFIRMED,
            Child("instanceHostMap", moving.new_place, "instancehostmap.activate"),
            Decide(moving.arrive),
            Checkpoint("leave the old place", 5),
            *ONE_PLACE,
            Decide(ports.claim_all),
            Child("port", "instanceId", "port.deactivate", ignore_invalid=True),
            Child("port", "instanceId", "port.activate"),
            Decide(nics.show_addresses),
            Decide(keeping.note_parts),
        ),
        failed="running", compensate=moving.go_back,
    ),
    Process(
        "instance.allocate", "instance", ("inactive",), "activating", "active", field="allocationState",
        handlers=(Decide(instances.find_place), Child("volume", "instanceId", "volume.allocate")),
    ),
    Process(
        "instance.deallocate", "instance", ("activating", "active"), "deactivating", "inactive", field="allocationState", failed="active",
        handlers=(
            Child("instanceHostMap", "instanceId", "instancehostmap.remove", ignore_invalid=True),
            Logic("InstanceLeavesPlace", (Decide(instances.leave_place),), PRIORITIES["default"], always=True),
            Child("volume", "instanceId", "volume.deallocate", removed=True),
        ),
    ),
]

INSTANCE_HOST_MAP = [
    *lifecycle(
        "instanceHostMap",
        by_default=False,
        activate=Phases(
            pre=(Logic("MapGoesWithStart", (Decide(keeping.goes_with_start),), 0),),
            handlers=(
                Ask(
                    "compute.instance.migrate", agent_that_hands_over, payload.migration, seconds=HANDING_OVER, mends=True,
                    no_undo="where it went, it is ended by the deactivation of this map",
                ),
                to_host(
                    "compute.instance.activate", tries=instances.compute_tries, undo="compute.instance.deactivate",
                    undo_gone="compute.instance.remove",
                ),
            ),
            post=(
                Logic("AgentInstanceHostServicesApplyItems", (Decide(config_items.of_host),)),
                Logic("DelegateAgentMoves", (Decide(agent_instances.tell_agent),)),
                Logic("DockerPostInstanceHostMapActivate", (Decide(docker.take_over),)),
            ),
        ),
        deactivate=(to_host("compute.instance.deactivate", tries=0),),
        remove=(
            Ask("compute.instance.deactivate", agent_where_it_may_run, payload.instance_map, tries=0),
            Ask("compute.instance.remove", agent_where_nothing_else_removes_it, payload.instance_map, tries=0),
            Decide(keeping.owe_place),
        ),
        restore=(
            Decide(keeping.may_return),
            Ask("compute.instance.deactivate", agent_that_was_not_asked, payload.instance_map, tries=0),
        ),
        purge=(
            Ask("compute.instance.deactivate", agent_that_was_not_asked, payload.instance_map, tries=0),
            Ask("compute.instance.remove", agent_that_removes_what_was_forced, payload.instance_map, tries=0),
        ),
    ),
]

PROCESSES: list[Process] = [*INSTANCE, *INSTANCE_HOST_MAP]

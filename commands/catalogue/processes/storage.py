"""The life of images, volumes, pools and the maps between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from commands.catalogue.model import Ask, Child, Decide, Join, Logic, Own, Process
from commands.catalogue.processes.common import Phases, lifecycle, managing
from commands.errors import Gone
from commands.logic import instances, keeping, payload, storage
from commands.resource import Resource
from commands.turns.dead import all_gone
from commands.turns.purges import unconfirmed
from commands.turns.world import World

IMAGE_MINUTES = 10 * 60.0
"""Seconds: an image may take long to be pulled (progress restarts the clock)."""

IN_THE_POOL = "an image in a pool is of use to the next that needs it; it leaves with its map"


def agent_of_pool(world: World, each: Resource, dead_too: bool = False) -> int | None:
    pool = world.get("storagePool", each.row.get("storagePoolId"))
    if pool is not None and all_gone(world, pool.id, for_good=dead_too):
        raise Gone(f"all hosts of storagePool {pool.id} were removed{'' if dead_too else ' or declared dead'}")
    return managing(world, pool)


def agent_of_pool_not_asked(world: World, each: Resource) -> int | None:
    """Of a map that was removed by force."""
    return agent_of_pool(world, each, dead_too=True) if unconfirmed(each) else None


def agent_of_pool_left(world: World, each: Resource) -> int | None:
    """None where the image is in the pool again by another map: it stays."""
    image, pool = each.row.get("imageId"), each.row.get("storagePoolId")
    again = world.fleet.image_in_pool(image, pool) if image is not None and pool is not None else None
    return agent_of_pool(world, each) if again is None or again.id == each.id else None


def to_pool(command: str, payload_of: Callable[[World, Resource], dict[str, Any]], **more: Any) -> Ask:
    return Ask(command, agent_of_pool, payload_of, **more)


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
        "volume.deallocate", "volume", ("activating", "active"), "deactivating", "inactive", field="allocationState", failed="active",
        handlers=(*VOLUME_MAPS, Child("volumeStoragePoolMap", "volumeId", "volumestoragepoolmap.remove", ignore_invalid=True)),
    ),
]

MAPS = [
    *lifecycle(
        "volumeStoragePoolMap",
        by_default=False,
        activate=(
            to_pool(
                "storage.volume.activate", payload.volume_map, undo="storage.volume.deactivate", undo_gone="storage.volume.remove",
            ),
        ),
        deactivate=(to_pool("storage.volume.deactivate", payload.volume_map, tries=0),),
        remove=(to_pool("storage.volume.remove", payload.volume_map, tries=0), Decide(keeping.owe_volume)),
        purge=(Ask("storage.volume.remove", agent_of_pool_not_asked, payload.volume_map, tries=0),),
    ),
    *lifecycle(
        "imageStoragePoolMap",
        by_default=False,
        activate=(to_pool("storage.image.activate", payload.image_map, seconds=IMAGE_MINUTES, no_undo=IN_THE_POOL),),
        deactivate=(to_pool("storage.image.deactivate", payload.image_map, tries=0),),
        remove=(Ask("storage.image.remove", agent_of_pool_left, payload.image_map, aside=True),),
    ),
]

PROCESSES: list[Process] = [
    *VOLUME,
    *MAPS,
    *lifecycle("image"),
    *lifecycle(
        "storagePool",
        create=Phases(
            pre=(Logic("DockerStoragePoolCreate", (Decide(storage.docker_index),)),),
            handlers=(Logic("SimulatorPoolCreate", (Decide(storage.simulated_pool),)),),
        ),
    ),
    *lifecycle("storagePoolHostMap"),
]

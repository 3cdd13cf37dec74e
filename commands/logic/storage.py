"""What storage processes decide: which shared images a volume's activation joins."""

from __future__ import annotations

from commands.catalogue.model import Target
from commands.resource import Resource
from commands.turn import Turn

EXTERNAL_POOLS = {"sim": ("sim-ext-pool", None), "docker": ("docker-index", "Docker Index")}
"""kind -> (uuid, name) of the pool outside that its images come from."""


def image_of(turn: Turn, volume: Resource) -> list[Target]:
    image = volume.row.get("imageId")
    return [] if image is None else [Target("image", image)]


def images_in_pools(turn: Turn, volume: Resource) -> list[Target]:
    """The image's map to each of the volume's pools: found, or to be created by whoever comes first."""
    image = volume.row.get("imageId")
    if image is None:
        return []
    targets = []
    maps = turn.children("volumeStoragePoolMap", "volumeId", volume.id)
    for pool in dict.fromkeys(each.row["storagePoolId"] for each in maps):  # each once: two would claim the same place
        present = turn.fleet.image_in_pool(image, pool)
        targets.append(Target("imageStoragePoolMap", present.id if present else None, {"imageId": image, "storagePoolId": pool}))
    return targets


def external_pool(turn: Turn, pool: Resource) -> None:
    """A driver's first pool brings the external one that its images come from."""
    if pool.row.get("external") or pool.kind not in EXTERNAL_POOLS:
        return
    uuid, name = EXTERNAL_POOLS[pool.kind]
    if turn.fleet.by_uuid("storagePool", uuid) is None and not any(
        each.row.get("uuid") == uuid for each in turn.resources.values() if each.type == "storagePool"
    ):
        turn.create("storagePool", {"uuid": uuid, "name": name, "external": True}, kind=pool.kind)

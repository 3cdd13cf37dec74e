"""What storage processes decide: which shared images a volume's activation joins."""

from __future__ import annotations

from commands.catalogue.model import Target
from commands.resource import Resource
from commands.turns.turn import Failure, Turn

IMAGE_DRIVERS = {"sim": None, "docker": "container"}
"""Prefix of an image's uuid that a driver registers by itself -> the instanceKind it is for."""


def image_by_uuid(turn: Turn, uuid: str) -> Resource | None:
    mine = (each for each in turn.resources.values() if each.type == "image" and each.row.get("uuid") == uuid)
    return next(mine, None) or turn.fleet.by_uuid("image", uuid)


def unregistrable(uuid: str) -> str | None:
    """Why no driver registers it, if none does."""
    driver, _, name = uuid.partition(":")
    if driver not in IMAGE_DRIVERS or not name:
        known = ", ".join(f"{each}:..." for each in IMAGE_DRIVERS)
        return f"there is no image {uuid}, and no driver registers it (they take {known})"
    # What Docker's registry makes of a name is its own affair; but without a repository before the tag nobody can look one up.
    if driver == "docker" and (name[0] in ":/@" or any(each.isspace() for each in name)):
        return f"{uuid} names no Docker image: docker:NAME or docker:NAME:TAG is expected, e.g. docker:nginx:1.27"
    return None


def register_image(turn: Turn, uuid: str, account: int | None) -> Resource:
    """The image that a driver knows by its uuid: docker:nginx. Its uuid is claimed, so that there is one of it. Its processes are left
    to the engine, which knows whose handlers it has."""
    if reason := unregistrable(uuid):
        raise Failure(reason)
    driver, _, name = uuid.partition(":")
    row = {
        "uuid": uuid, "name": name, "isPublic": True, "format": driver, "instanceKind": IMAGE_DRIVERS[driver], "accountId": account,
    }  # fmt: skip
    return turn.create("image", row, kind=driver, run=False)


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


def docker_index(turn: Turn, pool: Resource) -> None:
    """storagePool.create: the first pool of Docker brings the external one that its images come from."""
    _external_pool(turn, pool, "docker", "docker-index", "Docker Index")


def simulated_pool(turn: Turn, pool: Resource) -> None:
    """The same for simulated hosts."""
    _external_pool(turn, pool, "sim", "sim-ext-pool", None)


def _external_pool(turn: Turn, pool: Resource, kind: str, uuid: str, name: str | None) -> None:
    if pool.row.get("external") or pool.kind != kind:
        return
    if turn.fleet.by_uuid("storagePool", uuid) is None and not any(
        each.row.get("uuid") == uuid for each in turn.resources.values() if each.type == "storagePool"
    ):
        turn.create("storagePool", {"uuid": uuid, "name": name, "external": True}, kind=pool.kind)

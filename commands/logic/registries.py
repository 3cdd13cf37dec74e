"""Private registries of images: which credential says who pulls an image, told to the agents that are to pull it. Pure.

A credential of kind registryCredential has the user as its publicValue, the password (or token) as its secretValue, and in its data
the registry: {"registry": "registry.example:5000"}. One of the image's account is taken before one of an admin's, the newest first.
"""

from __future__ import annotations

from commands.resource import Json, Resource
from commands.turns.world import World

KIND = "registryCredential"
REGISTRY = "registry"
DOCKER = "docker:"
DEFAULT = "docker.io"
"""Docker's own registry, whose images' names say none."""

_ALIASES = {"index.docker.io": DEFAULT, "registry-1.docker.io": DEFAULT}
_ADMINS = ("admin", "superadmin")


def registry_of(image: str) -> str:
    """Of a Docker image's name: nginx is docker.io's, and what is before a slash is a registry if it looks like an address."""
    first, slash, _ = image.partition("/")
    return normal(first) if slash and (first == "localhost" or "." in first or ":" in first) else DEFAULT


def normal(address: str) -> str:
    """As people write it: https://Registry.example/v1/ is registry.example."""
    host = address.strip().lower().rpartition("://")[2].partition("/")[0]
    return _ALIASES.get(host, host)


def credential_of(world: World, image: Resource | None) -> Resource | None:
    """The active credential for an image's registry."""
    uuid = str(image.row.get("uuid") or "") if image is not None else ""
    if image is None or not uuid.startswith(DOCKER):
        return None
    registry = registry_of(uuid.removeprefix(DOCKER))
    known = {each.stream: each for each in (*world.fleet.having("credential", "kind", KIND), *world.resources.values())}
    fitting = (each for each in known.values() if (each.type, each.kind, each.state) == ("credential", KIND, "active"))
    mine = [each for each in fitting if _registry(each) == registry and _may_use(world, each, image)]
    return max(mine, key=lambda each: (each.row.get("accountId") == image.row.get("accountId"), each.id), default=None)


def credentials_of(world: World) -> list[Resource]:
    """Those that commands about this world's root carry, as the fleet knows them: their secrets are sealed there."""
    whole = (each for each in world.resources.values() if each.type in ("instance", "imageStoragePoolMap"))
    found = (credential_of(world, world.get("image", number)) for number in {each.row.get("imageId") for each in whole})
    return [each for each in found if each is not None]


def told(world: World, image: Resource | None) -> Json:
    """For the image's tree in a command. Nothing where nobody has a credential for its registry, or that is not opened."""
    found = credential_of(world, image)
    user, password = (found.row.get("publicValue"), found.row.get("secretValue")) if found is not None else (None, None)
    if found is None or not isinstance(user, str) or not isinstance(password, str):
        return {}
    return {KIND: {"publicValue": user, "secretValue": password, REGISTRY: _registry(found)}}


def _registry(credential: Resource) -> str | None:
    said = credential.data.get(REGISTRY)
    return normal(said) if isinstance(said, str) and said.strip() else None


def _may_use(world: World, credential: Resource, image: Resource) -> bool:
    owner = credential.row.get("accountId")
    account = world.get("account", owner)
    return owner == image.row.get("accountId") or (account is not None and account.kind in _ADMINS)

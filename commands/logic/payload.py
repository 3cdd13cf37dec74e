"""What a command to an agent carries: the row it is about with its related rows, as Cattle's agents expect it. Pure.

Each row: its columns in camelCase plus `type`, dates in epoch milliseconds, `data` as a map, ids plain; secrets are left out
but for those that agents are told, and what says who pulls an image (registries.py).
"""

from __future__ import annotations

from commands.catalogue.fields import parsed_date
from commands.catalogue.model import ResourceType
from commands.catalogue.secrets import secrets_of
from commands.logic import agent_instances, links, metadata, moving, nics, ports, registries
from commands.resource import Json, Resource
from commands.turns.world import World

AUTH, AUTH_VARIABLE = "agentInstanceAuth", "CATTLE_AGENT_INSTANCE_AUTH"
"""Of an instance with an agent in it: in its data, and in its environment, what that agent says to be known."""


def image_map(world: World, each: Resource) -> Json:
    """storage.image.*: imageStoragePoolMap with image and storagePool."""
    return {
        "imageStoragePoolMap": {
            **_tree(world, each),
            "image": _image_to_pull(world, each.row.get("imageId")),
            "storagePool": _related(world, "storagePool", each.row.get("storagePoolId")),
        }
    }


def volume_map(world: World, each: Resource) -> Json:
    """storage.volume.*: volumeStoragePoolMap with volume (image, instance, storagePools) and storagePool."""
    volume = world.get("volume", each.row.get("volumeId"))
    return {
        "volumeStoragePoolMap": {
            **_tree(world, each),
            "volume": _volume(world, volume, with_instance=True) if volume else None,
            "storagePool": _related(world, "storagePool", each.row.get("storagePoolId")),
        }
    }


def instance_map(world: World, each: Resource) -> Json:
    """compute.instance.*: instanceHostMap with host and instance (image, volumes, ports, nics with their addresses and networks)."""
    instance = world.get("instance", each.row.get("instanceId"))
    return {
        "instanceHostMap": {
            **_tree(world, each),
            "host": _related(world, "host", each.row.get("hostId")),
            "instance": _instance(world, instance) if instance else None,
        }
    }


def console(world: World, host: Resource, instance: Resource) -> Json:
    """console.access: the rows alone."""
    return {"host": _tree(world, host), "instance": _tree(world, instance), "kind": None}


def migration(world: World, each: Resource) -> Json:
    """compute.instance.migrate, of the map that it moves to: the one that it moves from, as every command has it, and the host that it
    is handed over to."""
    source = moving.source_of(world, each)
    return {**(instance_map(world, source) if source else {}), "target": {"host": _related(world, "host", each.row.get("hostId"))}}


def ping(world: World, agent: Resource) -> Json:
    return {"resources": [], "options": {"stats": True, "resources": True, "instances": True}, "agent": _tree(world, agent)}


def _instance(world: World, instance: Resource) -> Json:
    tree = _tree(world, instance)
    if (tree.get("data") or {}).get(metadata.ATTACH) or instance.kind == metadata.MACHINE:
        tree["data"] = {**(tree.get("data") or {}), "metadata": metadata.tree(world, instance)}
    if (auth := agent_instances.authorization(world, instance)) is not None:
        fields = instance.fields
        environment = {**_map(fields.get("environment")), AUTH_VARIABLE: auth}
        tree["data"] = {**(tree.get("data") or {}), AUTH: auth, "fields": {**fields, "environment": environment}}
    return {
        **tree,
        "offering": None,
        "image": _image_to_pull(world, instance.row.get("imageId")),
        "volumes": [_volume(world, each) for each in world.children("volume", "instanceId", instance.id)],
        "ports": [_port(world, each) for each in world.children("port", "instanceId", instance.id)],
        "nics": [_nic(world, each) for each in nics.by_device(world, instance)],
        "instanceLinks": [_link(world, each) for each in world.children("instanceLink", "instanceId", instance.id)],
    }


def _port(world: World, port: Resource) -> Json:
    """A number that the host's engine chose before binds it to nothing: it chooses anew."""
    return {**_tree(world, port), "publicPort": port.row.get("publicPort") if ports.insisted(port) else None}


def _link(world: World, link: Resource) -> Json:
    """The target is of another root: what an agent needs of it, the link itself has kept."""
    target = link.data.get(links.TARGET)
    return {**_tree(world, link), "targetInstance": {**_map(target), "type": "instance"} if target else None}


def _nic(world: World, nic: Resource) -> Json:
    addresses = nics.addresses(world, nic)
    network = world.get("network", nic.row.get("networkId"))
    return {
        **_tree(world, nic),
        "ipAddresses": [{**_tree(world, each), "subnet": _related(world, "subnet", each.row.get("subnetId"))} for each in addresses],
        "network": None if network is None else {
            **_tree(world, network),
            "networkServices": [_tree(world, each) for each in world.having("networkService", "networkId", network.id)],
            "networkServiceProviders": [_tree(world, each) for each in world.having("networkServiceProvider", "networkId", network.id)],
        },
    }


def _volume(world: World, volume: Resource, with_instance: bool = False) -> Json:
    maps = world.children("volumeStoragePoolMap", "volumeId", volume.id, removed=True)
    pools = (world.get("storagePool", each.row.get("storagePoolId")) for each in maps)
    result = {
        **_tree(world, volume),
        "offering": None,
        "image": _related(world, "image", volume.row.get("imageId")),
        "storagePools": [_tree(world, each) for each in pools if each is not None],
    }
    if with_instance:
        result["instance"] = _related(world, "instance", volume.row.get("instanceId"))
    return result


def _image_to_pull(world: World, number: int | None) -> Json | None:
    image = world.get("image", number)
    return None if image is None else {**_tree(world, image), **registries.told(world, image)}


def _related(world: World, type_name: str, number: int | None) -> Json | None:
    resource = world.get(type_name, number)
    return None if resource is None else _tree(world, resource)


def _tree(world: World, resource: Resource) -> Json:
    kind: ResourceType = world.catalogue.type(resource.type)
    secret = secrets_of(world.catalogue, resource.type, told_agents=False)
    tree: Json = {name: None for name, each in kind.fields.items() if each.store == "col" and name not in secret}
    for name, value in resource.row.items():
        each = kind.fields.get(name)
        if name not in secret:
            tree[name] = _millis(value) if each is not None and each.type == "date" else value
    if not secret.isdisjoint(resource.fields):
        tree["data"] = {**tree["data"], "fields": {name: value for name, value in resource.fields.items() if name not in secret}}
    tree["type"] = resource.type
    return tree


def _map(value: object) -> Json:
    """What is to be one; else nothing: a command is sent whatever the free data holds."""
    return value if isinstance(value, dict) else {}


def _millis(value: object) -> int | None:
    if isinstance(value, str):
        try:
            return int(parsed_date(value).timestamp() * 1000)
        except (ValueError, OverflowError):
            return None  # of before such a date was refused
    return None

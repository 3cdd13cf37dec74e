"""What an instance may read about itself where a network of it has a metadata service with a config drive."""

from __future__ import annotations

from commands.catalogue.ids import api_id
from commands.logic import nics
from commands.resource import Json, Resource
from commands.turns.turn import Turn
from commands.turns.world import World

ATTACH = "metadataAttach"
"""In an instance's data: its agent is sent what `tree` gives."""

MACHINE = "virtualMachine"
"""A kind of instances that are always sent it: a virtual machine has a config drive whatever its networks have."""


def attach(turn: Turn, instance: Resource) -> None:
    """instance.start: noted once it applies. With its placement, so that the log has it before the command to its agent, which is built
    anew from there after a restart."""
    if not instance.data.get(ATTACH) and _applies(turn, instance):
        turn.merge(instance.stream, {"+data": {ATTACH: True}})


def _applies(world: World, instance: Resource) -> bool:
    networks = (each.row.get("networkId") for each in world.children("nic", "instanceId", instance.id))
    services = (each for number in networks if number is not None for each in world.having("networkService", "networkId", number))
    return any(each.kind == "metadataService" and each.fields.get("configDrive") for each in services)


def _ssh_keys(world: World, instance: Resource) -> list[str]:
    """The public halves of its ssh keys, as lines for authorized_keys, in the order in which it was given them."""
    maps = world.children("credentialInstanceMap", "instanceId", instance.id)
    found = (world.get("credential", each.row.get("credentialId")) for each in maps)
    return [str(each.row["publicValue"]) for each in found if each is not None and each.kind == "sshKey" and each.row.get("publicValue")]


def tree(world: World, instance: Resource) -> Json:
    """By the instance's address, under the names that cloud images ask for."""
    primary = nics.primary_address(world, instance)
    address = str(primary.row["address"]) if primary else ""
    hostname = instance.row.get("hostname") or instance.row.get("name") or str(instance.row.get("uuid"))
    described = {
        "instance-id": api_id(instance.type, instance.id, world.catalogue),
        "hostname": hostname,
        "local-hostname": hostname,
        "local-ipv4": address or None,
        "public-ipv4": nics.public_address(world, primary) if primary else None,
        "public-keys": {str(index): {"openssh-key": line} for index, line in enumerate(_ssh_keys(world, instance))},
    }
    return {address: {"meta-data": described, "user-data": instance.row.get("userdata")}}

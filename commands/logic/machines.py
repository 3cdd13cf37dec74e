"""What virtual machines have beyond Cattle's instances: snapshots, and a size that can change. The agent of their host is asked."""

from __future__ import annotations

from commands.logic import payload
from commands.resource import Json, Resource
from commands.turns.turn import Failure, Turn
from commands.turns.world import World


def places(world: World, instance: Resource) -> list[Resource]:
    """The maps to the hosts that it is on: one, or none."""
    return world.children("instanceHostMap", "instanceId", instance.id)


def must_be_placed(turn: Turn, instance: Resource) -> None:
    if not places(turn, instance):
        raise Failure(f"{instance.name} is on no host: start it first")


def with_input(world: World, instance: Resource) -> Json:
    """As for compute.instance.*, with what the request said under the verb's name: {"snapshot": {"name": "before"}}."""
    bracket = instance.open.get("state")
    asked = {bracket.process.partition(".")[2]: bracket.input} if bracket is not None else {}
    return {**next((payload.instance_map(world, each) for each in places(world, instance)), {}), **asked}


def resizes_a_disk(instance: Resource) -> bool:
    """Else there is nothing for the agent to do: memory and processors are the next start's."""
    bracket = instance.open.get("state")
    return bracket is not None and bracket.input.get("rootSizeMb") is not None


def must_have_its_disk(turn: Turn, instance: Resource) -> None:
    if resizes_a_disk(instance):
        must_be_placed(turn, instance)


def note_size(turn: Turn, instance: Resource) -> None:
    """instance.resize: what was asked for is what it is from now on."""
    given = turn.input(instance)
    if given.get("memoryMb") not in (None, instance.row.get("memoryMb")):
        turn.merge(instance.stream, {"memoryMb": given["memoryMb"]})
    if given.get("vcpu") not in (None, instance.fields.get("vcpu")):
        turn.merge(instance.stream, {"+data": {"+fields": {"vcpu": given["vcpu"]}}})
    size = given.get("rootSizeMb")
    for volume in turn.children("volume", "instanceId", instance.id):
        if size is not None and volume.row.get("deviceNumber") == 0 and volume.row.get("virtualSizeMb") != size:
            turn.merge(volume.stream, {"virtualSizeMb": size})

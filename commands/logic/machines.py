"""What virtual machines have beyond Cattle's instances: snapshots, and a size that can change. The agent of their host is asked."""

from __future__ import annotations

from commands.errors import Gone
from commands.logic import payload
from commands.resource import Json, Resource
from commands.turns.turn import Failure, Turn
from commands.turns.world import World


def agent_of(world: World, instance: Resource) -> int | None:
    """Of the host that the instance is on; None: it is on none."""
    host = next((world.get("host", each.row.get("hostId")) for each in _maps(world, instance)), None)
    if host is None:
        return None
    if host.removed:
        raise Gone(f"{host.stream.replace('-', ' ')} was removed")
    number: int | None = host.row.get("agentId")
    return number


def must_be_placed(turn: Turn, instance: Resource) -> None:
    if not _maps(turn, instance):
        raise Failure(f"{instance.name} is on no host: start it first")


def with_input(world: World, instance: Resource) -> Json:
    """As for compute.instance.*, with what the request said under the verb's name: {"snapshot": {"name": "before"}}."""
    bracket = instance.open.get("state")
    asked = {bracket.process.partition(".")[2]: bracket.input} if bracket is not None else {}
    return {**next((payload.instance_map(world, each) for each in _maps(world, instance)), {}), **asked}


def resizes_a_disk(world: World, instance: Resource) -> int | None:
    """The agent, where there is something for it to do: memory and processors are the next start's."""
    bracket = instance.open.get("state")
    return agent_of(world, instance) if bracket is not None and bracket.input.get("rootSizeMb") is not None else None


def must_have_its_disk(turn: Turn, instance: Resource) -> None:
    if turn.input(instance).get("rootSizeMb") is not None:
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


def _maps(world: World, instance: Resource) -> list[Resource]:
    return world.children("instanceHostMap", "instanceId", instance.id)

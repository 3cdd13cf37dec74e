"""What commands to agents carry of secrets: an instance's token, which Cattle's agents use, and nothing else."""

from __future__ import annotations

from commands.catalogue.builtin import CATALOGUE
from commands.logic import payload
from commands.resource import Json, Resource, fold_all
from commands.secrets.vault import Vault
from commands.turns.decide import Update
from commands.turns.world import World
from eventstore import Event, Write
from eventstore.memory import MemoryStore
from tests.support.story import a_cloud


async def of_instance(fields: Json) -> Json:
    """The payload for a running instance with these fields, built as the engine builds it from what is in the log."""
    story = a_cloud()
    story.create("virtualMachine", imageId=1, accountId=1)
    story.answer_all()
    story.command("instance-1", Update({"data": {"fields": fields}, "name": "n"}))
    store = MemoryStore()
    vault = Vault(store, CATALOGUE)
    for event in story.log:
        version = len(await store.read(event.stream))
        written = Write(event.stream, version, (Event(event.type, event.data),), event.root)
        await store.append(await vault.sealed([written]))
    resources = {each.stream: each for each in await vault.opened_all(await folded(store))}
    world = World(CATALOGUE, resources, story.fleet)
    whole = payload.instance_map(world, resources["instanceHostMap-1"])
    instance: Json = whole["instanceHostMap"]["instance"]
    assert "sealed" not in str(whole)
    return instance


async def folded(store: MemoryStore) -> list[Resource]:
    return list(fold_all(await store.read_root("instance-1")).values())


async def test_an_agent_is_told_the_token_and_no_other_secret() -> None:
    instance = await of_instance({"libvirtVncPassword": "shown on the screen", "libvirtVncAddress": "192.0.2.1"})
    assert len(instance["token"]) > 60
    assert instance["data"]["fields"]["libvirtVncAddress"] == "192.0.2.1"
    assert "libvirtVncPassword" not in instance["data"]["fields"]
    assert "shown on the screen" not in str(instance)


async def test_the_rows_of_a_payload_are_otherwise_as_they_were() -> None:
    instance = await of_instance({"note": "kept"})
    assert instance["data"]["fields"]["note"] == "kept"
    assert instance["name"] == "n"

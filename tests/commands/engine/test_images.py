"""Images that are removed and purged, and what an agent hears when one leaves a pool: real NATS, a real log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agents.wire import PARTITIONS, Message
from commands.errors import Conflict, Refused
from commands.logic.storage import unregistrable
from commands.resource import Resource
from commands.sending.dispatch import Dispatch
from eventstore import Recorded, Store
from tests.support.cloud import Cloud, a_running_cloud

REMOVE = "storage.image.remove"


async def removed_image(cloud: Cloud) -> Resource:
    first = await cloud.create("container", imageUuid="sim:x", startOnCreate=False)
    image = f"image-{first.row['imageId']}"
    number = int(first.row["imageId"])
    await cloud.until(image, "active")
    await cloud.commands.run("image", number, "deactivate", {}, cloud.actor)
    await cloud.until(image, "inactive")
    await cloud.commands.delete("image", number, cloud.actor)
    return await cloud.until(image, "removed")


async def test_nothing_is_created_from_a_removed_image(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:
        image = await removed_image(cloud)
        for fields in ({"imageUuid": "sim:x"}, {"imageId": image.id}):
            with pytest.raises(Refused, match="is removed: restore it, or purge it"):
                await cloud.create("container", **fields)


async def test_a_purged_images_uuid_is_registered_anew(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:
        image = await removed_image(cloud)
        with pytest.raises(Conflict, match="choose another"):
            await cloud.create("image", uuid="sim:x")
        await cloud.commands.run("image", image.id, "purge", {}, cloud.actor)
        await cloud.until(image.stream, "purged")
        second = await cloud.create("container", imageUuid="sim:x")
        running = await cloud.until(second.stream, "running")
        assert running.row["imageId"] != image.id
        with pytest.raises(Refused, match="it is purged"):
            await cloud.create("container", imageId=image.id)


async def leave_the_pool(cloud: Cloud) -> Resource:
    created = await cloud.create("container", imageUuid="sim:x")
    await cloud.until(created.stream, "running")
    await cloud.commands.run("imageStoragePoolMap", 1, "deactivate", {}, cloud.actor)
    await cloud.until("imageStoragePoolMap-1", "inactive")
    await cloud.commands.delete("imageStoragePoolMap", 1, cloud.actor)
    return await cloud.until("imageStoragePoolMap-1", "removed")


async def heard(cloud: Cloud, times: int, seconds: float = 20.0) -> list[Message]:
    async with asyncio.timeout(seconds):
        while len(cloud.agent.commands(REMOVE)) < times:
            await asyncio.sleep(0.01)
    return cloud.agent.commands(REMOVE)


async def test_an_agent_hears_that_an_image_left_its_pool(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:
        removed = await leave_the_pool(cloud)
        [message] = await heard(cloud, 1)
        assert message.data["imageStoragePoolMap"]["image"]["uuid"] == "sim:x"
        requests = await store.read_all(0, 1000, types=["step-requested"])
        assert message.epoch == next(event.position for event in requests if event.data["command"] == REMOVE)
        assert not removed.open


@pytest.mark.parametrize("answer", ["I know no such command", None], ids=["error", "silence"])
async def test_an_agent_that_does_not_do_it_holds_nothing_up(store: Store, nats_url: str, answer: str | None) -> None:
    async def unwilling(message: Message) -> Any:
        return answer if message.name == REMOVE else {}

    async with a_running_cloud(store, nats_url, behave=unwilling) as cloud:
        removed = await leave_the_pool(cloud)
        await heard(cloud, 1 if answer else 2)  # silence is asked again, an error is an answer
        again = await cloud.resource(removed.stream)
        assert (again.state, again.open, again.fields.get("transitioning")) == ("removed", {}, None)
        created = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(created.stream, "running")
        assert (await cloud.resource("imageStoragePoolMap-2")).state == "active"


async def ends(cloud: Cloud, count: int = 1) -> list[Recorded]:
    """How the removal of the image was ended."""
    async with asyncio.timeout(60):
        while True:
            found = [event for event in await cloud.store.read("imageStoragePoolMap-1") if event.data.get("late")]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.05)


async def test_what_nothing_waits_for_is_sent_by_the_next_engine_where_one_dies_before_it_did(
    store: Store, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = Dispatch._publish
    with monkeypatch.context() as patched:
        patched.setattr(Dispatch, "_publish", lambda self, each: None if each.command == REMOVE else publish(self, each))
        async with a_running_cloud(store, nats_url) as cloud:
            await leave_the_pool(cloud)
            assert not cloud.agent.commands(REMOVE)
    requests = await store.read_all(0, 1000, types=["step-requested"])
    [request] = [event for event in requests if event.data["command"] == REMOVE]
    async with a_running_cloud(store, nats_url) as cloud:
        await cloud.agent.listen(request.data["agent"])
        message = (await heard(cloud, 1))[0]
        assert (message.id, message.epoch) == (request.data["id"], request.position)
        assert message.data["imageStoragePoolMap"]["image"]["uuid"] == "sim:x"
        [end] = await ends(cloud)
        assert (end.type, end.data["id"]) == ("step-succeeded", message.id)
        known = len(cloud.agent.commands(REMOVE))
    async with a_running_cloud(store, nats_url) as cloud:  # and not a second time
        await cloud.agent.listen(request.data["agent"])
        await asyncio.sleep(1.5)
        assert known
        assert not cloud.agent.commands(REMOVE)
        assert "imageStoragePoolMap-1" not in {work.root for work in await store.due_work(range(PARTITIONS))}


async def test_an_agent_that_never_answers_is_asked_for_a_while_and_then_no_more(store: Store, nats_url: str) -> None:
    async def silent(message: Message) -> Any:
        return None if message.name == REMOVE else {}

    async with a_running_cloud(store, nats_url, behave=silent, settings={"agent.silence.seconds": 2}) as cloud:
        await leave_the_pool(cloud)
        [end] = await ends(cloud)
        assert end.type == "step-failed"
        assert end.data["error"] == "agent 1 has not answered storage.image.remove: it is asked no more, as nothing waits for it"
        [message] = {each.id: each for each in cloud.agent.commands(REMOVE)}.values()
        await cloud.agent.answer(message, {})  # too late: nothing is done with it
        heard_so_far = len(cloud.agent.commands(REMOVE))
        await asyncio.sleep(3)
        assert len(cloud.agent.commands(REMOVE)) == heard_so_far
        assert len(await ends(cloud)) == 1


async def test_a_new_ssh_key_is_a_pair_that_ssh_can_use(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:
        created = await cloud.create("sshKey", name="mine")
        key = await cloud.commands.vault.opened(await cloud.until(created.stream, "active"))
        assert key.row["publicValue"].startswith("ssh-rsa AAAA")
        assert key.row["publicValue"].endswith(" cattle@cattle")
        assert key.row["secretValue"].startswith("-----BEGIN RSA PRIVATE KEY-----")
        given = await cloud.create("sshKey", publicValue="ssh-rsa of their own")
        assert given.row["publicValue"] == "ssh-rsa of their own"
        assert given.row.get("secretValue") is None


async def test_a_row_that_a_name_is_changed_to_must_be_free(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:
        await cloud.create("configItem", name="one")
        second = await cloud.create("configItem", name="two")
        with pytest.raises(Conflict, match=r"configItem\.name 'one' is already that of configItem-1"):
            await cloud.commands.update("configItem", second.id, {"name": "one"}, cloud.actor)
        with pytest.raises(Conflict):
            await cloud.create("configItem", name="one")


@pytest.mark.parametrize(
    "uuid",
    ["docker:nginx", "docker:nginx:1.27", "docker:cattle/agent-instance:v0.1", "docker:quay.io:5000/a/b:c", "docker:a@sha256:0123",
     "docker:Odd_.Name", "docker:ubuntu:", "sim:x", "sim:::", "sim:compute.instance.activate::fail", "sim: any thing"],
)  # fmt: skip
def test_a_driver_registers_whatever_its_engine_may_know(uuid: str) -> None:
    assert unregistrable(uuid) is None


@pytest.mark.parametrize("uuid", ["docker::::", "docker::tag", "docker:/x", "docker:@sha256:0123", "docker:two words", "docker: "])
def test_what_can_be_no_docker_image_is_refused_with_an_example(uuid: str) -> None:
    assert unregistrable(uuid) == f"{uuid} names no Docker image: docker:NAME or docker:NAME:TAG is expected, e.g. docker:nginx:1.27"

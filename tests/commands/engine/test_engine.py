"""The engine at work: real NATS, a real log, agents that lose, repeat and delay."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from nats.aio.msg import Msg
from structlog.testing import capture_logs

from agents.wire import PARTITIONS, Message, reply_subject
from commands.accepting.service import Actor
from commands.errors import Conflict, Refused
from eventstore import CommandKey, Store
from eventstore.memory import MemoryStore
from tests.support.cloud import a_running_cloud

ACTIVATE = "compute.instance.activate"


async def test_a_container_runs(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:
        created = await cloud.create("container", imageUuid="sim:x", name="web")
        assert created.state == "creating"
        running = await cloud.until(created.stream, "running")
        assert running.row["allocationState"] == "active"
        assert [message.name for message in cloud.agent.heard][1:] == ["storage.image.activate", "storage.volume.activate", ACTIVATE]
        data = cloud.agent.commands(ACTIVATE)[0].data["instanceHostMap"]
        assert data["instance"]["name"] == "web"
        assert data["host"]["kind"] == "sim"


async def test_a_command_carries_the_position_of_its_request_as_its_epoch(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:
        created = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(created.stream, "running")
        message = cloud.agent.commands(ACTIVATE)[0]
        requests = await store.read_all(0, 1000, types=["step-requested"])
        [request] = [event for event in requests if event.data["id"] == message.id]
        assert message.epoch == request.position


@pytest.mark.parametrize("minutes", [10, -10])
async def test_an_error_is_tried_again_at_once_however_far_the_logs_clock_is_off(nats_url: str, minutes: int) -> None:
    tries: Counter[str] = Counter()

    async def fails_once(message: Message) -> Any:
        tries[message.name] += 1
        return "not yet" if (message.name, tries[message.name]) == (ACTIVATE, 1) else {}

    store = MemoryStore(clock=lambda: datetime.now(UTC) + timedelta(minutes=minutes))
    async with a_running_cloud(store, nats_url, behave=fails_once) as cloud:
        created = await cloud.create("container", imageUuid="sim:x")
        running = await cloud.until(created.stream, "running", seconds=30)
        assert tries[ACTIVATE] == 2
        created_at = datetime.fromisoformat(running.row["created"])
        assert abs(created_at - datetime.now(UTC) - timedelta(minutes=minutes)) < timedelta(minutes=1)
    await store.close()


async def test_a_lost_command_is_sent_again_with_the_same_id(store: Store, nats_url: str) -> None:
    seen: Counter[str] = Counter()

    async def loses_the_first(message: Message) -> Any:
        seen[message.id] += 1
        return {} if seen[message.id] > 1 else None

    async with a_running_cloud(store, nats_url, behave=loses_the_first) as cloud:
        created = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(created.stream, "running", seconds=15)
    assert len(seen) == 3
    assert set(seen.values()) == {2}


async def test_an_answer_that_comes_twice_counts_once(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:

        async def answers_twice(message: Message) -> Any:
            await cloud.agent.answer(message, {})
            return {}

        cloud.agent.behave = answers_twice
        created = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(created.stream, "running")
        await asyncio.sleep(0.1)
        answers = [event.data["id"] for event in await store.read_all(0, 1000) if event.type == "step-succeeded"]
        assert len(answers) == len(set(answers))


async def test_late_answers_about_nothing_that_there_is_end_nothing(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:
        for stream in ("nonsense", "nonsense-1", "instance-", "instance-\u00b2", "instance-1\x00", "instance-99", "ins\x00tance-1"):
            body = Message(name="reply", context={"stream": stream}).encode()
            for partition in range(PARTITIONS):
                await cloud.agent.nats.publish(reply_subject(partition, 1, "unknown"), body)
        await cloud.agent.nats.flush()
        created = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(created.stream, "running")
        await cloud.commands.run("instance", created.id, "stop", {}, cloud.actor)
        await cloud.until(created.stream, "stopped")


async def test_an_answer_in_another_agents_name_is_dropped_and_the_agents_own_counts(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:
        [agent] = cloud.engine.fleet.all("agent")
        own = f".a{agent.id}."

        async def is_talked_over(message: Message) -> Any:
            reply = message.replyTo or ""
            for foreign in (".a999.", ".handler-demo."):
                lie = message.reply(transitioning="error", message="a lie").encode()
                await cloud.agent.nats.publish(reply.replace(own, foreign), lie)
            await cloud.agent.nats.flush()
            return {}

        cloud.agent.behave = is_talked_over
        with capture_logs() as logs:
            created = await cloud.create("container", imageUuid="sim:x")
            await cloud.until(created.stream, "running")
        dropped = [each for each in logs if each.get("action") == "reply-foreign"]
        assert {each["subject"].split(".")[3] for each in dropped} == {"a999", "handler-demo"}
        assert [event for event in await store.read_all(0, 1000) if event.type == "step-failed"] == []


async def test_one_hundred_slots_take_one_hundred_of_five_hundred_and_the_others_are_told_why(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url, hosts=4) as cloud:
        hosts = [each.id for each in cloud.engine.fleet.all("host")]
        for host in hosts:
            await cloud.commands.update("host", host, {"computeFree": 25}, cloud.actor)
        created = await asyncio.gather(*(cloud.create("container", imageUuid="sim:x", name=f"c{number}") for number in range(500)))
        ended = [await cloud.until(each.stream, "running", "removed", seconds=60) for each in created]
        counted = Counter(each.state for each in ended)
        assert counted == {"running": 100, "removed": 400}
        for each in ended:
            if each.state == "removed":
                assert each.fields["transitioningMessage"].count("full, 0 of 25 free, 1 needed") == 4
        assert [await store.used(f"host-{host}/compute") for host in hosts] == [25] * 4


async def test_an_engine_that_starts_again_goes_on_with_what_is_unanswered(store: Store, nats_url: str) -> None:
    async def silent(message: Message) -> Any:
        return None

    async with a_running_cloud(store, nats_url, behave=silent) as cloud:
        created = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(created.stream, "starting")
        while not cloud.agent.commands("storage.image.activate"):
            await asyncio.sleep(0.01)
        first = cloud.agent.commands("storage.image.activate")[0]
    async with a_running_cloud(store, nats_url) as cloud:
        with pytest.raises(AssertionError):  # the second cloud's own agent has other hosts: the first agent's commands go unanswered
            await cloud.until(created.stream, "running", seconds=0.5)
        await cloud.agent.nats.subscribe("corral.agent.>", cb=cloud.agent.on_command)
        await cloud.until(created.stream, "running", seconds=15)
        again = cloud.agent.commands("storage.image.activate")[0]
        assert (again.id, again.data) == (first.id, first.data)


async def test_the_same_idempotency_key_has_one_effect_and_one_answer(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:
        key = CommandKey("1", "my-key", "hash")
        fields = {"imageUuid": "sim:x", "name": "once"}
        outcomes = await asyncio.gather(*(cloud.commands.create("container", dict(fields), cloud.actor, key) for _ in range(8)))
        assert {each.resource.stream for each in outcomes} == {"instance-1"}
        assert {each.position for each in outcomes} == {outcomes[0].position}
        with pytest.raises(Refused, match="used for a different request"):
            await cloud.commands.create("container", dict(fields), cloud.actor, CommandKey("1", "my-key", "other"))


async def test_a_uuid_that_another_has_is_a_conflict(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:
        await cloud.create("host", uuid="mine", kind="sim")
        with pytest.raises(Conflict, match="'mine' is already that of host-"):
            await cloud.commands.create("host", {"uuid": "mine", "kind": "sim"}, Actor(1))


async def test_many_who_name_a_new_image_at_once_register_it_once(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:
        created = await asyncio.gather(*(cloud.create("container", imageUuid="sim:new") for _ in range(20)))
        assert {each.row["imageId"] for each in created} == {1}
        for each in created:
            await cloud.until(each.stream, "running")
        assert len(cloud.agent.commands("storage.image.activate")) == 1


async def test_every_event_is_announced_in_order_with_its_position_and_without_secrets(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:
        heard: list[dict[str, Any]] = []

        async def on_event(message: Msg) -> None:
            heard.append(orjson.loads(message.data))

        await cloud.agent.nats.subscribe("corral.event.>", cb=on_event)
        await cloud.agent.nats.flush()
        head = await store.head()
        created = await cloud.create("account", name="somebody", kind="user")
        await cloud.until(created.stream, "active")
        last = await store.head()
        while not heard or heard[-1]["position"] < last:
            await asyncio.sleep(0.01)
        positions = [each["position"] for each in heard if head < each["position"] <= last]  # what came before may be announced late
        assert positions == list(range(head + 1, last + 1))
        secrets = [each["data"]["changes"]["secretValue"] for each in heard if "secretValue" in each["data"].get("changes", {})]
        assert secrets
        assert set(secrets) == {"***"}

"""External handlers over real NATS and a real log: plain clients answer, lose, repeat and fail; engines come and go."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg

from agents.wire import PARTITIONS, partition_of
from commands.catalogue.builtin import CATALOGUE
from commands.engine.engine import Engine
from commands.resource import Resource
from commands.sending.bus import Bus
from commands.settings.settings import DEFAULTS
from eventstore import Store
from tests.support.cloud import Cloud, a_running_cloud
from tests.support.plain_handler import PlainHandler, a_plain_handler, never, with_an_error, with_an_event, with_body

HELLO = {"data": {"+data": {"hello": "world"}}}
LONG = 30.0


async def register(cloud: Cloud, *names: str, name: str = "demo", **more: Any) -> Resource:
    made = await cloud.create("externalHandler", name=name, processNames=list(names or ["instance.start"]), **more)
    return await cloud.until(made.stream, "active", seconds=LONG)


async def parked(cloud: Cloud, stream: str) -> str:
    async with asyncio.timeout(LONG):
        while True:
            bracket = (await cloud.resource(stream)).open["state"]
            if bracket.parked:
                return bracket.parked
            await asyncio.sleep(0.02)


async def test_a_plain_client_handles_a_start_with_a_bare_json_body(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud, a_plain_handler(nats_url, with_body(HELLO)) as handler:
        await register(cloud)
        created = await cloud.create("container", imageUuid="sim:x", name="web", description="a test")
        running = await cloud.until(created.stream, "running", seconds=LONG)
        assert running.row["data"]["hello"] == "world"
        [event] = handler.heard
        assert handler.subjects == ["corral.handler.demo.instance.start"]
        assert event["name"] == "instance.start;handler=demo"
        assert (event["resourceType"], event["resourceId"]) == ("instance", f"1i{created.id}")
        assert event["data"]["imageUuid"] == "sim:x"
        assert (event["data"]["name"], event["data"]["description"]) == ("web", "a test")
        assert event["timeoutMillis"] == 15000
        assert event["context"]["prettyProcess"] == f"instance.start[1i{created.id}]"
        assert {"id", "time", "replyTo", "previousIds", "publisher", "transitioning"} <= event.keys()


async def test_an_actions_input_is_what_its_handlers_get(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud, a_plain_handler(nats_url, with_body(b"")) as handler:
        await register(cloud, "instance.stop")
        created = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(created.stream, "running", seconds=LONG)
        await cloud.commands.run("container", created.id, "stop", {"deallocateFromHost": True}, cloud.actor)
        await cloud.until(created.stream, "stopped", seconds=LONG)
        assert handler.heard[0]["data"] == {"deallocateFromHost": True}
        assert "compute.instance.deactivate" in {each.name for each in cloud.agent.heard}  # no result: the built-in logic ran too


async def test_an_event_of_cattles_form_answers_too(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud, a_plain_handler(nats_url, with_an_event):
        await register(cloud, "pre.instance.start")
        created = await cloud.create("container", imageUuid="sim:x")
        running = await cloud.until(created.stream, "running", seconds=LONG)
        assert running.row["data"]["hello"] == "world"
        assert "compute.instance.activate" in {each.name for each in cloud.agent.heard}


async def test_an_error_fails_the_process_and_is_shown(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud, a_plain_handler(nats_url, with_an_error):
        await register(cloud)
        created = await cloud.create("container", imageUuid="sim:x")
        removed = await cloud.until(created.stream, "removed", seconds=LONG)
        assert removed.fields["transitioningMessage"] == "not today : the moon is full"


async def test_names_that_nats_would_misread_are_escaped(store: Store, nats_url: str) -> None:
    subject = "corral.handler.my%2E%3E%20%2Ahandler.instance.start"
    async with a_running_cloud(store, nats_url) as cloud, a_plain_handler(nats_url, with_body(HELLO), subject) as handler:
        await register(cloud, name="my.> *handler")
        created = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(created.stream, "running", seconds=LONG)
        assert handler.heard[0]["name"] == "instance.start;handler=my.> *handler"


async def test_a_lost_reply_is_asked_for_again_and_counts_once(store: Store, nats_url: str) -> None:
    async def the_second_time(handler: PlainHandler, message: Msg, event: dict[str, Any]) -> None:
        if len(handler.heard) > 1:
            await message.respond(json.dumps(HELLO).encode())
            await message.respond(json.dumps({"data": {"description": "again"}}).encode())

    async with a_running_cloud(store, nats_url) as cloud, a_plain_handler(nats_url, the_second_time) as handler:
        await register(cloud, timeoutMillis=1000)
        created = await cloud.create("container", imageUuid="sim:x")
        running = await cloud.until(created.stream, "running", seconds=LONG)
        assert {event["id"] for event in handler.heard} == {handler.heard[0]["id"]}
        assert len(handler.heard) == 2
        assert running.row.get("description") is None
        answers = [event for event in await store.read(created.stream) if event.type == "step-succeeded"]
        assert len(answers) == 1


async def test_several_subscribers_may_answer_and_the_first_counts(store: Store, nats_url: str) -> None:
    async with (
        a_running_cloud(store, nats_url) as cloud,
        a_plain_handler(nats_url, with_body({"data": {"description": "one of two"}})) as first,
        a_plain_handler(nats_url, with_body({"data": {"description": "one of two"}})) as second,
    ):
        await register(cloud, "pre.instance.start")
        created = await cloud.create("container", imageUuid="sim:x")
        running = await cloud.until(created.stream, "running", seconds=LONG)
        assert running.row["description"] == "one of two"
        assert first.heard == second.heard
        answers = [event for event in await store.read(created.stream) if event.type == "step-succeeded"]
        assert len(answers) == 1


async def test_a_malformed_answer_is_none_and_a_later_one_counts(store: Store, nats_url: str) -> None:
    async def clumsy(handler: PlainHandler, message: Msg, event: dict[str, Any]) -> None:
        for body in (b"OK", b"[1]", b'{"data": "text"}', b'{"transitioning": "maybe"}', json.dumps(HELLO).encode()):
            await message.respond(body)

    async with a_running_cloud(store, nats_url) as cloud, a_plain_handler(nats_url, clumsy):
        await register(cloud)
        created = await cloud.create("container", imageUuid="sim:x")
        running = await cloud.until(created.stream, "running", seconds=LONG)
        assert running.row["data"]["hello"] == "world"


async def test_progress_restarts_the_clock(store: Store, nats_url: str) -> None:
    async def slowly(handler: PlainHandler, message: Msg, event: dict[str, Any]) -> None:
        for _ in range(8):
            await message.respond(json.dumps({"transitioning": "yes", "transitioningMessage": "still at it"}).encode())
            await asyncio.sleep(0.3)
        await message.respond(json.dumps(HELLO).encode())

    async with a_running_cloud(store, nats_url) as cloud, a_plain_handler(nats_url, slowly) as handler:
        await register(cloud, timeoutMillis=2000, retries=1)
        created = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(created.stream, "running", seconds=LONG)
        assert len(handler.heard) == 1
        happened = {event.type for event in await store.read(created.stream)}
        assert "progressed" in happened
        assert "process-parked" not in happened


async def test_a_silent_handler_parks_the_process_until_it_is_deactivated(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud, a_plain_handler(nats_url, never) as handler:
        registered = await register(cloud, timeoutMillis=1000, retries=2)
        created = await cloud.create("container", imageUuid="sim:x")
        assert "external handler demo has not answered" in await parked(cloud, created.stream)
        assert (await cloud.resource(created.stream)).state == "starting"
        assert len(handler.heard) >= 2
        await cloud.commands.run("externalHandler", registered.id, "deactivate", {}, cloud.actor)
        await cloud.until(created.stream, "running", seconds=LONG)
        asked = len(handler.heard)
        await asyncio.sleep(1.2)
        assert len(handler.heard) == asked


async def test_a_handler_that_begins_to_listen_is_asked_soon(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:
        await register(cloud)
        created = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(created.stream, "starting", seconds=LONG)
        await asyncio.sleep(1.5)
        began = time.monotonic()
        async with a_plain_handler(nats_url, with_body(HELLO)):
            await cloud.until(created.stream, "running", seconds=14)
        assert time.monotonic() - began < 14  # its timeout is 15 s: it did not have to wait for that


async def test_an_engine_that_starts_again_asks_what_is_unanswered_with_the_same_payload(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud, a_plain_handler(nats_url, never) as handler:
        await register(cloud)
        created = await cloud.create("container", imageUuid="sim:x", name="before")
        await handler.until_heard(1)
        first = handler.heard[0]
        await cloud.commands.update("container", created.id, {"name": "after"}, cloud.actor)
    async with a_plain_handler(nats_url, with_body(HELLO)) as handler, a_running_cloud(store, nats_url) as cloud:
        await cloud.until(created.stream, "running", seconds=LONG)
        assert {**handler.heard[0], "time": 0} == {**first, "time": 0}


@asynccontextmanager
async def two_engines(store: Store, nats_url: str) -> AsyncIterator[Cloud]:
    """A cloud whose engine shares the partitions with one more, half each."""
    async with AsyncExitStack() as stack:
        bus = Bus(nats_url, "second")
        await bus.start()
        stack.push_async_callback(bus.close)
        second = Engine(store, bus, CATALOGUE, DEFAULTS, holder="second")
        task = asyncio.create_task(second.run())

        async def stop() -> None:
            task.cancel()
            await asyncio.wait({task}, timeout=10)

        stack.push_async_callback(stop)
        cloud = await stack.enter_async_context(a_running_cloud(store, nats_url))
        async with asyncio.timeout(LONG):
            while {len(each.vitals()["partitions"]) for each in (cloud.engine, second)} != {PARTITIONS // 2}:
                await asyncio.sleep(0.05)
        yield cloud


def of_both(cloud: Cloud, created: list[Resource]) -> bool:
    """Whether each of the two engines has some of them."""
    return {partition_of(each.stream) in cloud.engine.vitals()["partitions"] for each in created} == {True, False}


@pytest.mark.timeout(240)  # hundreds of creates, on two engines of one process
async def test_a_changed_handler_is_in_force_on_all_engines_with_its_answer_while_they_create_hundreds(store: Store, nats_url: str) -> None:
    async with two_engines(store, nats_url) as cloud, a_plain_handler(nats_url, with_body(HELLO)):
        busy: list[Resource] = []
        enough = asyncio.Event()

        async def load() -> None:
            while not enough.is_set():
                busy.extend(await asyncio.gather(*(cloud.create("container", imageUuid="sim:busy") for _ in range(40))))

        async def under_way() -> int:
            return len(await store.due_work(range(PARTITIONS)))

        async def until_they_are_busy() -> None:
            while await under_way() < 100:
                assert len(busy) < 5000, "the engines are faster than this can ask"
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as group:
            group.create_task(load())
            await until_they_are_busy()
            registered = await cloud.create("externalHandler", name="demo", processNames=["instance.start"])
            created = [await cloud.create("container", imageUuid="sim:x") for _ in range(8)]
            assert await under_way() > 2 * len(created), "this tells nothing of busy engines"
            for each in created:
                await cloud.until(each.stream, "running", seconds=2 * LONG)
            await until_they_are_busy()
            await cloud.commands.run("externalHandler", registered.id, "deactivate", {}, cloud.actor)
            later = [await cloud.create("container", imageUuid="sim:x") for _ in range(8)]
            assert await under_way() > 2 * len(later), "this tells nothing of busy engines"
            enough.set()
        assert of_both(cloud, created)
        for each in later:
            await cloud.until(each.stream, "running", seconds=2 * LONG)
        assert [await joined(store, each.stream) for each in created] == [["demo"]] * 8
        assert [await joined(store, each.stream) for each in later] == [[]] * 8


async def joined(store: Store, stream: str) -> list[str]:
    """The handlers that took part in the processes of an instance."""
    return [handler["name"] for event in await store.read(stream) for handler in event.data.get("handlers", ())]


async def test_those_who_wait_on_another_engine_go_on_when_the_handler_is_deactivated(store: Store, nats_url: str) -> None:
    async with two_engines(store, nats_url) as cloud, a_plain_handler(nats_url, never) as handler:
        registered = await register(cloud)
        created = [await cloud.create("container", imageUuid="sim:x") for _ in range(4)]
        await handler.until_heard(4)
        assert of_both(cloud, created)
        await cloud.commands.run("externalHandler", registered.id, "deactivate", {}, cloud.actor)
        for each in created:
            await cloud.until(each.stream, "running", seconds=LONG)


async def test_the_handler_in_the_readme_works(store: Store, nats_url: str) -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    script = readme.partition("## Handlers of your own")[2].partition("```python\n")[2].partition("```")[0]
    assert "corral.handler.demo.>" in script
    async with a_running_cloud(store, nats_url) as cloud:
        handler = await asyncio.create_subprocess_exec(
            sys.executable, "-u", "-c", script, env={**os.environ, "CORRAL_NATS": nats_url}, stdout=asyncio.subprocess.PIPE,
        )
        try:
            await register(cloud, "pre.instance.start", timeoutMillis=1000)
            created = await cloud.create("container", imageUuid="sim:x")
            running = await cloud.until(created.stream, "running", seconds=LONG)
            assert running.row["data"]["hello"] == "world"
            assert handler.stdout is not None
            told = await asyncio.wait_for(handler.stdout.readline(), 10)
            assert told.decode().split() == ["pre.instance.start;handler=demo", f"1i{created.id}"]
        finally:
            handler.kill()
            await handler.wait()


async def test_while_handlers_come_and_go_each_start_is_either_replaced_or_built_in_never_both(store: Store, nats_url: str) -> None:
    async with two_engines(store, nats_url) as cloud, a_plain_handler(nats_url, with_body(HELLO)) as handler:
        registered = await register(cloud)

        async def create() -> list[Resource]:
            return [await cloud.create("container", imageUuid="sim:x") for _ in range(60)]

        async def change() -> None:
            for verb in ("deactivate", "activate") * 4:
                await cloud.commands.run("externalHandler", registered.id, verb, {}, cloud.actor)
                await cloud.until(registered.stream, "active" if verb == "activate" else "inactive", seconds=LONG)
                await asyncio.sleep(0.1)

        created, _ = await asyncio.gather(create(), change())
        replaced = 0
        for each in created:
            running = await cloud.until(each.stream, "running", seconds=60)
            answered = [event for event in await store.read_root(each.stream) if event.type == "step-succeeded"]
            by_handler = [event for event in answered if event.stream == each.stream and not event.data.get("skipped")]
            assert (len(by_handler), len(answered) - len(by_handler) > 0) in ((1, False), (0, True)), answered
            assert ("hello" in running.row["data"]) == bool(by_handler)
            replaced += len(by_handler)
        assert 0 < replaced < len(created)
        assert set(Counter(event["id"] for event in handler.heard).values()) == {1}


async def test_images_that_instances_register_ask_their_handlers_too(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud, a_plain_handler(nats_url, with_body({"data": {"checksum": "abc"}})) as handler:
        await register(cloud, "pre.image.activate")
        created = await cloud.create("container", imageUuid="sim:looked-at")
        running = await cloud.until(created.stream, "running", seconds=LONG)
        assert [event["name"] for event in handler.heard] == ["pre.image.activate;handler=demo"]
        assert (await cloud.resource(f"image-{running.row['imageId']}")).row["checksum"] == "abc"


async def test_handlers_are_told_no_secrets(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud, a_plain_handler(nats_url, with_body(b"")) as handler:
        await register(cloud, "pre.credential.create", "post.credential.create")
        created = await cloud.create("credential", publicValue="known", secretValue="hidden", kind="apiKey")
        await cloud.until(created.stream, "active", seconds=LONG)
        assert [event["data"]["publicValue"] for event in handler.heard] == ["known", "known"]
        assert "hidden" not in json.dumps(handler.heard)

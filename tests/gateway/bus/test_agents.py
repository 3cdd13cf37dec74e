"""Agents and handlers over HTTP alone, with an engine at work: asked, answered, silent, away; and with NATS away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from commands.resource import Resource, fold
from deploy.embedded import EmbeddedNats, hold
from eventstore.postgres import PostgresStore
from tests.gateway.bus.conftest import at_work
from tests.support.http import Api
from tests.support.subscriber import Json, Subscriber, subscribed

COMMANDS = ("ping", "storage.*", "compute.*")
LONG = 40.0

INVENTORY = [
    {"type": "host", "kind": "old", "name": "old host", "uuid": "old-host"},
    {"type": "storagePool", "kind": "old", "name": "old pool", "uuid": "old-pool", "hostUuid": "old-host"},
]


class OldAgent:
    """Registered as Cattle's are; it knows no epochs. `slow`: commands that it leaves to the test. `failing`: those it can't do."""

    def __init__(self, subscriber: Subscriber, slow: set[str]) -> None:
        self.subscriber, self.slow = subscriber, slow
        self.failing: set[str] = set()
        self.asked: list[Json] = []

    async def work(self) -> None:
        done = 0
        while True:
            await asyncio.sleep(0.01)
            for event in self.subscriber.heard[done:]:
                done += 1
                if event["name"] == "ping":
                    wanted = event["data"]["options"].get("resources")
                    await self.subscriber.answer(event, {"resources": INVENTORY} if wanted else {})
                    continue
                self.asked.append(event)
                if event["name"] in self.failing:
                    said = {"transitioningMessage": "no room", "transitioningInternalMessage": "in it"}
                    await self.subscriber.answer(event, {}, transitioning="error", **said)
                elif event["name"] not in self.slow:
                    await self.subscriber.answer(event, {})

    def names(self) -> list[str]:
        return list(dict.fromkeys(event["name"] for event in self.asked))


@asynccontextmanager
async def an_old_agent(api: Api, *slow: str) -> AsyncIterator[OldAgent]:
    """Its host and pool are there when this is entered."""
    made = await api.post("/v1/agents", uri="event://old", uuid="old", kind="old", managedConfig=False)
    async with at_its_work(api, made["id"], *slow) as agent:
        await until(api, made["id"].replace("1a", "agent-"), "active")
        yield agent


@asynccontextmanager
async def at_its_work(api: Api, ident: str, *slow: str) -> AsyncIterator[OldAgent]:
    async with subscribed(api.http, *COMMANDS, agent=ident) as subscriber:
        agent = OldAgent(subscriber, set(slow))
        working = asyncio.create_task(agent.work())
        try:
            yield agent
        finally:
            working.cancel()
            await asyncio.wait({working}, timeout=5)


async def until(api: Api, stream: str, *states: str, seconds: float = LONG) -> Resource:
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = fold(stream, await api.store.read(stream))
                if found.state in states:
                    return found
                await asyncio.sleep(0.02)
    except TimeoutError:
        found = fold(stream, await api.store.read(stream))
        raise AssertionError(f"{stream} is {found.state}, not {' or '.join(states)}: {found.open}") from None


async def run_one(api: Api) -> str:
    """A virtual machine on the old agent's host; -> its id, while it starts."""
    await api.settled()
    image = await api.post("/v1/images", uuid="an-image", kind="old", instanceKind="virtualMachine", isPublic=True)
    await until(api, image["id"].replace("1i", "image-"), "active")
    await api.settled()
    [host] = (await api.get("/v1/hosts", uuid="old-host"))["data"]
    made = await api.post("/v1/virtualmachines", imageId=image["id"], requestedHostId=host["id"])
    return str(made["id"])


def stream_of(ident: str) -> str:
    return f"instance-{ident.removeprefix('1i')}"


@pytest.mark.timeout(120)
async def test_an_agent_without_nats_runs_an_instance(cloud: Api) -> None:
    async with an_old_agent(cloud) as agent:
        ident = await run_one(cloud)
        await until(cloud, stream_of(ident), "running")
        assert agent.names() == ["storage.image.activate", "storage.volume.activate", "compute.instance.activate"]
        assert agent.asked[-1]["data"]["instanceHostMap"]["host"]["uuid"] == "old-host"
        assert (await cloud.http.post(f"/v1/virtualmachines/{ident}/?action=stop", json={})).status_code == 202
        await until(cloud, stream_of(ident), "stopped")
        assert agent.names()[3:] == ["compute.instance.deactivate", "storage.volume.deactivate"]


@pytest.mark.timeout(120)
async def test_its_answers_merge_fail_and_tell_progress(cloud: Api) -> None:
    async with an_old_agent(cloud, "storage.image.activate") as agent:
        ident = await run_one(cloud)
        image = await agent.subscriber.named("storage.image.activate", LONG)
        map_stream = image["resourceId"].replace("1ispm", "imageStoragePoolMap-")
        async with asyncio.timeout(LONG):
            while not any(each.type == "progressed" for each in await cloud.store.read(map_stream)):  # what is quick has none
                await agent.subscriber.answer(image, None, transitioning="yes", transitioningProgress=40, transitioningMessage="fetching")
                await asyncio.sleep(0.2)
        agent.failing.add("compute.instance.activate")
        await agent.subscriber.answer(image, {"image": {"format": "touch"}})
        failed = await until(cloud, stream_of(ident), "removed")
        assert (await until(cloud, f"image-{image['data']['imageStoragePoolMap']['image']['id']}", "active")).row["format"] == "touch"
        assert failed.fields["transitioningMessage"].startswith("no room : in it")


@pytest.mark.timeout(120)
async def test_it_is_asked_one_thing_at_a_time_about_each_thing(cloud: Api) -> None:
    """A stop in the middle of a start: the start is answered first, else its late success could come after the stop's."""
    async with an_old_agent(cloud, "compute.instance.activate") as agent:
        ident = await run_one(cloud)
        start = await agent.subscriber.named("compute.instance.activate", LONG)
        assert (await cloud.http.post(f"/v1/virtualmachines/{ident}/?action=stop", json={})).status_code == 202
        await until(cloud, stream_of(ident), "stopping")
        map_stream = start["resourceId"].replace("1ihm", "instanceHostMap-")
        async with asyncio.timeout(LONG):
            while not any(each.data.get("command") == "compute.instance.deactivate" for each in await cloud.store.read(map_stream)):
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        assert "compute.instance.deactivate" not in agent.names()
        await agent.subscriber.answer(start, {})
        await until(cloud, stream_of(ident), "stopped")
        assert agent.names()[-2:] == ["compute.instance.deactivate", "storage.volume.deactivate"]


@pytest.mark.timeout(120)
async def test_an_agent_that_comes_back_is_asked_at_once(cloud: Api) -> None:
    """What it was asked while nobody subscribed is not lost, and does not wait for its time to be asked again."""
    async with an_old_agent(cloud):
        pass
    ident = await run_one(cloud)
    await asyncio.sleep(1.5)
    [known] = (await cloud.get("/v1/agents", uuid="old"))["data"]
    async with at_its_work(cloud, known["id"]) as agent:
        await until(cloud, stream_of(ident), "running", seconds=30)
        assert agent.names()[0] == "storage.image.activate"


@pytest.mark.timeout(120)
async def test_a_handler_over_http_takes_its_place_in_a_process(cloud: Api) -> None:
    await cloud.post("/v1/externalhandlers", name="demo", processNames=["account.create", "pre.account.deactivate"], timeoutMillis=2000)
    async with subscribed(cloud.http, "account.create;handler=demo", "pre.account.deactivate;handler=demo") as handler:
        await until(cloud, "externalHandler-1", "active")
        made = await cloud.post("/v1/accounts", name="x", kind="user")
        event = await handler.named("account.create;handler=demo")
        assert (event["resourceType"], event["resourceId"]) == ("account", made["id"])
        assert (await cloud.http.get(f"/v1/{event['resourceType']}/{event['resourceId']}")).status_code == 200
        response = await handler.answer(event, {"+data": {"hello": "world"}})
        assert (response.status_code, response.json()["name"]) == (201, event["replyTo"])
        created = await until(cloud, made["id"].replace("1a", "account-"), "active", "inactive")
        assert created.row["data"]["hello"] == "world"
        await cloud.http.post(f"/v1/accounts/{made['id']}/?action=deactivate", json={})
        before = await handler.named("pre.account.deactivate;handler=demo")
        await handler.answer(before, transitioning="error", transitioningMessage="not today")
        async with asyncio.timeout(LONG):
            while (await cloud.get(f"/v1/accounts/{made['id']}"))["transitioningMessage"] != "not today":
                await asyncio.sleep(0.05)


@pytest.fixture
async def own_nats(tmp_path: Path) -> AsyncIterator[EmbeddedNats]:
    with hold(tmp_path) as home:
        server = EmbeddedNats(home, preferred=0)
        await server.start()
        yield server
        await server.stop()


async def stopped(server: EmbeddedNats, cloud: Api) -> None:
    """NATS is away, and the cloud knows it."""
    await server.stop()
    assert cloud.hub is not None
    async with asyncio.timeout(LONG):
        while cloud.hub.nats.connected:
            await asyncio.sleep(0.02)


@pytest.mark.timeout(180)
async def test_with_nats_away_subscriptions_stay_outcomes_are_kept_and_all_goes_on_when_it_is_back(
    store: PostgresStore, database: str, own_nats: EmbeddedNats
) -> None:
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(at_work(store, database, own_nats.url))
        agent = await stack.enter_async_context(an_old_agent(cloud, "storage.image.activate"))
        watcher = await stack.enter_async_context(subscribed(cloud.http, "resource.change"))
        ident = await run_one(cloud)
        image = await agent.subscriber.named("storage.image.activate", LONG)
        await stopped(own_nats, cloud)
        for _ in range(2):  # it may be said twice
            assert (await agent.subscriber.answer(image, {"image": {"format": "touch"}})).status_code == 201
        asked = image["data"]["imageStoragePoolMap"]
        done = await until(cloud, f"imageStoragePoolMap-{asked['id']}", "active")
        assert not done.open, "the engine went on with it, without NATS"
        formatted = fold(f"image-{asked['image']['id']}", await store.read(f"image-{asked['image']['id']}"))
        assert formatted.row["format"] == "touch"
        await watcher.until(lambda event: event["resourceType"] == "imageStoragePoolMap" and event["data"]["resource"]["state"] == "active")
        agent.slow.clear()
        await own_nats.start()
        await until(cloud, stream_of(ident), "running", seconds=60)
        assert not agent.subscriber.over.is_set(), "it is the same subscription"


async def test_without_nats_an_answer_counts_only_from_whom_it_was_asked(
    store: PostgresStore, database: str, own_nats: EmbeddedNats
) -> None:
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(at_work(store, database, own_nats.url))
        agent = await stack.enter_async_context(an_old_agent(cloud, "storage.image.activate"))
        await run_one(cloud)
        image = await agent.subscriber.named("storage.image.activate", LONG)
        await stopped(own_nats, cloud)
        head = await store.head()
        partition, who, ask, stream = image["replyTo"].removeprefix("reply.").split(".")
        forged: list[dict[str, Any]] = [
            {"name": f"reply.{partition}.a{int(who[1:]) + 1}.{ask}.{stream}"},
            {"name": f"reply.{partition}.{who}.{ask}x.{stream}"},
            {"name": f"reply.{partition}.{who}.{ask}.imageStoragePoolMap-999"},
            {"name": f"reply.{partition}.{who}.{ask}.nonsense-1"},
            {"name": f"reply.{partition}.{who}.{ask}"},
            {"name": image["replyTo"], "transitioning": "yes"},
        ]
        for body in forged:
            assert (await cloud.http.post("/v1/publish", json={**body, "data": {"image": {"format": "bad"}}})).status_code == 201
        assert await store.head() == head


@pytest.mark.timeout(120)
async def test_without_nats_what_a_handler_answers_is_kept_too(store: PostgresStore, database: str, own_nats: EmbeddedNats) -> None:
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(at_work(store, database, own_nats.url))
        names = ["account.create", "pre.account.deactivate"]
        await cloud.post("/v1/externalhandlers", name="demo", processNames=names)
        handler = await stack.enter_async_context(subscribed(cloud.http, "*;handler=demo"))
        await until(cloud, "externalHandler-1", "active")
        made = await cloud.post("/v1/accounts", name="x", kind="user")
        event = await handler.named("account.create;handler=demo")
        await stopped(own_nats, cloud)
        assert (await handler.answer(event, {"+data": {"hello": "world"}})).status_code == 201
        created = await until(cloud, made["id"].replace("1a", "account-"), "active", "inactive")
        assert created.row["data"]["hello"] == "world"
        await own_nats.start()

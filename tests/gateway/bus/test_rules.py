"""Whose key hears and says what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import websockets

from commands import events
from eventstore import Event
from eventstore.postgres import PostgresStore
from gateway.bus import subscribe
from tests.gateway.access.test_access import account_with_key
from tests.support.http import Api, serving
from tests.support.subscriber import subscribed

Key = tuple[str, str]


@asynccontextmanager
async def subscribed_over(api: Api, key: Key, socket: bool) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """-> what waits for the last thing that is told."""
    if not socket:
        async with subscribed(api.http, "my.event", auth=key) as subscriber:

            async def last_event() -> str:
                await subscriber.over.wait()
                return str(subscriber.heard[-1]["transitioningMessage"])

            yield last_event
        return
    address = f"{api.url.replace('http', 'ws')}/v1/subscribe?eventNames=my.event"
    async with websockets.connect(address, additional_headers={"Authorization": f"Bearer {':'.join(key)}"}) as connection:

        async def last_frame() -> str:
            *_, last = [str(frame) async for frame in connection]
            return last

        yield last_frame


async def agents_of(api: Api, account: int, count: int) -> list[int]:
    found = [await api.add("agent", accountId=account, uri=f"event://{account}-{number}", managedConfig=False) for number in range(count)]
    await api.settled()
    return found


async def test_an_agents_key_hears_its_own_agent_alone_whatever_it_asks_for(api: Api) -> None:
    account, key = await account_with_key(api, "agent", "a")
    [own] = await agents_of(api, account, 1)
    other = await api.add("agent", uri="event://other", managedConfig=False)
    async with subscribed(api.http, f"do.this;agent={other}", "do.that", "resource.change", auth=key) as subscriber:
        for name in ("do.this", f"do.this;agent={other}", "resource.change", f"do.this;agent={own}"):
            await api.post("/v1/publish", name=name, resourceType="host", resourceId="1h5")
        event = await subscriber.named("do.this")
        assert event["resourceId"] == "5", "an agent's account knows numbers alone"
        assert len(subscriber.heard) == 1
    refused = await api.http.post("/v1/subscribe", json={"eventNames": ["ping"], "agentId": str(other)}, auth=key)
    assert (refused.status_code, refused.json()["fieldName"]) == (422, "agentId")


async def test_an_agents_key_answers_for_its_own_agent_alone(api: Api) -> None:
    account, key = await account_with_key(api, "agent", "a")
    [own] = await agents_of(api, account, 1)
    refused = ("do.this", f"reply.3.a{own + 1}.x.host-1", "reply.3.handler-demo.x", f"reply.presence.a{own + 1}.x")
    for name, status in ((f"reply.3.a{own}.x.host-1", 201), ("reply.653336", 201), *((name, 403) for name in refused)):
        response = await api.http.post("/v1/publish", json={"name": name, "data": {}}, auth=key)
        assert (name, response.status_code) == (name, status)


@pytest.mark.parametrize(("count", "words"), [(0, "no agent"), (2, "several agents")])
async def test_whose_agent_is_meant_has_to_be_clear(api: Api, count: int, words: str) -> None:
    account, key = await account_with_key(api, "agent", "a")
    agents = await agents_of(api, account, count)
    response = await api.http.post("/v1/subscribe", json={"eventNames": ["ping"]}, auth=key)
    document = response.json()
    assert (response.status_code, document["code"], document["fieldName"]) == (422, "MissingRequired", "agentId")
    assert words in document["message"]
    for agent in agents:
        async with subscribed(api.http, "do.this", agent=str(agent), auth=key) as subscriber:
            await api.post("/v1/publish", name=f"do.this;agent={agent}")
            await subscriber.named("do.this")


async def test_a_users_key_hears_what_is_told_its_own_account(api: Api) -> None:
    account, key = await account_with_key(api, "user", "u")
    other = await api.add("account", name="other", kind="user")
    async with subscribed(api.http, f"my.event;account={other}", auth=key) as subscriber:
        for name in ("my.event", f"my.event;account={other}", "my.event;agent=1", f"my.event;account={account}"):
            await api.post("/v1/publish", name=name, data={"told": name})
        await subscriber.until(lambda event: event["data"] == {"told": f"my.event;account={account}"})
        assert [each["name"] for each in subscriber.heard] == ["my.event"]
    for name in ("my.event", "reply.3.a1.x.host-1", "reply.3.handler-demo.x"):
        assert (await api.http.post("/v1/publish", json={"name": name}, auth=key)).status_code == 403


async def test_who_only_reads_hears_everything_and_says_nothing(api: Api) -> None:
    _, key = await account_with_key(api, "readAdmin", "r")
    async with subscribed(api.http, "my.*", auth=key) as subscriber:
        await api.post("/v1/publish", name="my.event;agent=1")
        await subscriber.named("my.event;agent=1")
    assert (await api.http.post("/v1/publish", json={"name": "reply.3.a1.x"}, auth=key)).status_code == 403


@pytest.mark.parametrize("socket", [False, True])
async def test_a_key_that_is_taken_away_ends_what_subscribed_with_it(
    store: PostgresStore, database: str, nats_url: str, monkeypatch: pytest.MonkeyPatch, socket: bool
) -> None:
    monkeypatch.setattr(subscribe, "KEY_SECONDS", 0.2)
    monkeypatch.setattr("gateway.access.callers.REMEMBERED", 0.1)
    async with serving(store, database, nats=nats_url, settings={"api.security.enabled": True}) as api:
        _, key = await account_with_key(api, "readAdmin", "r")
        async with subscribed_over(api, key, socket) as last_words:
            found = await store.read_all(types=["created"])
            credential = next(each.stream for each in found if (each.data.get("changes") or {}).get("publicValue") == "key-r")
            await api.happened(credential, Event(events.UPDATED, {"changes": {"state": "inactive"}}))
            async with asyncio.timeout(20):
                assert "not good any more" in await last_words()


async def test_a_token_for_registering_neither_hears_nor_says(api: Api) -> None:
    _, key = await account_with_key(api, "register", "r")
    assert (await api.http.post("/v1/subscribe", json={"eventNames": ["ping"]}, auth=key)).status_code == 403
    assert (await api.http.post("/v1/publish", json={"name": "reply.x"}, auth=key)).status_code == 403

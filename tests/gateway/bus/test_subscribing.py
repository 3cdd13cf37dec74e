"""Subscribing over HTTP: what comes, how, to whom, and how it ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import nats
import pytest
import websockets

from agents.wire import Message, command_subject, handler_subject
from eventstore.postgres import PostgresStore
from gateway.access.caller import Caller
from gateway.bus.subscriber import ENDED, Subscriber, View
from tests.support.http import Api, serving
from tests.support.subscriber import subscribed

AGENT, OTHER = 4711, 4712
"""Numbers that no other test's agents have: NATS is everybody's."""


async def an_agent(api: Api, **fields: Any) -> str:
    number = await api.add("agent", managedConfig=False, **fields)
    await api.settled()
    return f"1a{number}"


async def say(nats_url: str, subject: str, message: Message) -> None:
    client = await nats.connect(nats_url)
    await client.publish(subject, message.encode())
    await client.flush()
    await client.close()


async def test_a_subscription_begins_with_a_ping_and_every_line_is_padded(api: Api) -> None:
    async with subscribed(api.http, "resource.change") as subscriber:
        assert subscriber.pings[0]["data"] == {"options": {}}
        assert subscriber.pings[0]["replyTo"] is None
        async with asyncio.timeout(20):
            while len(subscriber.lines) < 2:
                await asyncio.sleep(0.01)
        assert subscriber.lines[0].startswith('{"name":"ping","id":"'), "compact"
        assert subscriber.lines[1] == " " * 510


async def test_pings_go_on(store: PostgresStore, database: str, nats_url: str) -> None:
    settings = {"api.sub.ping.interval.millis": 100}
    async with serving(store, database, nats=nats_url, settings=settings) as api, subscribed(api.http, "x") as subscriber:
        async with asyncio.timeout(20):
            while len(subscriber.pings) < 3:
                await asyncio.sleep(0.01)
        assert len({ping["id"] for ping in subscriber.pings}) == len(subscriber.pings)


@pytest.mark.parametrize("body", [
    {"json": {"eventNames": ["pre.x.start;handler=some"]}},
    {"data": {"eventNames": "pre.x.start;handler=some"}},
    {"files": [("eventNames", (None, "pre.x.start;handler=some")), ("eventNames", (None, "another"))]},
    {"params": {"eventNames": "pre.x.start;handler=some"}},
])  # fmt: skip
async def test_names_come_as_json_forms_multipart_and_parameters(api: Api, nats_url: str, body: dict[str, Any]) -> None:
    name = "pre.x.start;handler=some"
    async with api.http.stream("POST", "/v1/Subscribe/", **body) as response:
        assert response.status_code == 201
        assert response.headers["content-type"].startswith("text/plain")
        lines = response.aiter_lines()
        assert json.loads(await anext(lines))["name"] == "ping"
        await say(nats_url, handler_subject(name), Message(name=name, replyTo="corral.reply.3.handler-some.7"))
        async for line in lines:
            if line.strip():
                event = json.loads(line)
                assert (event["name"], event["replyTo"]) == (name, "reply.3.handler-some.7")
                break


async def test_with_an_agents_id_its_own_events_come_and_are_told_without_qualifier(api: Api, nats_url: str) -> None:
    agent = await an_agent(api, uri="event://x")
    number = int(agent[2:])
    async with subscribed(api.http, "some.command;agent=99", "another.*", agent=agent) as subscriber:
        for who in (OTHER, number):
            told = Message(
                id=f"for-{who}", name="some.command", replyTo=f"corral.reply.3.a{who}.x", resourceType="host", resourceId="1h5",
                data={"words": 'grüß "dich"'}, context={"stream": "host-5"},
            )  # fmt: skip
            await say(nats_url, command_subject(who, "some.command"), told)
        event = await subscriber.named("some.command")
        assert (event["id"], event["replyTo"]) == (f"for-{number}", f"reply.3.a{number}.x.host-5")
        assert (event["resourceType"], event["resourceId"], event["data"]) == ("host", "1h5", {"words": 'grüß "dich"'})
        assert set(event) >= {"previousIds", "publisher", "transitioning", "transitioningProgress", "timeoutMillis", "context"}
        await say(nats_url, command_subject(number, "another.one"), Message(name="another.one"))
        await subscriber.named("another.one")
        assert [each["name"] for each in subscriber.heard] == ["some.command", "another.one"]


async def test_raw_names_keep_their_qualifier_and_answers_can_be_watched(api: Api, nats_url: str) -> None:
    async with subscribed(api.http, f"do.*;agent={AGENT}", "do.it.reply") as subscriber:
        await say(nats_url, command_subject(AGENT, "do.it"), Message(id="1", name="do.it"))
        assert (await subscriber.named(f"do.it;agent={AGENT}"))["id"] == "1"
        answer = Message(name="x", previousIds=["1"], previousNames=["do.it"], data={"a": 1})
        await say(nats_url, f"corral.reply.3.a{AGENT}.1", answer)
        assert (await subscriber.named("do.it.reply"))["data"] == {"a": 1}


async def test_what_anybody_publishes_comes_to_who_wants_it_on_this_server_and_on_others(
    api: Api, store: PostgresStore, database: str, nats_url: str
) -> None:
    async with (
        serving(store, database, nats=nats_url) as other,
        subscribed(api.http, "my.*") as here,
        subscribed(other.http, "my.event") as there,
    ):
        made = await api.post("/v1/publish", name="my.event", data={"a": 1}, resourceType="host", resourceId="1h5", nonsense=1)
        assert (made["type"], made["name"], made["data"]) == ("publish", "my.event", {"a": 1})
        assert made["id"]
        assert made["time"]
        for subscriber in (here, there):
            event = await subscriber.named("my.event")
            assert (event["id"], event["data"], event["resourceId"]) == (made["id"], {"a": 1}, "1h5")
        await api.post("/v1/publish", name="my.last")
        await here.named("my.last")
        assert [each["name"] for each in here.heard] == ["my.event", "my.last"], "its own words come back once"


@pytest.mark.parametrize(("fields", "code", "field"), [
    ({}, "MissingRequired", "eventNames"),
    ({"eventNames": []}, "MissingRequired", "eventNames"),
    ({"eventNames": ["a b"]}, "InvalidCharacters", "eventNames"),
    ({"eventNames": [1]}, "InvalidFormat", "eventNames"),
    ({"eventNames": {"a": 1}}, "InvalidFormat", "eventNames"),
    ({"eventNames": ["a" * 256]}, "MaxLengthExceeded", "eventNames"),
    ({"eventNames": [str(each) for each in range(501)]}, "MaxLengthExceeded", "eventNames"),
    ({"eventNames": ["ping"], "agentId": "1a999999"}, "InvalidReference", "agentId"),
    ({"eventNames": ["ping"], "agentId": "nobody"}, "InvalidReference", "agentId"),
])  # fmt: skip
async def test_what_can_not_be_subscribed_to(api: Api, fields: dict[str, Any], code: str, field: str) -> None:
    response = await api.http.post("/v1/subscribe", json=fields)
    assert (response.status_code, response.json()["code"], response.json()["fieldName"]) == (422, code, field)


@pytest.mark.parametrize(("fields", "code", "field"), [
    ({}, "MissingRequired", "name"),
    ({"name": "a*"}, "InvalidCharacters", "name"),
    ({"name": "a" * 256}, "MaxLengthExceeded", "name"),
    ({"name": "a", "data": [1]}, "InvalidFormat", "data"),
    ({"name": "a", "transitioning": "maybe"}, "InvalidOption", "transitioning"),
    ({"name": "a", "transitioningProgress": "much"}, "InvalidFormat", "transitioningProgress"),
    ({"name": "a", "previousIds": [1]}, "InvalidFormat", "previousIds"),
    ({"name": {"a": 1}}, "InvalidFormat", "name"),
])  # fmt: skip
async def test_what_can_not_be_published(api: Api, fields: dict[str, Any], code: str, field: str) -> None:
    response = await api.http.post("/v1/publish", json=fields)
    assert (response.status_code, response.json()["code"], response.json()["fieldName"]) == (422, code, field)


async def test_without_an_upgrade_there_is_nothing_to_get(api: Api) -> None:
    for path in ("/v1/subscribe?eventNames=ping", "/v1/publish"):
        assert (await api.http.get(path)).status_code == 405


async def test_a_websocket_hears_the_same(api: Api, nats_url: str) -> None:
    address = api.url.replace("http", "ws")
    async with websockets.connect(f"{address}/v1/subscribe?eventNames=my.event&eventNames=resource.change") as socket:
        assert json.loads(await socket.recv())["name"] == "ping"
        await api.post("/v1/publish", name="my.event", data={"a": 1})
        assert json.loads(await socket.recv())["data"] == {"a": 1}
        api.stopping.set()
        last = json.loads(await socket.recv())
        assert (last["name"], last["transitioning"]) == (ENDED, "error")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "the server stops: subscribe again")


async def test_a_websocket_that_may_not_be_is_refused_with_a_document(api: Api) -> None:
    address = api.url.replace("http", "ws")
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"{address}/v1/subscribe")
    assert refused.value.response.status_code == 422
    assert json.loads(refused.value.response.body or b"")["fieldName"] == "eventNames"
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(f"{address}/v1/containers")


async def test_who_goes_is_forgotten_and_nats_is_asked_for_its_events_no_more(api: Api) -> None:
    assert api.hub is not None
    agent = await an_agent(api, uri="event://x")
    async with subscribed(api.http, "ping", agent=agent):
        assert len(api.hub) == 1
        assert api.hub.agents == {int(agent[2:])}
    async with asyncio.timeout(20):
        while len(api.hub):
            await asyncio.sleep(0.01)
    assert api.hub.agents == set()


async def test_a_server_that_stops_tells_its_subscribers_and_ends_them(api: Api) -> None:
    async with subscribed(api.http, "x") as one, subscribed(api.http, "y") as two:
        api.stopping.set()
        for each in (one, two):
            last = await each.named(ENDED)
            assert last["transitioningMessage"] == "the server stops: subscribe again"
            await asyncio.wait_for(each.over.wait(), 20)
        async with subscribed(api.http, "z") as late:
            await late.named(ENDED)


async def test_who_does_not_read_is_dropped_and_told_why_while_others_hear_on(api: Api) -> None:
    """One that reads its headers and then nothing: its events wait here up to a bound, and then no more."""
    assert api.hub is not None
    async with api.http.stream("POST", "/v1/subscribe", json={"eventNames": ["big"]}) as slow, subscribed(api.http, "big") as quick:
        assert slow.status_code == 201
        big, sent = "x" * 200_000, 0
        async with asyncio.timeout(40):
            while len(api.hub) == 2:
                await api.hub.publish({"name": "big", "data": {"number": sent, "words": big}})
                sent += 1
                while len(quick.heard) < sent:
                    await asyncio.sleep(0.001)
        assert sent < 200, "a bound of a few megabytes"
        quick.heard.clear()
        told = [line async for line in slow.aiter_lines() if line.strip()]
        last = json.loads(told[-1])
        assert last["name"] == ENDED
        assert "you read too slowly" in last["transitioningMessage"]
        await api.post("/v1/publish", name="big", data={"number": -1})
        await quick.until(lambda event: event["data"]["number"] == -1)


async def test_a_single_event_may_be_bigger_than_what_may_wait() -> None:
    subscriber = Subscriber(("x",), View(False, False, Caller(1), ""), most_bytes=10)
    subscriber.put(b"x" * 100)
    assert await subscriber.take() == [b"x" * 100]
    subscriber.put(b"y")
    subscriber.put(b"z" * 10)
    assert subscriber.too_slow
    [last] = await subscriber.take()
    assert ENDED.encode() in last
    assert await subscriber.take() == []
    subscriber.put(b"more")
    assert await subscriber.take() == []

"""The log over HTTP by itself, over a log in memory and a real HTTP server: pages, filters, secrets, streams that end with the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette

from eventstore import Event, Write
from eventstore.memory import MemoryStore
from gateway.history import following, log
from tests.support.http import a_log, listening


async def append(store: MemoryStore, stream: str, *events: Event, root: str = "") -> None:
    version = len(await store.read(stream))
    await store.append([Write(stream, version, events, root)])


def event(kind: str = "updated", correlation: str = "", **data: Any) -> Event:
    return Event(kind, data, {"correlation": correlation} if correlation else {})


@asynccontextmanager
async def served(store: MemoryStore) -> AsyncIterator[httpx.AsyncClient]:
    async with listening(the_app(store)) as url, httpx.AsyncClient(base_url=url, timeout=20) as http:
        yield http


def the_app(store: MemoryStore) -> Starlette:
    return Starlette(routes=a_log(store).routes())


async def positions(http: httpx.AsyncClient, query: str) -> list[int]:
    page = (await http.get(f"/v1/events?{query}")).json()
    return [each["position"] for each in page["data"]]


async def test_an_empty_log_has_no_events() -> None:
    async with served(MemoryStore()) as http:
        assert (await http.get("/v1/events")).json() == {"data": [], "head": 0, "next": 0}


async def test_filters_take_what_fits() -> None:
    store = MemoryStore()
    await append(store, "instance-1", event("created", "a"), event("updated", "b"))
    await append(store, "volume-1", event("created", "a"), root="instance-1")
    await append(store, "instance-2", event("created", "b"))
    async with served(store) as http:
        assert await positions(http, "stream=instance-1") == [1, 2]
        assert await positions(http, "stream=instance-1&after=1") == [2]
        assert await positions(http, "root=instance-1") == [1, 2, 3]
        assert await positions(http, "root=instance-1&type=created") == [1, 3]
        assert await positions(http, "type=created,updated&to=3&after=1") == [2, 3]
        assert await positions(http, "type=created&type=updated&limit=1") == [1]
        assert await positions(http, "correlation=b") == [2, 4]
        assert await positions(http, "stream=volume-9") == []


@pytest.mark.parametrize("query", ["", "stream=instance-1", "root=instance-1", "type=updated", "correlation=a"])
@pytest.mark.parametrize("limit", [1, 2, 7, 1000])
async def test_pages_give_every_event_once(query: str, limit: int) -> None:
    store = MemoryStore()
    await append(store, "instance-1", *(event("updated", "a", number=number) for number in range(7)))
    found: list[int] = []
    async with served(store) as http:
        after, head = 0, 7
        for _ in range(20):
            page = (await http.get(f"/v1/events?{query}&after={after}&limit={limit}")).json()
            found += [each["position"] for each in page["data"]]
            after, head = page["next"], page["head"]
            if after >= head:
                break
    assert found == list(range(1, 8))


async def test_a_search_in_a_long_log_is_cut_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "SCANNED", 20)
    store = MemoryStore()
    await append(store, "instance-1", *(event() for _ in range(95)), event("process-parked"), *(event() for _ in range(4)))
    found: list[int] = []
    after, answers = 0, 0
    async with served(store) as http:
        while after < 100:
            page = (await http.get(f"/v1/events?type=process-parked&after={after}")).json()
            found += [each["position"] for each in page["data"]]
            after, answers = page["next"], answers + 1
            assert answers < 20
    assert found == [96]
    assert answers > 2


async def test_secrets_are_masked_wherever_they_are() -> None:
    store = MemoryStore()
    secret = {"secretValue": "hidden", "+data": {"+fields": {"libvirtVncPassword": "hidden", "name": "shown"}}}
    await append(store, "credential-1", event("created", changes=secret))
    async with served(store) as http:
        answer = await http.get("/v1/events")
        streamed = await first_lines(http, "follow=true&to=1")
    assert "hidden" not in answer.text
    assert answer.json()["data"][0]["data"]["changes"]["+data"]["+fields"]["name"] == "shown"
    assert "hidden" not in str(streamed)
    assert (await store.read("credential-1"))[0].data["changes"]["secretValue"] == "hidden"


@pytest.mark.parametrize("query", ["after=x", "after=-1", "limit=1.5", "to=²", "after=9999999999999999999"])
async def test_what_is_no_number_is_refused_by_name(query: str) -> None:
    async with served(MemoryStore()) as http:
        answer = await http.get(f"/v1/events?{query}")
    assert answer.status_code == 422
    assert answer.json()["fieldName"] == query.partition("=")[0]


@pytest.mark.parametrize("name", ["stream", "root", "type", "correlation"])
async def test_a_nul_is_refused_by_name(name: str) -> None:
    async with served(MemoryStore()) as http:
        answer = await http.get(f"/v1/events?{name}=a%00b")
    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["fieldName"]) == ("InvalidCharacters", name)


async def test_a_closed_store_is_an_answer_and_no_fault() -> None:
    store = MemoryStore()
    await store.close()
    async with served(store) as http:
        assert (await http.get("/v1/events")).status_code == 503


async def test_a_stream_shows_what_is_there_then_what_comes() -> None:
    store = MemoryStore()
    await append(store, "instance-1", event(), event("created"))
    async with served(store) as http, http.stream("GET", "/v1/events?follow=true&type=updated") as stream:
        lines = stream.aiter_lines()
        assert orjson.loads(await anext(lines))["position"] == 1
        await append(store, "instance-2", event("created"), event())
        async with asyncio.timeout(10):
            assert orjson.loads(await anext(lines))["position"] == 4


async def test_a_quiet_stream_says_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "ALIVE_SECONDS", 0.02)
    async with served(MemoryStore()) as http, http.stream("GET", "/v1/events?follow=true") as stream:
        async with asyncio.timeout(10):
            assert await anext(stream.aiter_lines()) == ""


async def test_a_stream_ends_when_the_server_stops() -> None:
    app = the_app(MemoryStore())
    async with listening(app) as url, httpx.AsyncClient(base_url=url) as http, http.stream("GET", "/v1/events?follow") as stream:
        asyncio.get_running_loop().call_later(0.05, app.state.stopping.set)
        async with asyncio.timeout(10):
            assert [line async for line in stream.aiter_lines()] == []


async def test_a_stream_ends_when_the_store_is_closed() -> None:
    store = MemoryStore()
    async with served(store) as http, http.stream("GET", "/v1/events?follow=true") as stream:
        await store.close()
        async with asyncio.timeout(10):
            assert [line async for line in stream.aiter_lines()] == []


async def first_lines(http: httpx.AsyncClient, query: str) -> list[Any]:
    async with asyncio.timeout(10), http.stream("GET", f"/v1/events?{query}") as stream:
        return [orjson.loads(line) async for line in stream.aiter_lines() if line]

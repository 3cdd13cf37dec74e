"""The log followed over HTTP: each event once and in order, over broken connections too, at the reader's pace, as long as it may."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette

from commands import events
from commands.catalogue.builtin import CATALOGUE
from eventstore import Event, Recorded, Store, Unavailable, Write
from eventstore.memory import MemoryStore
from eventstore.postgres import PostgresStore
from gateway.access.caller import Caller
from gateway.history import following, log, streams
from gateway.history.following import Follower
from gateway.history.log import Log
from gateway.history.sight import Sight
from tests.gateway.access.test_access import account_with_key
from tests.support.http import Api, a_log, listening, serving

WRITERS, EACH = 4, 60


def updated(**data: Any) -> Event:
    return Event("updated", data)


@asynccontextmanager
async def served(store: Store) -> AsyncIterator[tuple[httpx.AsyncClient, Log]]:
    """-> a client, and the log that serves it."""
    server = a_log(store)
    async with listening(Starlette(routes=server.routes())) as url, httpx.AsyncClient(base_url=url, timeout=30) as http:
        yield http, server


async def until(right: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not right():
            await asyncio.sleep(0.02)


async def write(store: Store, stream: str) -> None:
    for version in range(EACH):
        await store.append([Write(stream, version, (updated(n=version),))])


class Reader:
    """Follows as a browser does: when its connection breaks, it comes again with the last id that it saw."""

    def __init__(self, http: httpx.AsyncClient, break_after: int = 0) -> None:
        self._http, self._break_after = http, break_after
        self.last = ""
        self.heard: list[int] = []
        self.connections = 0

    async def read(self, until_position: int) -> None:
        while not self.heard or self.heard[-1] < until_position:
            self.connections += 1
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self.last} if self.last else {})
            async with self._http.stream("GET", "/v1/events", headers=headers) as stream:
                assert stream.headers["Content-Type"].startswith("text/event-stream")
                await self._listen(stream, until_position)

    async def _listen(self, stream: httpx.Response, until_position: int) -> None:
        heard = 0
        async for line in stream.aiter_lines():
            if line.startswith("id: "):
                self.last = line.removeprefix("id: ")
            elif line.startswith("data: "):
                document = orjson.loads(line.removeprefix("data: "))
                assert str(document["position"]) == self.last
                self.heard.append(document["position"])
                heard += 1
                if heard == self._break_after or document["position"] >= until_position:
                    return


async def lines(http: httpx.AsyncClient, until_position: int, query: str = "") -> list[int]:
    heard: list[int] = []
    async with http.stream("GET", f"/v1/events?follow=ndjson{query}") as stream:
        async for line in stream.aiter_lines():
            heard += [orjson.loads(line)["position"]] if line else []
            if heard and heard[-1] >= until_position:
                break
    return heard


async def test_while_several_write_every_follower_hears_each_event_once_in_order(store: PostgresStore, database: str) -> None:
    other = await PostgresStore.open(database)
    last = WRITERS * EACH
    try:
        async with served(store) as (http, _), asyncio.timeout(50), asyncio.TaskGroup() as group:
            readers = [Reader(http), Reader(http, break_after=17), Reader(http, break_after=4)]
            for reader in readers:
                group.create_task(reader.read(last))
            plain = group.create_task(lines(http, last))
            for number in range(WRITERS):
                group.create_task(write(other if number % 2 else store, f"host-{number}"))
        for reader in readers:
            assert reader.heard == list(range(1, last + 1))
        assert readers[0].connections == 1
        assert readers[1].connections >= last // 17
        assert plain.result() == list(range(1, last + 1))
    finally:
        await other.close()


async def test_a_sign_of_life_says_how_far_the_log_was_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "ALIVE_SECONDS", 0.05)
    store = MemoryStore()
    await store.append([Write("host-1", 0, tuple(updated() for _ in range(250)))])
    async with served(store) as (http, _), http.stream("GET", "/v1/events?follow=sse&type=created") as stream:
        found: list[str] = []
        async with asyncio.timeout(10):
            async for line in stream.aiter_lines():
                found.append(line)
                if line == "id: 250":
                    break
    assert found[0] == "retry: 1000"
    assert ": alive" in found
    assert not any(line.startswith("data:") for line in found)


async def test_a_stream_ends_after_as_many_as_were_asked_for_or_where_it_was_to_end() -> None:
    store = MemoryStore()
    await store.append([Write("host-1", 0, tuple(updated() for _ in range(250)))])
    async with served(store) as (http, _), asyncio.timeout(20):
        for query, expected in (
            ("limit=3", [1, 2, 3]), ("limit=150&after=40", list(range(41, 191))), ("to=7&after=4", [5, 6, 7]), ("limit=2&to=1", [1]),
        ):  # fmt: skip
            answer = await http.get(f"/v1/events?follow&{query}")
            assert [orjson.loads(line)["position"] for line in answer.text.splitlines()] == expected


async def test_who_goes_away_is_noticed() -> None:
    async with served(MemoryStore()) as (http, server):
        async with http.stream("GET", "/v1/events?follow=true"):
            await until(lambda: len(server.streams) == 1)
        await until(lambda: not server.streams)


async def test_more_streams_than_may_be_are_refused_and_room_is_made_by_who_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MOST_STREAMS", 1)
    async with served(MemoryStore()) as (http, server):
        async with http.stream("GET", "/v1/events?follow=true"):
            await until(lambda: len(server.streams) == 1)
            refused = await http.get("/v1/events?follow=sse")
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            assert (await http.get("/v1/events")).status_code == 200
        await until(lambda: not server.streams)
        assert (await http.get("/v1/events?follow=true&limit=1&to=0")).status_code == 200


class Counting(MemoryStore):
    """Knows how far it was read."""

    reached = 0

    async def read_all(self, after: int = 0, limit: int = 1000, *given: Any, **more: Any) -> list[Recorded]:
        found = await super().read_all(after, limit, *given, **more)
        self.reached = max([self.reached, *(event.position for event in found)])
        return found


async def test_who_takes_nothing_is_read_nothing_for_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SLOW_SECONDS", 0.5)
    store = Counting()
    big = "x" * 20_000
    for version in range(0, 4000, 200):
        await store.append([Write("host-1", version, tuple(updated(big=big) for _ in range(200)))])
    async with served(store) as (http, server):
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect((http.base_url.host, http.base_url.port))
            slow.send(b"GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
            await until(lambda: len(server.streams) == 1)
            await until(lambda: not server.streams, seconds=20)
        assert store.reached < 4000, "the log was read to its end for a reader that took nothing of it"


class Away(MemoryStore):
    """A database that is away now and then."""

    away = False

    async def head(self) -> int:
        self._look()
        return await super().head()

    async def read(self, stream: str, after: int = 0, to_position: int | None = None) -> list[Recorded]:
        self._look()
        return await super().read(stream, after, to_position)

    async def read_all(self, *given: Any, **more: Any) -> list[Recorded]:
        self._look()
        return await super().read_all(*given, **more)

    def _look(self) -> None:
        if self.away:
            raise Unavailable("the database is away: try later")


@pytest.mark.parametrize("form", ["sse", "ndjson"])
async def test_a_database_that_is_away_is_told_once_and_nothing_is_missed(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setattr(following, "ALIVE_SECONDS", 0.05)
    store = Away(poll=0.05)
    await store.append([Write("host-1", 0, (updated(),))])
    heard: list[str] = []
    async with served(store) as (http, _), http.stream("GET", f"/v1/events?follow={form}") as stream, asyncio.timeout(20):
        told = stream.aiter_lines()

        async def hear(word: str) -> None:
            async for line in told:
                heard.append(line)
                if word in line:
                    return

        await hear('"position":1')
        store.away = True
        await hear("try later")
        store.away = False
        await store.append([Write("host-1", 1, (updated(),))])
        await hear('"position":2')
    assert sum("Service Unavailable" in line for line in heard) == 1
    assert sum('"position"' in line for line in heard) == 2


async def test_a_key_that_is_taken_away_ends_its_stream(store: PostgresStore, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "ALIVE_SECONDS", 0.1)
    monkeypatch.setattr("gateway.access.callers.REMEMBERED", 0.1)
    async with serving(store, database, settings={"api.security.enabled": True}) as api:
        _, key = await account_with_key(api, "user", "u")
        async with api.http.stream("GET", "/v1/events?follow=true", auth=key) as stream, asyncio.timeout(20):
            told = stream.aiter_lines()
            while await anext(told):
                pass  # until it has told what there is
            found = await store.read_all(types=["created"])
            credential = next(each.stream for each in found if (each.data.get("changes") or {}).get("publicValue") == "key-u")
            await api.happened(credential, Event(events.UPDATED, {"changes": {"state": "inactive"}}))
            async for _ in told:
                pass  # until it ends


async def test_a_key_that_is_taken_away_ends_its_stream_of_a_busy_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "ALIVE_SECONDS", 0.5)
    store, good = MemoryStore(), asyncio.Event()
    good.set()

    async def still() -> bool:
        return good.is_set()

    async def go_on() -> None:
        for version in range(10_000):
            await store.append([Write("host-1", version, (updated(),))])
            await asyncio.sleep(0.02)

    sight = Sight(store, CATALOGUE, Caller(1))
    follower = Follower(store, sight, log.Wanted(), log.NDJSON, asyncio.Event(), still)
    writing = asyncio.create_task(go_on())
    try:
        async with asyncio.timeout(20):
            async for _ in follower.chunks():
                good.clear()
    finally:
        writing.cancel()


@pytest.mark.parametrize(
    ("query", "headers", "field", "named"),
    [
        ("follow=maybe", {}, "follow", "sse"),
        ("follow=sse", {"Last-Event-ID": "x"}, "Last-Event-ID", "whole number"),
        ("follow=true&after=99", {}, "after", "ends at 1"),
        ("type=made", {}, "type", "process-started"),
        ("stream=instance", {}, "stream", "instance-54"),
        ("root=5", {}, "root", "instance-54"),
        ("to=soon", {}, "to", "whole number"),
    ],
)
async def test_what_is_wrong_is_named_with_what_is_allowed(query: str, headers: dict[str, str], field: str, named: str) -> None:
    store = MemoryStore()
    await store.append([Write("host-1", 0, (updated(),))])
    async with served(store) as (http, _):
        refused = await http.get(f"/v1/events?{query}", headers=headers)
    assert (refused.status_code, refused.json()["fieldName"]) == (422, field)
    assert named in refused.json()["message"]


async def test_the_log_is_only_read(api: Api) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        refused = await api.http.request(method, "/v1/events")
        assert (refused.status_code, refused.json()["type"]) == (405, "error")
    assert (await api.http.head("/v1/events?follow=true")).status_code == 200

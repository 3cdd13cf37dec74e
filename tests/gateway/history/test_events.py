"""The log over HTTP: paged, filtered, and followed as it grows."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import orjson

from tests.support.http import Api
from tests.support.http import background as working


async def every(api: Api, **params: Any) -> list[dict[str, Any]]:
    """All pages."""
    found: list[dict[str, Any]] = []
    after = 0
    while True:
        page = await api.get("/v1/events", after=after, limit=2, **params)
        found += page["data"]
        after = page["next"]
        if after >= page["head"]:
            return found


async def test_the_pages_hold_the_whole_log_in_order(api: Api) -> None:
    await api.post("/v1/hosts", name="h")
    head = await api.store.head()
    assert [event["position"] for event in await every(api)] == list(range(1, head + 1))
    page = await api.get("/v1/events", after=10**17, limit=1)
    assert (page["data"], page["head"]) == ([], head)
    assert [event["position"] for event in (await api.get("/v1/events", after=1, to=3))["data"]] == [2, 3]


async def test_events_of_one_stream_root_type_or_request(api: Api) -> None:
    response = await api.http.post("/v1/containers", json={"imageUuid": "sim:1"}, headers={"X-Correlation-Id": "mine"})
    stream = f"instance-{response.json()['id'][2:]}"
    of_stream = await every(api, stream=stream)
    assert {event["stream"] for event in of_stream} == {stream}
    assert [event["version"] for event in of_stream] == list(range(1, len(of_stream) + 1))
    assert [event["id"] for event in await every(api, root=stream)] == [event["id"] for event in of_stream]
    assert {event["type"] for event in await every(api, type="created")} == {"created"}
    mine = await every(api, correlation="mine")
    assert {event["metadata"]["correlation"] for event in mine} == {"mine"}
    assert {event["stream"].partition("-")[0] for event in mine} == {"instance", "image"}
    assert await every(api, stream="instance-999") == []


async def test_a_follower_misses_nothing(api: Api) -> None:
    heard: list[dict[str, Any]] = []

    async def follow() -> None:
        async with httpx.AsyncClient(base_url=api.url, timeout=20) as http, http.stream("GET", "/v1/events?follow=true&after=1") as stream:
            assert stream.headers["Content-Type"].startswith("application/x-ndjson")
            async for line in stream.aiter_lines():
                heard.extend([orjson.loads(line)] if line else [])

    async with working(follow()):
        for number in range(10):
            await api.post("/v1/hosts", name=f"h{number}")
        head = await api.store.head()
        async with asyncio.timeout(10):
            while not heard or heard[-1]["position"] < head:
                await asyncio.sleep(0.01)
    assert [event["position"] for event in heard] == list(range(2, head + 1))


async def test_the_log_is_for_admins_and_its_parameters_are_numbers(api: Api) -> None:
    assert (await api.http.get("/v1/events?after=x")).status_code == 422
    made = await api.post("/v1/apikeys", publicValue="key", secretValue="the secret")
    assert "the secret" not in str(await every(api))
    assert made["secretValue"] == "the secret"

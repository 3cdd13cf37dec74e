"""GET /v1/containers/<id>/logs and its like: documents, streams, and what becomes of those whose ends go away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import cast

import httpx
import pytest

from agents.live import WINDOW, Json, Question
from agents.process.agent import Agent
from agents.simulated import SimulatedDriver
from deploy.embedded import EmbeddedNats, hold
from eventstore import Event, Write
from eventstore.postgres import PostgresStore
from gateway.live import asking
from tests.gateway.live.conftest import SECONDS, Cloud, a_cloud
from tests.support.live import LONG

NDJSON = {"Accept": "application/x-ndjson"}


@asynccontextmanager
async def followed(cloud: Cloud, verb: str = "logs", accept: str = "text/plain") -> AsyncIterator[AsyncIterator[str]]:
    """The lines of a stream, as they come."""
    path = f"/v1/containers/{cloud.id}/{verb}?follow"
    async with asyncio.timeout(3 * SECONDS), cloud.api.http.stream("GET", path, headers={"Accept": accept}) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert "html" not in accept or answer.headers["Content-Type"].startswith("text/plain")
        async with aclosing(cast("AsyncGenerator[str, None]", answer.aiter_lines())) as lines:
            yield lines


async def test_what_its_engine_knows_is_one_document(cloud: Cloud) -> None:
    answer = await cloud.api.http.get(f"/v1/containers/{cloud.id}/inspect")
    assert (answer.status_code, answer.headers["X-Corral-Live"]) == (200, "true"), answer.text
    assert (answer.json()["state"], answer.json()["created"]) == ("running", 1)
    for path in (f"/v1/instances/{cloud.number}/inspect", f"/V1/Containers/{cloud.id}/Inspect"):
        assert (await cloud.api.http.get(path)).json() == answer.json(), path


async def test_logs_are_text_or_a_document_a_line_or_server_sent_events(cloud: Cloud) -> None:
    path = f"/v1/containers/{cloud.id}/logs"
    text = await cloud.api.http.get(path)
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert text.text.endswith("is running, made 1 times\n")
    dated = await cloud.api.http.get(path, params={"timestamps": "true"})
    assert dated.text.partition(" ")[2] == text.text
    line = (await cloud.api.http.get(path, headers=NDJSON)).json()
    assert (line["stream"], f"{line['text']}\n") == ("stdout", text.text)
    events = (await cloud.api.http.get(path, headers={"Accept": "text/event-stream"})).text
    assert json.loads(events.removeprefix("data: "))["text"] == line["text"]


async def test_a_browser_finds_them_on_the_page_of_an_instance_and_can_read_what_they_say(cloud: Cloud) -> None:
    browser = {"User-Agent": "Mozilla/5.0", "Accept": "text/html,*/*;q=0.8"}
    here = f"/v1/containers/{cloud.id}"
    read = (await cloud.api.http.get(here, headers=browser)).text
    for query in ("logs?tail=1000", "logs?tail=100&amp;follow", "stats", "top", "inspect", "events", "why", "history"):
        assert f'href="{here}/{query}"' in read
    assert "/logs" not in (await cloud.api.http.get("/v1/hosts/1h1", headers=browser)).text
    for verb, media in {"logs": "text/plain", "stats": "text/html", "inspect": "text/html"}.items():
        answer = await cloud.api.http.get(f"{here}/{verb}", headers=browser)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, f"{media}; charset=utf-8"), answer.text
        assert (answer.headers["X-Content-Type-Options"], answer.headers["X-Corral-Live"]) == ("nosniff", "true")
    async with followed(cloud, "stats", "text/html") as lines:
        assert json.loads(await anext(lines))["processes"] == 1, "a document a line, shown and not kept as a file"


async def test_stats_are_one_sample_or_a_stream_of_them(cloud: Cloud) -> None:
    assert (await cloud.api.get(f"/v1/containers/{cloud.id}/stats"))["processes"] == 1
    async with followed(cloud, "stats") as lines:
        assert [json.loads(await anext(lines))["processes"] for _ in range(2)] == [1, 1]


@pytest.mark.parametrize(("path", "status", "says"), [
    ("1i999/logs", 404, "no container 1i999|no instance 1i999"),
    ("1i1/top", 501, "hosts of kind sim can't answer top: they answer exec, inspect, logs, stats"),
    ("1i1/logs?tail=some", 422, "tail is a number of lines"),
    ("1i1/logs?since=never", 422, "since takes a time"),
    ("1i1/logs?colour=red", 422, "logs has no option 'colour': it has follow, since"),
    ("1i1/logs?at=5", 422, "what is live is now"),
    ("1i1/exec?command=ls", 400, "ask with a WebSocket"),
])  # fmt: skip
async def test_what_cannot_be_answered_is_told(cloud: Cloud, path: str, status: int, says: str) -> None:
    refused = await cloud.api.http.get(f"/v1/containers/{path}")
    assert refused.status_code == status, refused.text
    assert any(each in refused.json()["message"] for each in says.split("|")), refused.text


async def test_what_does_not_run_has_no_stats_and_what_was_removed_nothing(cloud: Cloud) -> None:
    await cloud.api.http.post(f"/v1/containers/{cloud.id}?action=stop", json={})
    await cloud.until_state("stopped")
    refused = await cloud.api.http.get(f"/v1/containers/{cloud.id}/stats")
    assert (refused.status_code, refused.json()["code"]) == (409, "Conflict")
    assert "Start it first" in refused.json()["message"]
    assert (await cloud.api.http.get(f"/v1/containers/{cloud.id}/logs")).status_code == 200


async def test_a_reader_that_reads_no_further_is_sent_no_more_than_there_is_room_for(cloud: Cloud) -> None:
    async with followed(cloud) as lines:
        await anext(lines)
        before = -1
        while before != cloud.driver.written:  # until the driver is asked no further
            before = cloud.driver.written
            await asyncio.sleep(1)
        # Besides both windows, what the system's own buffers of the connection take.
        assert 2 * WINDOW < cloud.driver.written < 12_000_000 / len(LONG)
        for _ in range(before):
            await anext(lines)
        await cloud.until(lambda: cloud.driver.written > before)
    await cloud.until(lambda: cloud.driver.under_way == 0)


async def test_one_account_takes_the_agent_from_no_other(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MOST_OF_ONE", 1)
    cloud.driver.quiet = True
    account = await cloud.api.add("account", name="greedy", kind="user")
    await cloud.api.add("credential", accountId=account, publicValue="greedy", secretValue="secret", kind="apiKey")
    key = ("greedy", "secret")
    async with asyncio.timeout(2 * SECONDS):
        while (await cloud.api.http.get("/v1/agents", auth=key)).status_code != 404:  # a user: the key is known by then
            await asyncio.sleep(0.05)
        made = (await cloud.api.http.post("/v1/containers", json={"imageUuid": "sim:talk", "name": "mine"}, auth=key)).json()
        path = f"/v1/containers/{made['id']}"
        while (await cloud.api.http.get(path, auth=key)).json()["state"] != "running":
            await asyncio.sleep(0.05)
        async with cloud.api.http.stream("GET", f"{path}/logs?follow", auth=key) as first:
            assert first.status_code == 200, await first.aread()
            refused = await cloud.api.http.get(f"{path}/logs?follow", auth=key)
            assert (refused.status_code, refused.json()["code"]) == (429, "Too Many Requests")
            async with followed(cloud) as others, followed(cloud) as more:
                assert [await anext(others), await anext(more)]
        while (await cloud.api.http.get(f"{path}/inspect", auth=key)).status_code != 200:
            await asyncio.sleep(0.05)


async def test_an_answer_ends_soon_when_its_reader_vanishes_also_if_there_is_nothing_to_tell(cloud: Cloud) -> None:
    cloud.driver.quiet = True
    async with followed(cloud):
        await cloud.until(lambda: cloud.driver.under_way == 1)
    await cloud.until(lambda: cloud.driver.under_way == 0)


async def test_who_asks_for_the_head_of_a_stream_is_sent_no_stream(cloud: Cloud) -> None:
    cloud.driver.quiet = True
    async with httpx.AsyncClient(base_url=cloud.api.url, timeout=SECONDS, limits=httpx.Limits(max_connections=1)) as http:
        head = await http.head(f"/v1/containers/{cloud.id}/logs?follow", headers=NDJSON)
        assert (head.status_code, head.headers["Content-Type"]) == (200, NDJSON["Accept"])
        await cloud.until(lambda: cloud.driver.under_way == 0)
        assert (await http.get(f"/v1/containers/{cloud.id}")).status_code == 200
        assert (await http.head("/v1/containers/1i999/logs?follow")).status_code == 404


async def test_an_agent_that_stops_ends_its_streams_and_says_why(cloud: Cloud) -> None:
    cloud.driver.quiet = True
    async with followed(cloud, accept="application/x-ndjson") as lines:
        assert json.loads(await anext(lines))["text"] == "0 "
        await cloud.agent.stop(grace=0)
        last = [json.loads(line) async for line in lines if line][-1]
    assert (last["type"], last["status"]) == ("error", 503)
    assert "stops: ask again when it is back" in last["message"]


async def test_a_text_that_ends_early_says_so_in_its_last_line(cloud: Cloud) -> None:
    cloud.driver.quiet = True
    async with followed(cloud) as lines:
        await anext(lines)
        await cloud.agent.stop(grace=0)
        assert "*** the log ends here: agent" in [line async for line in lines][-1]


@pytest.mark.parametrize("rubbish", [{"lines": 5}, {"lines": [7]}, {"lines": [{"text": "no stream"}]}])
async def test_a_piece_that_is_none_ends_the_answer_with_the_reason(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, rubbish: Json) -> None:
    async def live(question: Question, given: AsyncIterator[Json]) -> AsyncGenerator[Json, None]:
        yield {"lines": [{"stream": "stdout", "time": "T", "text": "well"}]}
        yield rubbish

    monkeypatch.setattr(cloud.driver, "live", live)
    async with followed(cloud) as lines:
        assert await anext(lines) == "well"
        assert (await anext(lines)).startswith("*** the log ends here: the agent's answer has a piece that can't be understood")


async def test_with_the_agent_away_it_is_said_at_once(cloud: Cloud) -> None:
    await cloud.agent.stop(grace=0)
    for verb in ("logs", "stats", "inspect"):
        async with asyncio.timeout(10):
            refused = await cloud.api.http.get(f"/v1/containers/{cloud.id}/{verb}")
        assert refused.status_code == 503, refused.text
        assert "is not connected" in refused.json()["message"]


async def test_with_the_agent_away_inspect_answers_what_was_known(cloud: Cloud) -> None:
    stream = f"instance-{cloud.number}"
    version = len(await cloud.api.store.read(stream))
    await cloud.agent.stop(grace=0)
    told = Event("updated", {"changes": {"+data": {"dockerInspect": {"Id": "abc"}}}})
    await cloud.api.store.append([Write(stream, version, (told,))])
    answer = await cloud.api.http.get(f"/v1/containers/{cloud.id}/inspect")
    assert (answer.status_code, answer.headers["X-Corral-Live"], answer.json()) == (200, "false", {"Id": "abc"})


@pytest.mark.timeout(120)
async def test_a_stream_survives_a_restart_of_nats_and_misses_nothing(store: PostgresStore, database: str, tmp_path: Path) -> None:
    with hold(tmp_path / "nats") as home:
        async with (
            EmbeddedNats(home, preferred=0) as nats,
            a_cloud(store, database, nats.url, tmp_path / "agent") as cloud,
            followed(cloud) as lines,
        ):
            first = [int((await anext(lines)).split()[0]) for _ in range(20)]
            await nats.stop()
            async with EmbeddedNats(home, preferred=int(nats.url.rpartition(":")[2])) as again:
                assert again.url == nats.url
                more = [int((await anext(lines)).split()[0]) for _ in range(3000)]
    assert first + more == list(range(3020))


async def test_an_agent_that_was_killed_and_started_again_knows_nothing_of_the_query(cloud: Cloud) -> None:
    """Its process is new; it says so to whoever still asks the old one."""
    cloud.driver.quiet = True
    async with followed(cloud, accept="application/x-ndjson") as lines:
        await anext(lines)
        live, number, own = cloud.agent._live, cloud.agent.number, cloud.agent.uuid
        for query in live._open.values():  # as a kill does: no word of it
            assert query.task is not None
            query.task.cancel()
        live._open.clear()
        await cloud.agent.stop(grace=0)
        async with Agent(number, own, SimulatedDriver(own), cloud.folder, cloud.nats):
            last = [json.loads(line) async for line in lines if line][-1]
    assert "was started anew and does not know the query" in last["message"]

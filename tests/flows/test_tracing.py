"""One request followed by its correlation id, and by its trace, through all processes' logs, over NATS and in the CLI."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg

from tests.support.cluster import Cluster, a_cluster, an_active_host, until_running
from tests.support.server import CHECKOUT, Server

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = {"X-Correlation-Id": "followed", "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01", "tracestate": "rojo=1"}
LOGGED = {"log_level": "debug", "log_format": "json"}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(tmp_path) as cluster:
        yield cluster


def lines(server: Server, **fields: str) -> list[dict[str, Any]]:
    """What it logged with these fields."""
    said = (json.loads(line) for line in server.said().splitlines() if line.startswith("{"))
    return [line for line in said if fields.items() <= line.items()]


@pytest.mark.timeout(180)
async def test_one_correlation_is_followed_through_all_logs_and_its_trace_through_nats(cluster: Cluster) -> None:
    await cluster.start(
        gateway={"roles": "gateway,projector", **LOGGED}, engine={"roles": "engine", **LOGGED},
        agents={"roles": "agents", "hosts": "sim", **LOGGED},
    )  # fmt: skip
    heard: dict[str, Msg] = {}
    client = await nats.connect(cluster.nats.url)

    async def hear(message: Msg) -> None:
        heard[json.loads(message.data)["id"]] = message

    await client.subscribe("corral.agent.>", cb=hear)
    async with cluster.http() as http:
        await an_active_host(http)
        made = await http.post("/v1/containers", json={"imageUuid": "sim:seen", "name": "seen-1"}, headers=HEADERS)
        assert made.status_code == 201
        own = made.headers["traceresponse"]
        await until_running(http, [made.json()["id"]], "seen", 60)
        page = (await http.get("/v1/events", params={"correlation": "followed", "limit": 1000})).json()["data"]

    assert {event["metadata"]["traceparent"] for event in page} == {own}, "by whomever they were appended"
    assert {event["metadata"]["tracestate"] for event in page} == {"rojo=1"}
    asked = {event["data"]["id"]: event["data"]["command"] for event in page if event["type"] == "step-requested"}
    assert "compute.instance.activate" in asked.values()
    spans = set()
    for ask in asked:
        message = heard[ask]
        assert message.headers is not None
        parent = message.headers["traceparent"]
        assert (parent[3:35], message.headers["tracestate"]) == (TRACE_ID, "rojo=1")
        assert json.loads(message.data)["context"].items() >= {"traceparent": parent, "correlation": "followed"}.items()
        spans.add(parent[36:52])
    assert len(spans | {own[36:52], "00f067aa0ba902b7"}) == len(asked) + 2, "each hop is a span of its own"
    await client.close()

    [line] = lines(cluster["gateway"], action="request", correlation="followed")
    assert (line["method"], line["path"], line["status"], line["trace"]) == ("POST", "/v1/containers", 201, TRACE_ID)
    for action, name in (("asked", "engine"), ("answered", "engine"), ("done", "agents")):
        told = lines(cluster[name], action=action, correlation="followed")
        assert {line["ask"] for line in told} == set(asked), (action, told)
        assert all(line["stream"] and line["command"] == asked[line["ask"]] for line in told)
    assert not lines(cluster["engine"], correlation="followed", root="agent-1"), "nothing of others is told in its name"

    for name in ("followed", TRACE_ID):
        command = [sys.executable, "-m", "deploy.cli", "trace", name, "--url", cluster["gateway"].url, "-o", "json"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, cwd=CHECKOUT, timeout=60)
        assert done.returncode == 0, done.stderr
        assert {"gateway", "engine", "wire", "agent"} <= {hop["hop"] for hop in json.loads(done.stdout)["hops"]}

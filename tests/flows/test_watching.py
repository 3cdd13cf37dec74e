"""Each role in a process of its own tells how it does, at a port of its own, and by name what it misses when that goes away."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.cluster import Cluster, a_cluster, an_active_host, until_running
from tests.support.server import Server

SECONDS = 60
OWN_PORT = {"metrics_port": "0"}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(tmp_path) as cluster:
        yield cluster


def place(server: Server) -> str:
    found = re.search(r"^Figures and health: (http://127\.0\.0\.1:\d+)/metrics", server.said(), re.MULTILINE)
    assert found, server.said()
    return found[1]


async def ready(http: httpx.AsyncClient, url: str) -> tuple[int, dict[str, bool]]:
    began = time.monotonic()
    answer = await http.get(f"{url}/readyz")
    assert time.monotonic() - began < 10, "on a busy machine; it gives itself one second"
    return answer.status_code, {name: check["ready"] for name, check in answer.json()["checks"].items()}


async def until(look: Callable[[], Awaitable[Any]], right: Any) -> None:
    async with asyncio.timeout(SECONDS):
        while (seen := await look()) != right:
            assert seen is not None
            await asyncio.sleep(0.1)


@pytest.mark.timeout(240)
async def test_every_role_says_by_name_what_it_misses_and_is_ready_again_once_that_is_back(cluster: Cluster) -> None:
    await cluster.start(
        gateway={"roles": "gateway", **OWN_PORT}, projector={"roles": "projector", **OWN_PORT}, engine={"roles": "engine", **OWN_PORT},
        agents={"roles": "agents", "hosts": "sim", **OWN_PORT},
    )  # fmt: skip
    at = {name: place(server) for name, server in cluster.servers.items()}
    async with cluster.http() as api, httpx.AsyncClient(timeout=20) as http:
        await an_active_host(api)
        made = await api.post("/v1/containers", json={"imageUuid": "sim:seen", "name": "seen-1"})
        await until_running(api, [made.json()["id"]], "seen", SECONDS)

        well = {
            "gateway": {"database": True, "views": True},
            "projector": {"database": True, "views": True},
            "engine": {"database": True, "log": True, "partitions": True, "nats": True},
            "agents": {"database": True, "nats": True},
        }
        for name, url in at.items():
            await until(partial(ready, http, url), (200, well[name]))
            assert (await http.get(f"{url}/healthz")).json() == {"alive": True, "roles": [name]}
        said = {name: (await http.get(f"{url}/metrics")).text for name, url in at.items()}
        assert 'corral_processes_ended_total{outcome="succeeded",process="instance.start"} 1.0' in said["engine"]
        assert re.search(r'corral_http_requests_total\{method="POST",route="/v1/{type}",status="201"\} 1\.0', said["gateway"])
        assert 'corral_local_commands_total{outcome="done"}' in said["agents"]
        assert re.search(r'corral_views_lag_events\{generation="views_\w+"\} \d', said["projector"])
        assert "corral_turn_seconds" not in said["gateway"], "what a process has no part for, it does not show as nothing"
        assert "corral_http_requests_total" not in said["engine"]

        await cluster.nats.stop()
        await until(partial(ready, http, at["engine"]), (503, well["engine"] | {"nats": False}))
        await until(partial(ready, http, at["agents"]), (503, well["agents"] | {"nats": False}))
        assert (await ready(http, at["gateway"]))[0] == 200, "it needs only Postgres"
        await cluster.nats.start()
        await until(partial(ready, http, at["engine"]), (200, well["engine"]))
        assert re.search(r'corral_nats_reconnects_total\{of="engine"\} [1-9]', (await http.get(f"{at['engine']}/metrics")).text)

        await cluster.postgres.stop()
        for name, url in at.items():
            gone = {check: False for check in well[name] if check in ("database", "views")}
            async with asyncio.timeout(SECONDS):
                while not gone.items() <= (seen := await ready(http, url))[1].items():
                    await asyncio.sleep(0.1)
            assert seen[0] == 503
            assert (await http.get(f"{url}/healthz")).status_code == 200
            shown = await http.get(f"{url}/metrics")
            assert shown.status_code == 200
            assert "corral_postgres_up 0.0" in shown.text
        await cluster.postgres.start()
        for name, url in at.items():
            await until(partial(ready, http, url), (200, well[name]))

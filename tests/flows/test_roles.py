"""Roles in processes of their own: what one alone does, how it ends, and what is shared between several of a kind."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agents.simulated import SimulatedDriver
from tests.support.cluster import Cluster, a_cluster, an_active_host
from tests.support.server import DidNotServe, Server

BODY = {"imageUuid": "sim:once", "name": "once"}
HEADERS = {"Idempotency-Key": "k", "Host": "10.9.8.7"}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(tmp_path) as cluster:
        yield cluster


@pytest.mark.timeout(120)
async def test_a_gateway_that_dies_between_append_and_answer_leaves_the_answer_to_any_other(cluster: Cluster) -> None:
    await cluster.start(
        dying={"roles": "gateway", "failpoint": "after-append-instance.create"},
        other={"roles": "gateway"},
        projector={"roles": "projector"},
    )
    async with cluster.http("dying") as http:
        with pytest.raises(httpx.TransportError):
            await http.post("/v1/containers", json=BODY, headers=HEADERS)
    assert cluster["dying"].status(10) == -signal.SIGKILL
    cluster["dying"].launch(failpoint="")
    await asyncio.to_thread(cluster["dying"].serving)
    async with cluster.http("dying") as one, cluster.http("other") as two:
        answers = await asyncio.gather(*(http.post("/v1/containers", json=BODY, headers=HEADERS) for http in (one, two) for _ in range(5)))
        assert {answer.status_code for answer in answers} == {201}
        assert all(answer.json() == answers[0].json() for answer in answers)
        listed = await two.get("/v1/containers", params={"name": "once", "min_position": answers[0].headers["X-Corral-Position"]})
        assert [each["id"] for each in listed.json()["data"]] == [answers[0].json()["id"]]
        refused = await two.post("/v1/containers", json={**BODY, "name": "twice"}, headers=HEADERS)
        assert (refused.status_code, refused.json()["code"]) == (422, "IdempotencyKeyReused")


@pytest.mark.timeout(120)
async def test_an_engine_told_to_stop_ends_soon_and_leaves_its_work_to_the_other_at_once(cluster: Cluster) -> None:
    await cluster.start(first={"roles": "engine"}, second={"roles": "engine"})
    await cluster.until_partitions("second", 8)
    await cluster.until_partitions("first", 8)
    began = time.monotonic()
    await cluster.stop("first")
    assert time.monotonic() - began < 10
    assert await cluster.partitions("first") == set(), "given up, not left to expire"
    await cluster.until_partitions("second", 16)
    assert "Stopped." in cluster["first"].said()


@pytest.mark.timeout(120)
async def test_an_engine_with_another_nats_than_the_one_at_work_does_not_start(cluster: Cluster) -> None:
    await cluster.start(engine={"roles": "engine"})
    alone = Server(cluster.folder / "alone", hosts="none", roles="gateway,engine,projector", postgres=cluster.postgres.dsn)
    try:
        with pytest.raises(DidNotServe, match=rf"{cluster.node('engine')} works on this Postgres already.*set CORRAL_NATS"):
            await asyncio.to_thread(alone.start)
    finally:
        alone.kill()


@pytest.mark.timeout(120)
async def test_a_simulated_agent_lives_on_one_server_and_stays_there(cluster: Cluster) -> None:
    await cluster.start(control={"roles": "gateway,engine,projector"}, one={"roles": "agents"}, two={"roles": "agents"})
    async with cluster.http("control") as http:
        made = await http.post("/v1/agents", json={"uri": "sim://mine", "uuid": "mine", "managedConfig": False})
        assert made.status_code == 201, made.text
        number = made.json()["id"][2:]
        await an_active_host(http)
        [where] = [name for name in ("one", "two") if (cluster[name].home / "agents" / f"a{number}").exists()]
        started = await http.post("/v1/containers", json=BODY)
        await until_running(http, started.json()["id"])
        await cluster.stop(where)
        again = await http.post("/v1/containers", json=BODY)
        await asyncio.sleep(1)
        assert (await http.get(f"/v1/containers/{again.json()['id']}")).json()["state"] != "running", "its host is away"
        await cluster.again(where)
        await until_running(http, again.json()["id"])
        driver = SimulatedDriver("mine")
        await driver.open(cluster[where].home / "agents" / f"a{number}")
        assert {(box.state, box.created) for box in driver.boxes().values()} == {("running", 1)}
        assert len(driver.boxes()) == 2
        await driver.close()
    [other] = {"one", "two"} - {where}
    assert not (cluster[other].home / "agents" / f"a{number}").exists()


async def until_running(http: httpx.AsyncClient, number: str) -> dict[str, Any]:
    async with asyncio.timeout(40):
        while (instance := (await http.get(f"/v1/containers/{number}")).json())["state"] != "running":
            await asyncio.sleep(0.05)
    return dict(instance)

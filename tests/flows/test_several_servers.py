"""Several servers on one Postgres and one NATS: engines that die, sleep and come back, and every role restarted under load."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.support.cluster import Cluster, a_cluster, an_active_host, ask_for, figure, met_in_the_middle, one_box_each, until_running

STARTS = 200
SLOWED = {"set": "agent.commands.in.flight=2"}
"""So that 200 starts take long enough to be met in the middle."""


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(tmp_path) as cluster:
        yield cluster


async def two_engines(cluster: Cluster) -> None:
    await cluster.start(
        gateway={"roles": "gateway,projector"},
        first={"roles": "engine", **SLOWED},
        second={"roles": "engine", **SLOWED},
        agents={"roles": "agents", "hosts": "sim"},
    )
    await cluster.until_partitions("first", 8)
    await cluster.until_partitions("second", 8)
    async with cluster.http() as http:
        await an_active_host(http)


@pytest.mark.timeout(180)
async def test_one_of_two_engines_is_killed_in_the_middle_of_200_starts_and_the_other_ends_them(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    await two_engines(cluster)
    async with cluster.http() as http:
        theirs = await cluster.partitions("first")
        ids = await met_in_the_middle(cluster, http, STARTS, "killed")
        cluster["first"].send(signal.SIGKILL)
        died = datetime.now(UTC)
        cluster["first"].status(10)
        left = await cluster.open_roots(theirs)
        assert left, "nothing was to be taken over: the kill came too late"
        left &= {f"instance-{each[2:]}" for each in ids}
        instances = await until_running(http, ids, "killed", 90)
        # What the dead one had sent before may land a moment after it; its leases last longer than that.
        went_on = await cluster.first_append(left, died + timedelta(seconds=0.3))
        took = (went_on - died).total_seconds()
        figure(capsys, f"from the kill to the survivor's first append for a process taken over: {took:.2f} s ({len(left)} under way)")
        assert took < 15, "at most 5 s on a machine that has nothing else to do"
        one_box_each(await cluster.boxes(), instances)
        assert await cluster.count("process-failed") == 0
        await cluster.until_partitions("second", 16)


@pytest.mark.timeout(180)
async def test_an_engine_that_slept_and_wakes_is_refused_and_does_no_harm(cluster: Cluster) -> None:
    await two_engines(cluster)
    async with cluster.http() as http:
        ids = await met_in_the_middle(cluster, http, STARTS, "slept")
        cluster["first"].send(signal.SIGSTOP)
        try:
            instances = await until_running(http, ids, "slept", 90)
            await cluster.until_partitions("second", 16)
        finally:
            cluster["first"].send(signal.SIGCONT)
        await asyncio.to_thread(cluster["first"].until_it_says, '"lease-lost"')
        # It takes part again, after it has forgotten what it knew.
        await cluster.until_partitions("first", 8)
        more = await ask_for(http, 20, "slept-again")
        await until_running(http, more, "slept-again", 60)
        again = await until_running(http, [*ids, *more], "slept", 30)
        one_box_each(await cluster.boxes(), again)
        assert {each["uuid"] for each in instances} <= {each["uuid"] for each in again}
        assert await cluster.count("process-failed") == 0
        assert "Traceback" not in cluster["first"].said()


@pytest.mark.timeout(240)
async def test_every_role_is_restarted_under_load_and_nothing_acknowledged_is_lost(cluster: Cluster) -> None:
    await cluster.start(
        gateway={"roles": "gateway"}, gateway2={"roles": "gateway"},
        engine={"roles": "engine"}, engine2={"roles": "engine"},
        projector={"roles": "projector"}, agents={"roles": "agents", "hosts": "sim"},
    )  # fmt: skip
    async with cluster.http() as http:
        await an_active_host(http)
    acknowledged: list[str] = []
    stop = asyncio.Event()
    load = asyncio.create_task(a_client(cluster, acknowledged, stop))
    for name in ("gateway", "engine", "projector", "agents", "gateway2", "engine2"):
        before = len(acknowledged)
        await cluster.stop(name)
        await cluster.again(name)
        async with asyncio.timeout(30):
            while len(acknowledged) < before + 5:
                await asyncio.sleep(0.02)
    stop.set()
    await load
    assert len(set(acknowledged)) == len(acknowledged) > 30
    async with cluster.http() as http:
        instances = await until_running(http, acknowledged, "rolling", 60)
        assert len(instances) == len(acknowledged), "a request that was repeated made one thing"
        one_box_each(await cluster.boxes(), instances)
    assert await cluster.count("process-failed", "process-parked") == 0

    await a_gateway_alone_accepts_and_answers(cluster)


async def a_gateway_alone_accepts_and_answers(cluster: Cluster) -> None:
    """Engines, projectors and NATS are all away; agents are there, but nobody can reach them."""
    for name in ("engine", "engine2", "projector"):
        await cluster.stop(name)
    await cluster.nats.stop()
    async with cluster.http() as http:
        ids = await ask_for(http, 20, "alone")
        for number in ids:
            answer = await http.get(f"/v1/containers/{number}")
            assert (answer.status_code, answer.json()["state"]) == (200, "creating")
            assert int(answer.headers["X-Corral-Position"]) > 0
        await cluster.nats.start()
        await cluster.again("engine", "engine2", "projector")
        await until_running(http, ids, "alone", 60)


async def a_client(cluster: Cluster, acknowledged: list[str], stop: asyncio.Event) -> None:
    """Asks for one container after another, of whatever gateway answers, with a key, until it is acknowledged."""
    number = 0
    while not stop.is_set():
        number += 1
        body = {"imageUuid": "sim:rolling", "name": f"rolling-{number}"}
        async with asyncio.timeout(60):
            while True:
                for gateway in ("gateway", "gateway2"):
                    try:
                        async with httpx.AsyncClient(base_url=cluster[gateway].url, timeout=10) as http:
                            answer = await http.post("/v1/containers", json=body, headers={"Idempotency-Key": f"rolling-{number}"})
                    except httpx.TransportError:
                        continue
                    if answer.status_code == 201:
                        break
                    assert answer.status_code == 503, answer.text
                else:
                    await asyncio.sleep(0.05)
                    continue
                break
        acknowledged.append(answer.json()["id"])
        await asyncio.sleep(0.05)

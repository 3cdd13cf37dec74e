"""What all servers share goes away in the middle of work, and agents fall silent: everything goes on by itself, and nothing is removed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from agents.simulated import Box, SimulatedDriver
from tests.support.cluster import Cluster, a_cluster, an_active_host, ask_for, figure, met_in_the_middle, one_box_each, until_running
from tests.support.pace import Pace
from tests.support.server import CHECKOUT

STARTS = 200
OUTAGE = float(os.environ.get("OUTAGE_SECONDS", "60"))
SLOWED = {"set": "agent.commands.in.flight=2"}
ALL_BUT_AGENTS = {"roles": "gateway,projector,engine"}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(tmp_path) as cluster:
        yield cluster


@pytest.mark.timeout(180)
async def test_nats_is_stopped_wiped_and_started_again_during_200_starts(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    await cluster.start(control=ALL_BUT_AGENTS | SLOWED, agents={"roles": "agents", "hosts": "sim"})
    pace = await Pace.measured()
    async with cluster.http("control") as http:
        await an_active_host(http)
        ids = await met_in_the_middle(cluster, http, STARTS, "wiped")
        await cluster.nats.stop()
        shutil.rmtree(cluster.folder / "shared" / "nats")
        await asyncio.sleep(3)
        await cluster.nats.start()
        back = datetime.now(UTC)
        instances = await until_running(http, ids, "wiped", 90)
        one_box_each(await cluster.boxes(), instances)
        went_on = await cluster.first_append({f"instance-{each[2:]}" for each in ids}, back)
        await pace.again()
        figure(capsys, f"from NATS' return to the first append: {(went_on - back).total_seconds():.2f} s")
        assert (went_on - back).total_seconds() < pace.of(5), f"at most 5 s, {pace}"
    assert await cluster.count("process-failed") == 0


@pytest.mark.timeout(300)
async def test_postgres_is_stopped_at_once_for_a_minute_during_200_starts(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    await cluster.start(
        gateway={"roles": "gateway"}, projector={"roles": "projector"}, engine={"roles": "engine", **SLOWED},
        agents={"roles": "agents", "hosts": "sim"},
    )  # fmt: skip
    pace = await Pace.measured()
    async with cluster.http() as http:
        await an_active_host(http)
        ids = await met_in_the_middle(cluster, http, STARTS, "outage")
        pid = cluster.postgres.pid
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)  # an immediate shutdown: nobody is told, nothing is written
        await cluster.postgres.stop()
        slowest = await refused_for(http, ids[0], OUTAGE)
        await pace.again()
        figure(capsys, f"the slowest 503 without Postgres: {slowest:.2f} s")
        assert slowest < pace.of(2), f"at most 2 s, {pace}"
        await cluster.postgres.start()
        back = datetime.now(UTC)
        went_on = await cluster.first_append({f"instance-{each[2:]}" for each in ids}, back)
        await pace.again()
        figure(capsys, f"from Postgres' return to the first append: {(went_on - back).total_seconds():.2f} s")
        assert (went_on - back).total_seconds() < pace.of(5), f"at most 5 s, {pace}"
        instances = await until_running(http, ids, "outage", 90)
        one_box_each(await cluster.boxes(), instances)
    assert await cluster.count("process-failed", "process-parked") == 0
    for server in cluster.servers.values():
        assert server.alive
        assert "Traceback" not in server.said(), server.said()


async def refused_for(http: httpx.AsyncClient, number: str, seconds: float) -> float:
    """Reads and writes of all kinds, again and again. -> the slowest answer"""
    requests: list[tuple[str, str, Any]] = [
        ("GET", f"/v1/containers/{number}", None),
        ("GET", "/v1/containers", None),
        ("GET", f"/v1/containers/{number}/volumes", None),
        ("POST", "/v1/containers", {"imageUuid": "sim:many"}),
        ("POST", f"/v1/containers/{number}?action=stop", {}),
        ("PUT", f"/v1/containers/{number}", {"name": "other"}),
        ("DELETE", f"/v1/containers/{number}", None),
        ("GET", "/corral/info", None),
    ]
    slowest, until = 0.0, asyncio.get_running_loop().time() + seconds
    headers = {"Idempotency-Key": "outage"}
    while asyncio.get_running_loop().time() < until:
        answers = await asyncio.gather(*(http.request(method, path, json=body) for method, path, body in requests))
        answers.append(await http.post("/v1/containers", json={"imageUuid": "sim:many"}, headers=headers))
        assert Counter(each.status_code for each in answers) == {503: len(answers)}, [each.text for each in answers]
        assert all(int(each.headers["Retry-After"]) > 0 for each in answers)
        assert all(each.json()["type"] == "error" for each in answers)
        slowest = max(slowest, *(each.elapsed.total_seconds() for each in answers))
        await asyncio.sleep(1)
    return slowest


# --- agents ---


class OwnAgent:
    """An agent in a process of its own, on a simulated host."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        self.folder = cluster.folder / "agent"
        self._given = {"number": number, "nats": cluster.nats.url, "folder": str(self.folder)}
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, **knobs: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.agents.process.dying_agent", json.dumps({**self._given, "knobs": knobs})],
            stdout=subprocess.DEVNULL, cwd=CHECKOUT,
        )  # fmt: skip

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    async def boxes(self) -> dict[str, Box]:
        driver = SimulatedDriver("")
        await driver.open(self.folder)
        try:
            return driver.boxes()
        finally:
            await driver.close()


async def until_it_shows(http: httpx.AsyncClient, number: str, seconds: float = 60, **wanted: str) -> dict[str, Any]:
    async with asyncio.timeout(seconds):
        while True:
            instance: dict[str, Any] = (await http.get(f"/v1/containers/{number}")).json()
            if all(text in str(instance[name]) for name, text in wanted.items()):
                return instance
            assert instance["state"] != "removed", instance
            await asyncio.sleep(0.05)


@pytest.mark.timeout(180)
async def test_an_agent_that_is_silent_beyond_its_deadline_or_dies_before_it_answers_costs_nothing(cluster: Cluster) -> None:
    await cluster.start(control=ALL_BUT_AGENTS | {"set": "agent.silence.seconds=2"})
    async with cluster.http("control") as http:
        made = await http.post("/v1/agents", json={"uri": "event://agent1", "uuid": "agent1", "managedConfig": False})
        assert made.status_code == 201, made.text
        agent = OwnAgent(cluster, int(made.json()["id"][2:]))
        try:
            await agent.start()
            await an_active_host(http)

            agent.send(signal.SIGSTOP)
            [silent] = await ask_for(http, 1, "silent")
            waiting = await until_it_shows(http, silent, transitioningMessage="has not answered")
            assert (waiting["state"], waiting["transitioning"]) == ("starting", "yes")
            assert await cluster.count("process-parked") >= 1
            agent.send(signal.SIGCONT)
            await until_it_shows(http, silent, state="running")

            agent.kill()
            await agent.start(linger={"compute.instance.activate": 3600})
            [dead] = await ask_for(http, 1, "dead")
            async with asyncio.timeout(60):
                while len(await agent.boxes()) < 2:
                    await asyncio.sleep(0.02)
            agent.kill()
            assert (await http.get(f"/v1/containers/{dead}")).json()["state"] == "starting"
            await agent.start()
            await until_it_shows(http, dead, state="running")
            assert {(box.state, box.created) for box in (await agent.boxes()).values()} == {("running", 1)}
        finally:
            agent.kill()
    assert await cluster.count("process-failed", "removed") == 0

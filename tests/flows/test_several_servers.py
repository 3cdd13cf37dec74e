"""Several servers on one Postgres and one NATS: engines that die, sleep and come back, and every role restarted under load."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.cluster import (
    Cluster,
    a_cluster,
    an_active_host,
    ask_for,
    asleep,
    figure,
    found,
    met_in_the_middle,
    one_box_each,
    until_running,
)
from tests.support.pace import Pace

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
    pace = await Pace.measured()
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
        await pace.again()
        figure(capsys, f"from the kill to the survivor's first append for a process taken over: {took:.2f} s ({len(left)} under way)")
        assert took < pace.of(5), f"at most 5 s, {pace}"
        one_box_each(await cluster.boxes(), instances)
        assert await cluster.count("process-failed") == 0
        await cluster.until_partitions("second", 16)


@pytest.mark.timeout(400)
async def test_an_engine_that_slept_and_wakes_is_refused_and_does_no_harm(cluster: Cluster) -> None:
    await two_engines(cluster)
    async with cluster.http() as http:
        ids = await met_in_the_middle(cluster, http, STARTS, "slept")
        with asleep(cluster["first"]):
            instances = await until_running(http, ids, "slept", 90)
            await cluster.until_partitions("second", 16)
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
    clients = [Client(cluster, number) for number in range(4)]
    load = [asyncio.create_task(client.run()) for client in clients]

    def acknowledged() -> int:
        assert not any(task.done() for task in load), "a client was told what it can't bear"
        return sum(client.acknowledged for client in clients)

    for name in ("gateway", "engine", "projector", "agents", "gateway2", "engine2"):
        before = acknowledged()
        await cluster.stop(name)
        await cluster.again(name)
        async with asyncio.timeout(60):
            while acknowledged() < before + 12:
                await asyncio.sleep(0.02)
    for client in clients:
        client.stop.set()
    await asyncio.wait_for(asyncio.gather(*load), 120)
    ended = {number: end for client in clients for number, end in client.ended.items()}
    assert set(ended.values()) == set(ENDS), "each kind of life was led"
    async with cluster.http() as http:
        instances = await until_ended(http, ended, 60)
        boxes = await cluster.boxes()
    assert len(instances) == len(ended), "a request that was repeated made one thing"
    assert {each["uuid"] for each in instances} == set(boxes)
    left_as = {"running": ("running",), "stopped": ("stopped",), "removed": ("stopped", "removed")}  # it goes with the purge
    assert all(boxes[each["uuid"]].state in left_as[each["state"]] for each in instances), boxes
    assert {box.created for box in boxes.values()} == {1}, "each was made once"
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


ENDS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "running": (),
    "stopped": (("POST", "?action=stop", "stopped"),),
    "restarted": (("POST", "?action=stop", "stopped"), ("POST", "?action=start", "running")),
    "renamed": (("PUT", "", "running"),),
    "removed": (("POST", "?action=stop", "stopped"), ("DELETE", "", "removed")),
    "removed while it runs": (("DELETE", "", "removed"),),
}
"""How a container's life goes after it was created: the requests, and the state that each leads to."""


class Client:
    """Leads one container's life after another, over whatever gateway answers: each request with a key, until it is acknowledged."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        self.cluster, self.number = cluster, number
        self.acknowledged = 0
        self.ended: dict[str, str] = {}
        """Container -> which of ENDS its life had."""
        self.stop = asyncio.Event()

    async def run(self) -> None:
        while not self.stop.is_set():
            end = list(ENDS)[(len(self.ended) + self.number) % len(ENDS)]
            name = f"rolling-{self.number}-{len(self.ended)}"
            made = await self.asked("POST", "/v1/containers", f"{name}-made", {"imageUuid": "sim:rolling", "name": name})
            path = f"/v1/containers/{made['id']}"
            await self.until(path, "running")
            for step, (method, action, state) in enumerate(ENDS[end]):
                body = {"description": "renamed"} if method == "PUT" else {}
                answer = await self.asked(method, f"{path}/{action}" if action else path, f"{name}-{step}", body)
                assert answer["id"] == made["id"]
                await self.until(path, state)
            self.ended[made["id"]] = end

    async def asked(self, method: str, path: str, key: str, body: dict[str, str]) -> dict[str, Any]:
        answer = await self._answered(method, path, json=body, headers={"Idempotency-Key": key})
        assert answer.status_code in (200, 201, 202), answer.text
        self.acknowledged += 1
        document: dict[str, Any] = answer.json()
        return document

    async def until(self, path: str, state: str) -> None:
        async with asyncio.timeout(60):
            while (found := (await self._answered("GET", path)).json())["state"] != state:
                assert found["transitioning"] != "error", found
                await asyncio.sleep(0.02)

    async def _answered(self, method: str, path: str, **given: Any) -> httpx.Response:
        """By one of the gateways; 503 is no answer."""
        async with asyncio.timeout(60):
            while True:
                for gateway in ("gateway", "gateway2"):
                    with contextlib.suppress(httpx.TransportError):
                        async with httpx.AsyncClient(base_url=self.cluster[gateway].url, timeout=10) as http:
                            answer = await http.request(method, path, **given)
                        if answer.status_code != 503:
                            return answer
                await asyncio.sleep(0.05)


async def until_ended(http: httpx.AsyncClient, ended: dict[str, str], seconds: float) -> list[dict[str, Any]]:
    """Until the lists show each in the state that its life ended in. -> all of them"""
    states = {number: (ENDS[end] or [("", "", "running")])[-1][2] for number, end in ended.items()}
    async with asyncio.timeout(seconds):
        while True:
            instances = await found(http, "rolling")
            if {each["id"]: each["state"] for each in instances} == states:
                renamed = {each["id"] for each in instances if each["description"] == "renamed"}
                assert renamed == {number for number, end in ended.items() if end == "renamed"}
                return instances
            await asyncio.sleep(0.1)

"""Settings of several servers: changed over HTTP at one, in force on all of them within a second."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import nats
import orjson
import pytest
from nats.aio.msg import Msg

from tests.support.cluster import a_cluster, figure

IN_FLIGHT, PROCESSES = "agent.commands.in.flight", "engine.processes"
LONG = 30.0
"""Seconds for what should take one: the tests' machine may be busy."""


class Told:
    """What engines say that they go by, and when each said it first."""

    def __init__(self) -> None:
        self.at: dict[tuple[str, str, Any], float] = {}

    async def hear(self, message: Msg) -> None:
        vitals = orjson.loads(message.data)
        for name, value in vitals["throttles"].items():
            self.at.setdefault((vitals["holder"], name, value), time.monotonic())

    async def until(self, holders: list[str], name: str, value: Any) -> float:
        """-> when the last of them said so."""
        async with asyncio.timeout(LONG):
            while not all((holder, name, value) in self.at for holder in holders):
                await asyncio.sleep(0.01)
        return max(self.at[holder, name, value] for holder in holders)


@pytest.mark.timeout(180)
async def test_a_throttle_that_is_changed_over_http_is_in_force_on_every_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_cluster(tmp_path) as cluster:
        await cluster.start(
            gateway={"roles": "gateway,projector"}, other={"roles": "gateway"},
            first={"roles": "engine"}, second={"roles": "engine", "set": f"{PROCESSES}=77"},
        )  # fmt: skip
        engines = [cluster.node("first"), cluster.node("second")]
        told = Told()
        client = await nats.connect(cluster.nats.url)
        try:
            await client.subscribe("corral.engine.*", cb=told.hear)
            await client.flush()
            async with cluster.http() as http, cluster.http("other") as other:
                for value in (3, 9):
                    await changed(http, IN_FLIGHT, value)
                    answered = time.monotonic()
                    took = await told.until(engines, IN_FLIGHT, value) - answered
                    figure(capsys, f"{IN_FLIGHT}={value} is in force on both engines {max(0.0, took):.2f} s after its answer")
                # The other gateway goes by it, too: what it was told is its own, what it looks up is everybody's.
                assert (await other.get(f"/v1/settings/1as!{IN_FLIGHT}")).json()["activeValue"] == "9"
                await changed(http, "api.instance.require.image", "false")
                answered = time.monotonic()
                await until_accepted(other)
                figure(capsys, f"what a create needs is another on the other gateway {time.monotonic() - answered:.2f} s after its answer")
                await changed(http, PROCESSES, 5)
                await told.until(engines[:1], PROCESSES, 5)
                assert (engines[1], PROCESSES, 5) not in told.at, "its own command line is stronger"
                assert (await http.delete(f"/v1/settings/1as!{IN_FLIGHT}")).status_code == 200
                await told.until(engines, IN_FLIGHT, 32)
            await cluster.stop("first")
            told.at.clear()
            await cluster.again("first")
            await told.until(engines[:1], PROCESSES, 5)  # one that starts knows it from the log
        finally:
            await client.close()


async def changed(http: httpx.AsyncClient, name: str, value: Any) -> None:
    answer = await http.put(f"/v1/settings/1as!{name}", json={"value": value})
    assert answer.status_code == 200, answer.text


async def until_accepted(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(LONG):
        while (answer := await http.post("/v1/containers", json={"name": "without an image"})).status_code != 201:
            assert answer.json()["fieldName"] == "imageUuid", answer.text
            await asyncio.sleep(0.02)

"""What Corral runs on fails in the middle of work: it goes on by itself, and nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.frozen import frozen
from tests.support.server import Server

STARTS = 30
DEATHS = 3


@pytest.mark.timeout(120)
async def test_nats_killed_again_and_again_during_30_starts_and_all_end_running(home: Path) -> None:
    with Server(home) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            killing = asyncio.create_task(kill_nats(server))
            wanted = []
            for number in range(STARTS):
                made = await http.post("/v1/containers", json={"imageUuid": f"sim:outage-{number}", "name": f"outage-{number}"})
                assert made.status_code == 201, "the gateway needs no NATS to accept"
                wanted.append(made.json()["id"])
                await asyncio.sleep(0.05)
            killed = await killing
            assert len(set(killed)) == DEATHS, "each time it was another one"

            states: Counter[str] = Counter()
            async with asyncio.timeout(60):
                while states != {"running": STARTS}:
                    found = (await http.get("/v1/instances", params={"limit": 1000, "name_like": "outage-%"})).json()["data"]
                    states = Counter(each["state"] for each in found)
                    assert not states["removed"], f"silence is not failure: {found}"
                    await asyncio.sleep(0.1)
            made_boxes = {box.uuid: box for box in (await server.boxes(1)).values()}
            assert len(made_boxes) == STARTS + 1
            assert {(box.state, box.created) for box in made_boxes.values()} == {("running", 1)}
            assert server.embedded("nats-server") not in killed
        assert "Traceback" not in server.said()


async def kill_nats(server: Server) -> list[int]:
    """-> the pids of those killed, each once it served for a moment."""
    killed: list[int] = []
    while len(killed) < DEATHS:
        await asyncio.sleep(0.4)
        serving = [pid for pid, command in server.processes().items() if "nats.conf" in command and "launch.py" not in command]
        if serving and serving[0] not in killed:
            os.kill(serving[0], signal.SIGKILL)
            killed.append(serving[0])
    return killed


@pytest.mark.timeout(120)
async def test_a_postgres_that_hangs_is_told_within_seconds_and_goes_on_where_it_stopped(home: Path) -> None:
    with Server(home) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            made = await http.post("/v1/containers", json={"imageUuid": "sim:x", "name": "before"})
            number = made.json()["id"]
            requests: list[tuple[str, str, Any]] = [
                ("GET", f"/v1/containers/{number}", None),
                ("GET", "/v1/containers", None),
                ("POST", "/v1/containers", {"imageUuid": "sim:x", "name": "meanwhile"}),
                ("POST", f"/v1/containers/{number}?action=stop", {}),
                ("PUT", f"/v1/containers/{number}", {"name": "other"}),
                ("GET", "/healthcheck", None),
                ("GET", "/corral/info", None),
            ]
            with frozen(server.embedded("postgres")):
                for _ in range(2):  # those that meet it, and those that come later
                    began = time.monotonic()
                    answers = await asyncio.gather(*(http.request(method, path, json=body) for method, path, body in requests))
                    assert Counter(each.status_code for each in answers) == {503: len(answers)}, [each.text for each in answers]
                    assert time.monotonic() - began < 5, "at most 2 s on a machine that has nothing else to do"
            async with asyncio.timeout(60):
                while (made := await http.post("/v1/containers", json={"imageUuid": "sim:x", "name": "after"})).status_code == 503:
                    assert made.headers["Retry-After"]
                    await asyncio.sleep(0.1)
            assert made.status_code == 201
            async with asyncio.timeout(60):
                while (await http.get(f"/v1/containers/{made.json()['id']}")).json()["state"] != "running":
                    await asyncio.sleep(0.1)
        assert "Traceback" not in server.said()

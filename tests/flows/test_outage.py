"""What Corral runs on fails in the middle of work: it goes on by itself, and nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

import httpx
import pytest

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

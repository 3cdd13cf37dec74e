"""Many at once, over HTTP: a host's slots are given out exactly once, and who got none is told why."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.server import Server

SLOTS, ASKED = 100, 500
AT_ONCE = httpx.Limits(max_connections=100)


@pytest.mark.timeout(120)
async def test_of_500_asked_at_once_for_100_slots_exactly_100_run_and_400_know_why_not(home: Path) -> None:
    with Server(home) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=AT_ONCE) as http:
            (host,) = (await http.get("/v1/hosts")).json()["data"]
            changed = await http.put(f"/v1/hosts/{host['id']}", json={"computeFree": SLOTS})
            assert changed.status_code == 200, changed.text
            assert changed.json()["computeFree"] == SLOTS

            answers = await asyncio.gather(
                *(http.post("/v1/containers", json={"imageUuid": "sim:many", "name": f"many-{number}"}) for number in range(ASKED))
            )
            assert Counter(answer.status_code for answer in answers) == {201: ASKED}
            wanted = {answer.json()["id"] for answer in answers}
            assert len(wanted) == ASKED

            ended = await all_ended(http, wanted)

            assert Counter(each["state"] for each in ended.values()) == {"running": SLOTS, "removed": ASKED - SLOTS}
            reason = f"Failed to find a placement : host 1h1: full, 0 of {SLOTS + 1} free, 1 needed"
            assert {each["transitioning"] for each in ended.values() if each["state"] == "removed"} == {"error"}
            reasons = {each["transitioningMessage"] for each in ended.values() if each["state"] == "removed"}
            assert reasons == {reason}
            assert (await http.get(f"/v1/hosts/{host['id']}")).json()["computeFree"] == 0

            boxes = await server.boxes(1)
            running = {each["uuid"] for each in ended.values() if each["state"] == "running"}
            assert running < {box.uuid for box in boxes.values()}
            assert len(boxes) == SLOTS + 1, "nothing was made for those that were refused"
            assert {(box.state, box.created) for box in boxes.values()} == {("running", 1)}

            await a_slot_given_back_is_taken(http, next(each for each in ended.values() if each["state"] == "running"))


async def all_ended(http: httpx.AsyncClient, wanted: set[str], seconds: float = 60) -> dict[str, dict[str, Any]]:
    """By id, once nothing is under way on any of them."""
    async with asyncio.timeout(seconds):
        while True:
            found = (await http.get("/v1/instances", params={"limit": 1000, "name_like": "many-%"})).json()["data"]
            ended = {each["id"]: each for each in found if each["id"] in wanted and each["transitioning"] != "yes"}
            if ended.keys() == wanted:
                return ended
            await asyncio.sleep(0.2)


async def a_slot_given_back_is_taken(http: httpx.AsyncClient, leaving: dict[str, Any]) -> None:
    """A purge gives it back: a removed instance keeps its place, so that it can be restored."""
    gone = await http.delete(leaving["links"]["self"])
    assert gone.status_code == 200, gone.text
    await until(http, leaving["id"], "removed")
    purging = await http.post(f"/v1/containers/{leaving['id']}?action=purge")
    assert purging.status_code == 202, purging.text
    await until(http, leaving["id"], "purged")
    made = (await http.post("/v1/containers", json={"imageUuid": "sim:many"})).json()
    await until(http, made["id"], "running")


async def until(http: httpx.AsyncClient, number: str, state: str) -> None:
    async with asyncio.timeout(20):
        while (instance := (await http.get(f"/v1/instances/{number}")).json())["state"] != state:
            assert instance["transitioning"] != "error", instance["transitioningMessage"]
            await asyncio.sleep(0.02)

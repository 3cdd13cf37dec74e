"""Real Docker hosts: a container moves from one to the other; an agent dies, its host is declared dead, and what runs there is replaced.

When the agent comes back, what it still had of the old place is stopped and removed, and log, views and hosts agree.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agents.docker.container import UUID_LABEL
from tests.support.cluster import Cluster, a_cluster
from tests.support.lab import IMAGE, LabHost
from tests.support.waiting import comes, happens

SLEEPS = {"imageUuid": f"docker:{IMAGE}", "command": "sh", "commandArgs": ["-c", "trap exit TERM; sleep 1000 & wait"]}


@pytest.fixture
async def cluster(tmp_path: Path, docker_hosts: dict[str, LabHost]) -> AsyncIterator[Cluster]:
    """A server, and one for the agent of each of two hosts."""
    async with a_cluster(tmp_path) as cluster:
        settings = "agent.ping.reconnect.after.failed.count=2,agent.disconnected.after.seconds=2"
        await cluster.start(gateway={"roles": "gateway,engine,projector", "set": settings})
        for name, host in two(docker_hosts).items():
            await cluster.start(**{name: {"roles": "agents", "hosts": "docker", "docker": host.base_url}})
        yield cluster


def two(hosts: dict[str, LabHost]) -> dict[str, LabHost]:
    return dict(zip(("one", "other"), hosts.values(), strict=False))


def containers(host: LabHost, uuid: str) -> list[str]:
    """The states of what the engine has for an instance."""
    client = host.client()
    try:
        found = client.containers.list(all=True, filters={"label": f"{UUID_LABEL}={uuid}"}, ignore_removed=True)
        return [each.status for each in found]
    finally:
        client.close()


async def document(http: httpx.AsyncClient, path: str) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(path)).json()
    return found


async def running_on(http: httpx.AsyncClient, number: str) -> list[str]:
    """The ids of the hosts that a running instance is on; none while it does not run."""
    if (await document(http, f"/v1/containers/{number}"))["state"] != "running":
        return []
    return [each["id"] for each in (await document(http, f"/v1/containers/{number}/hosts"))["data"]]


async def until_on(http: httpx.AsyncClient, number: str, host: str) -> None:
    await comes(lambda: running_on(http, number), lambda hosts: hosts == [host], 120)


async def active_hosts(http: httpx.AsyncClient) -> list[str]:
    """In the order in which they came: that of the fixture."""
    found = await comes(lambda: document(http, "/v1/hosts?state=active&sort=id"), lambda seen: len(seen["data"]) == 2)
    return [each["id"] for each in found["data"]]


@pytest.mark.timeout(300)
async def test_a_container_moves_and_one_on_a_dead_host_runs_elsewhere(cluster: Cluster, docker_hosts: dict[str, LabHost]) -> None:
    one, other = two(docker_hosts).values()
    async with cluster.http() as http:
        here, there = await active_hosts(http)
        body = {**SLEEPS, "name": "moves", "instanceTriggeredStop": "restart", "requestedHostId": here}
        made = (await http.post("/v1/containers", json=body)).json()
        number, uuid = made["id"], made["uuid"]
        await until_on(http, number, here)

        moving = await http.post(f"/v1/containers/{number}/?action=migrate", json={"hostId": there})
        assert (moving.status_code, moving.json().get("state")) == (202, "migrating"), moving.text
        await until_on(http, number, there)
        assert (containers(one, uuid), containers(other, uuid)) == ([], ["running"])
        await http.put(f"/v1/containers/{number}", json={"requestedHostId": None})

        cluster["other"].kill()
        agent = (await document(http, f"/v1/hosts/{there}"))["agentId"]
        shown = await comes(lambda: document(http, f"/v1/agents/{agent}"), lambda seen: bool(seen["data"].get("disconnected")))
        assert shown["state"] == "reconnecting"
        assert await running_on(http, number) == [there], "silence ends nothing"
        assert containers(other, uuid) == ["running"]

        dead = await http.post(f"/v1/hosts/{there}/dead", json={"reason": "its rack burnt down"})
        assert dead.status_code == 202
        await until_on(http, number, here)
        assert (containers(one, uuid), containers(other, uuid)) == (["running"], ["running"]), "nobody could ask the other one yet"

        await cluster.again("other")
        await happens(lambda: containers(other, uuid) == [], 120)
        assert containers(one, uuid) == ["running"]
        assert await running_on(http, number) == [here]
        maps = f"/v1/containers/{number}/instancehostmaps"  # those there are purged: log and views agree that it has one place
        left = await comes(lambda: document(http, maps), lambda seen: len(seen["data"]) == 1)
        assert left["data"][0]["hostId"] == here
        history = (await http.get(f"/v1/hosts/{there}/history")).json()
        assert "its rack burnt down" in [each["data"].get("reason") for each in history]

        back = await http.post(f"/v1/hosts/{there}/?action=activate")
        assert back.status_code == 202
        assert await active_hosts(http) == [here, there]
        await http.post(f"/v1/containers/{number}/?action=migrate", json={"requestedHostId": there})
        await until_on(http, number, there)
        assert (containers(one, uuid), containers(other, uuid)) == ([], ["running"])

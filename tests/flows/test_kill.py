"""kill -9 of the server before and after every append, publish and reply of a start: the next one goes on, and there is one container.

The moments are enumerated from the catalogue. Each starts the server with the failpoint armed, asks for a container, sees the server die
there with all that belonged to it, and starts it again.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest

from agents.docker.container import UUID_LABEL
from commands.catalogue.builtin import CATALOGUE
from commands.failpoints import of_process
from tests.support.lab import IMAGE
from tests.support.server import Server

MOMENTS = of_process(CATALOGUE, "instance.create")
BEFORE_ALL = MOMENTS[0]
"""The only one at which nothing of the request may be left: it was neither acknowledged nor appended."""


@dataclass
class Cloud:
    """A server whose home was set up before, and what was asked of it."""

    server: Server
    image: Callable[[str], dict[str, Any]]
    """moment -> the fields of a container from an image that no pool has yet"""
    running: list[str] = field(default_factory=list)
    """The uuids of those that run."""


@pytest.fixture(scope="module")
def simulated(shared_home: Path) -> Iterator[Cloud]:
    with Server(shared_home, hosts="sim") as server:
        yield Cloud(server, lambda moment: {"imageUuid": f"sim:{moment}"})
        server.restart() if server.alive else server.start()  # it ends well after all of that


@pytest.fixture(scope="module")
def engine(docker_host: str) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=docker_host, timeout=30)
    yield client
    client.close()


@pytest.fixture(scope="module")
def dockered(shared_home: Path, docker_host: str, engine: docker.DockerClient) -> Iterator[Cloud]:
    """On a real engine; every moment has a tag of its own of the image that is there, so that no registry is asked."""
    repository, tags = "corral/kill", []

    def image(moment: str) -> dict[str, Any]:
        engine.images.get(IMAGE).tag(repository, moment)
        tags.append(f"{repository}:{moment}")
        return {"imageUuid": f"docker:{tags[-1]}", "command": "sh", "commandArgs": ["-c", "trap exit TERM; sleep 1000 & wait"]}

    with Server(shared_home.with_name("docker"), hosts="docker", docker=docker_host) as server:
        cloud = Cloud(server, image)
        yield cloud
        server.kill()
    for uuid in cloud.running:
        for container in containers(engine, uuid):
            container.remove(force=True, v=True)
    for tag in tags:
        engine.images.remove(tag)


def containers(engine: docker.DockerClient, uuid: str) -> list[Any]:
    """All that the engine has for an instance, running or not."""
    return list(engine.containers.list(all=True, filters={"label": f"{UUID_LABEL}={uuid}"}))


def dies_at(cloud: Cloud, moment: str) -> dict[str, Any]:
    """Asks for a container, sees the server die at the moment and starts it again. -> the instance, once it runs"""
    server, fields, key = cloud.server, {**cloud.image(moment), "name": moment}, {"Idempotency-Key": moment}
    server.kill()
    server.start(failpoint=moment)
    acknowledged = None
    try:
        with server.http() as http:
            acknowledged = http.post("/v1/containers", json=fields, headers=key)
            assert acknowledged.status_code == 201, acknowledged.text
    except httpx.TransportError:
        pass  # it died before it could answer
    assert server.dead() == -signal.SIGKILL, f"{moment} was never reached:\n{server.said()}"

    server.start()
    with server.http() as http:
        found = http.get("/v1/containers", params={"name": moment}).raise_for_status().json()["data"]
        assert len(found) == (0 if moment == BEFORE_ALL else 1), "appended or not, nothing in between"
        if acknowledged is not None:
            assert [each["id"] for each in found] == [acknowledged.json()["id"]], "what was acknowledged is there"
        # A client that got no answer asks again, with the same key: whatever had happened, it gets its one container.
        again = http.post("/v1/containers", json=fields, headers=key)
        assert again.status_code == 201, again.text
        assert not found or again.json()["id"] == found[0]["id"]
        instance = until_running(http, again.json()["id"])
        assert len(http.get("/v1/containers", params={"name": moment}).json()["data"]) == 1
    cloud.running.append(instance["uuid"])
    return instance


def until_running(http: httpx.Client, number: str, seconds: float = 30) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        instance: dict[str, Any] = http.get(f"/v1/containers/{number}").raise_for_status().json()
        if instance["state"] == "running":
            return instance
        if instance["state"] == "removed" or time.monotonic() > deadline:
            story = [f"{each['type']} {each['data']}" for each in http.get(f"/v1/containers/{number}/history?root=true").json()]
            pytest.fail(f"{number} is {instance['state']}, not running:\n" + "\n".join(story))
        time.sleep(0.02)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_start_survives_the_servers_death_on_the_simulated_host(simulated: Cloud, moment: str) -> None:
    instance = dies_at(simulated, moment)

    boxes = await simulated.server.boxes(1)
    assert (boxes[instance["uuid"]].state, boxes[instance["uuid"]].created) == ("running", 1)
    assert len(boxes) == len(simulated.running) + 1, "one for each, and the first instance of all"
    with simulated.server.http() as http:
        (host,) = http.get("/v1/hosts").json()["data"]
        assert host["computeFree"] == 1_000_000 - len(boxes), "each has its place once"


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_start_survives_the_servers_death_on_docker(dockered: Cloud, engine: docker.DockerClient, moment: str) -> None:
    instance = dies_at(dockered, moment)

    (container,) = containers(engine, instance["uuid"])
    assert container.status == "running"
    assert container.attrs["RestartCount"] == 0

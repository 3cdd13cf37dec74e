"""A virtual machine on a Docker host, from the HTTP API to the guest's first word, and to its end by a hand from outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import httpx
import pytest

from agents.docker import machine_image
from tests.support.guests import guest
from tests.support.server import Server
from tests.support.waiting import until

IMAGE = "corral/test-guest:latest"


@pytest.fixture
def engine(docker_host: str, tmp_path: Path) -> Iterator[docker.APIClient]:
    """With the image of a guest, which goes again."""
    client = docker.APIClient(docker_host, version="auto", timeout=60)
    disk = tmp_path / "disk.img"
    disk.write_bytes(guest("here is the guest"))
    machine_image(client, disk, IMAGE)
    yield client
    client.remove_image(IMAGE, force=True)
    client.close()


def document(http: httpx.Client, path: str) -> dict[str, object]:
    return dict(http.get(f"/v1/{path}").raise_for_status().json())


@pytest.mark.timeout(240)
def test_killing_the_container_stops_the_machine_and_the_log_says_so(tmp_path: Path, docker_host: str, engine: docker.APIClient) -> None:
    with Server(tmp_path / "home", hosts="docker", docker=docker_host) as server, server.http() as http:
        row = {"uuid": f"docker:{IMAGE}", "kind": "docker", "instanceKind": "virtualMachine", "isPublic": True}
        http.post("/v1/images", json=row).raise_for_status()
        made = http.post("/v1/virtualmachines", json={"imageUuid": row["uuid"], "memoryMb": 64, "name": "guest"}).raise_for_status().json()
        path = f"virtualmachines/{made['id']}"
        until(lambda: document(http, path)["state"], lambda state: state == "running")
        label = f"corral.instance.uuid={made['uuid']}"
        (container,) = engine.containers(filters={"label": [label]})
        try:
            until(lambda: engine.logs(container["Id"]), lambda said: b"here is the guest" in said)
            engine.kill(container["Id"])
            until(lambda: document(http, path)["state"], lambda state: state == "stopped")
            why = http.get(f"/v1/{path}/why").text
            assert "it ended by itself" in why
            http.post(f"/v1/{path}/?action=start", json={}).raise_for_status()
            until(lambda: document(http, path)["state"], lambda state: state == "running")
            until(lambda: engine.logs(container["Id"]), lambda said: said.count(b"here is the guest") == 2)
            http.delete(f"/v1/{path}").raise_for_status()
            until(lambda: document(http, path)["state"], lambda state: state == "removed")
            http.post(f"/v1/{path}/?action=purge", json={}).raise_for_status()
            until(lambda: engine.containers(all=True, filters={"label": [label]}), lambda left: left == [])
        finally:
            for each in engine.containers(all=True, filters={"label": [label]}):
                engine.remove_container(each["Id"], force=True)

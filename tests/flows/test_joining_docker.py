"""A machine with Docker and without Python joins: the agent runs in a container there, on a real engine of the lab."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import NotFound

from tests.flows.test_joining import shell
from tests.support.lab import LabHost
from tests.support.python_image import python_image
from tests.support.server import Server
from tests.support.waiting import until


@pytest.fixture
def lab_host(docker_hosts: dict[str, LabHost]) -> LabHost:
    return next(iter(docker_hosts.values()))


@pytest.fixture
def engine(lab_host: LabHost) -> Iterator[docker.DockerClient]:
    client = lab_host.client()
    try:
        yield client
    finally:
        try:
            client.containers.get("corral-agent").remove(force=True)
            client.volumes.get("corral-agent").remove()
        except NotFound:
            pass
        client.close()


@pytest.mark.timeout(240)
def test_the_agent_runs_in_a_container_where_docker_alone_is(
    lab_host: LabHost, engine: docker.DockerClient, home: Path, tmp_path: Path
) -> None:
    image = python_image(engine)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards:
        towards.connect((lab_host.address, 9))  # nothing is sent: it only chooses the address under which the host sees us
        here = towards.getsockname()[0]
    tcp = f"tcp://{lab_host.address}:2375"
    settings = f"api.security.enabled=false,agent.image={image}"
    with Server(home, hosts="none", listen=here, set=settings) as server:
        server.url = server.url.replace("127.0.0.1", here)
        with server.http() as http:
            tokens = until(lambda: http.get("/v1/registrationtokens").json()["data"], lambda seen: bool(seen) and "token" in seen[0])
            command = f"curl -sS '{tokens[0]['registrationUrl']}' | sh -s -- --container --docker {tcp} --name boxed"
            mine = {"DOCKER_HOST": tcp}
            assert "Its agent is the container corral-agent" in shell(command, tmp_path, variables=mine)
            [host] = until(lambda: http.get("/v1/hosts", params={"state": "active"}).json()["data"], lambda seen: len(seen) == 1)
            assert host["kind"] == "docker"
            assert "at work already: the container" in shell(command, tmp_path, variables=mine)
            agents = http.get("/v1/agents").json()["data"]

            # Made anew, it is the same agent.
            engine.containers.get("corral-agent").remove(force=True)
            assert "Its agent is the container corral-agent" in shell(command, tmp_path, variables=mine)
            assert [each["id"] for each in http.get("/v1/agents").json()["data"]] == [each["id"] for each in agents]

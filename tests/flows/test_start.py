"""corral up as its user sees it: the first start, a later one, what it refuses, and that nothing is left behind."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest

from agents.docker.container import UUID_LABEL
from deploy.embedded import noted
from tests.support.server import DidNotServe, Server


def everything(server: Server) -> dict[str, dict[str, str]]:
    """type -> id -> state, of all that a user sees, what was removed too."""
    with server.http() as http:
        types = ("instances", "volumes", "images", "hosts", "agents", "storagepools", "accounts", "instancehostmaps")
        found = {each: http.get(f"/v1/{each}", params={"limit": 1000}).raise_for_status().json()["data"] for each in types}
    return {name: {each["id"]: each["state"] for each in rows} for name, rows in found.items()}


def position(server: Server) -> int:
    return int(httpx.get(f"{server.url}/corral/info").raise_for_status().json()["position"])


def only_instance(server: Server) -> dict[str, Any]:
    (instance,) = httpx.get(f"{server.url}/v1/instances").raise_for_status().json()["data"]
    assert isinstance(instance, dict)
    return instance


async def test_a_first_start_brings_one_running_instance_and_says_what_to_try_next(home: Path) -> None:
    with Server(home) as server:
        lines = server.said().splitlines()
        instance = only_instance(server)
        boxes = await server.boxes(1)

    assert instance["state"] == "running"
    assert instance["imageUuid"].startswith("sim:")
    assert {box.uuid: (box.state, box.created) for box in boxes.values()} == {instance["uuid"]: ("running", 1)}
    assert lines[-1] == f"Startup Succeeded, Listening on port {server.url.rpartition(':')[2]}", "it is the last line"
    timeline = [line for line in lines if re.search(r"^ +[\d.]+ ms +\S+-\d+ ", line)]
    assert "instance.create" in timeline[1]
    assert re.search(r"instance\.start\b.*\brunning$", timeline[-1]), timeline[-1]
    nats = noted(server.home)["nats"]
    assert any(f"nats -s {nats} sub 'corral.>'" in line for line in lines), "the exact line that shows the traffic"
    assert any("corral agent --url" in line for line in lines), "how a host joins from elsewhere"
    assert any("--listen 0.0.0.0" in line and "CORRAL_LISTEN=0.0.0.0" in line for line in lines), "what opens the address"


def test_a_later_start_creates_nothing_and_finds_all_as_it_was(home: Path) -> None:
    with Server(home) as server:
        before, log, pid, node = everything(server), position(server), server.pid, noted(server.home)["node"]
        server.restart()

        assert everything(server) == before
        assert position(server) == log, "not an event more"
        assert "first instance" not in server.said()
        assert server.pid != pid
        assert noted(server.home)["node"] == node


def test_without_hosts_it_is_a_bare_control_plane_without_instance(home: Path) -> None:
    with Server(home, hosts="none") as server:
        found = everything(server)
        assert found["hosts"] == found["instances"] == found["agents"] == {}
        assert found["accounts"], "its accounts are there: it can be used"


def test_where_no_docker_engine_answers_the_simulated_host_serves_alone(home: Path) -> None:
    with Server(home, hosts="docker,sim", docker=f"unix://{home.parent}/nobody.sock") as server:
        assert only_instance(server)["imageUuid"].startswith("sim:")
        (host,) = httpx.get(f"{server.url}/v1/hosts").json()["data"]
        assert (host["kind"], host["state"]) == ("sim", "active")


def test_a_taken_port_is_named_with_the_variable_that_moves_it(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = Server(home, port=port).launch()
        assert server.status(20) == 1
    assert re.search(rf"port {port}.*in use.*CORRAL_PORT", server.said())
    assert server.processes() == {}


def test_a_home_in_use_is_refused_naming_who_uses_it(home: Path) -> None:
    with Server(home, hosts="none") as server:
        second = Server(home, hosts="none")
        with pytest.raises(DidNotServe, match=rf"in use by a Corral that runs as process {server.pid}.*CORRAL_HOME"):
            second.start()
        assert server.alive
        assert httpx.get(f"{server.url}/ping").text == "pong"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly_and_leaves_no_process(home: Path, number: signal.Signals) -> None:
    with Server(home) as server:
        assert len(server.processes()) >= 3, "itself, Postgres and NATS"
        server.stop(number)
        assert "Stopped" in server.said().splitlines()[-1]
        assert "Traceback" not in server.said()


def test_stopped_in_the_moment_it_serves_it_stops_as_well(home: Path) -> None:
    with Server(home) as server:
        for _ in range(5):  # its parts are still busy with each other then
            server.restart()


def test_a_signal_while_it_starts_stops_it_too(home: Path) -> None:
    for _ in range(3):  # on an empty home, then on whatever the one before left
        server = Server(home).launch()
        try:
            server.until_it_says("Postgres|database")
            server.send(signal.SIGINT)
            assert server.status(15) in (0, 130)
            assert server.processes() == {}
            assert "Traceback" not in server.said()
        finally:
            server.kill()
    with Server(home) as server:
        assert httpx.get(f"{server.url}/ping").text == "pong"


def test_killed_it_leaves_no_process_and_starts_again_as_it_was(home: Path) -> None:
    with Server(home) as server:
        before = everything(server)
        server.kill()
        assert server.processes() == {}
        server.start()
        assert everything(server) == before


def test_with_a_docker_engine_the_first_instance_is_a_container_on_it(home: Path, docker_host: str) -> None:
    client = docker.DockerClient(base_url=docker_host, timeout=30)
    try:
        with Server(home, hosts="docker,sim", docker=docker_host) as server:
            instance = only_instance(server)
            label: Any = {"label": f"{UUID_LABEL}={instance['uuid']}"}
            (container,) = client.containers.list(filters=label)
            assert instance["state"] == "running"
            assert instance["imageUuid"].startswith("docker:")
            assert container.status == "running"

            server.restart()

            assert [each.id for each in client.containers.list(filters=label)] == [container.id], "the very same, still running"
            assert only_instance(server)["state"] == "running"
            assert len(httpx.get(f"{server.url}/v1/hosts").json()["data"]) == 2, "the engine's and the simulated one"
    finally:
        client.close()

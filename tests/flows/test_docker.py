"""Docker over HTTP: a private registry's image with its credential, how far a pull is, and all that a container may be asked to be."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import docker
import httpx
import pytest

from agents.docker.container import UUID_LABEL
from tests.support.documents import made
from tests.support.lab import LabHost, names
from tests.support.registry import PASSWORD, USER, a_registry
from tests.support.server import CHECKOUT, Server

SECONDS = 60

Json = dict[str, Any]


@pytest.fixture(scope="module")
def host(docker_hosts: dict[str, LabHost]) -> LabHost:
    return docker_hosts[names()[0]]


@pytest.fixture(scope="module")
def engine(host: LabHost) -> Iterator[docker.DockerClient]:
    client = host.client()
    yield client
    client.close()


@pytest.fixture(scope="module")
def server(host: LabHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("docker") / "home", hosts="docker", docker=host.base_url) as server:
        yield server


@pytest.fixture
def http(server: Server, engine: docker.DockerClient) -> Iterator[httpx.Client]:
    with server.http() as http:
        yield http
        for each in http.get("/v1/containers", params={"removed_null": ""}).json()["data"]:
            for container in engine.containers.list(all=True, filters={"label": f"{UUID_LABEL}={each['uuid']}"}):
                container.remove(force=True, v=True)


def seen(http: httpx.Client, path: str, *ends: str) -> list[Json]:
    """The documents, each as it differs from the one before, until the state is one of these."""
    found: list[Json] = []
    deadline = time.monotonic() + SECONDS
    while not found or found[-1]["state"] not in ends:
        assert time.monotonic() < deadline, found[-1:]
        document: Json = http.get(path).raise_for_status().json()
        if not found or document != found[-1]:
            found.append(document)
        time.sleep(0.1)
    return found


@pytest.mark.timeout(240)
def test_a_private_image_is_pulled_with_the_registrys_credential_and_tells_how_far_it_is(
    http: httpx.Client, server: Server, host: LabHost, engine: docker.DockerClient
) -> None:
    with a_registry(host, "--auth", "token", "--padding", "4000000", "--rate", "800000") as registry:
        image = f"{registry.address}/team/app-{secrets.token_hex(4)}:1"
        wanted = {"imageUuid": f"docker:{image}", "command": "sleep", "commandArgs": ["600"]}
        denied = seen(http, f"/v1/containers/{made(http, 'v1/containers', **wanted)['id']}", "removed")[-1]
        assert "credential of kind registryCredential" in denied["transitioningMessage"]

        key = {"kind": "registryCredential", "publicValue": USER, "secretValue": PASSWORD, "data": {"registry": registry.address}}
        seen(http, f"/v1/credentials/{made(http, 'v1/credentials', **key)['id']}", "active")
        told = seen(http, f"/v1/containers/{made(http, 'v1/containers', **wanted)['id']}", "running", "removed")

    assert told[-1]["state"] == "running", told[-1]["transitioningMessage"]
    pulling = [each for each in told if str(each["transitioningMessage"]).startswith(f"Pulling {image}: ")]
    percent = [each["transitioningProgress"] for each in pulling if each["transitioningProgress"] is not None]
    assert len(percent) > 1, [each["transitioningMessage"] for each in told]
    assert percent == sorted(percent)
    assert 0 < percent[-1] <= 100
    assert any(each["transitioningMessage"].endswith(" MB") for each in pulling)
    assert PASSWORD not in http.get("/v1/events", params={"limit": 1000}).text
    assert PASSWORD not in server.said()
    for container in engine.containers.list(all=True, filters={"ancestor": image}):
        container.remove(force=True)
    engine.images.remove(image, force=True)


def test_fields_beside_cattles_and_a_raw_document_are_given_in_data(http: httpx.Client, host: LabHost, engine: docker.DockerClient) -> None:
    fields = {"capAdd": ["NET_ADMIN"], "dns": ["192.0.2.53"], "memory": 64 << 20, "labels": {"tier": "web"}}
    limits = [{"Name": "nofile", "Soft": 512, "Hard": 512}]
    raw = {"Env": ["A=raw", "B=raw"], "HostConfig": {"Ulimits": limits}}
    plain = made(http, "v1/containers", imageUuid=f"docker:{host.image}", startOnCreate=False)
    web = made(
        http, "v1/containers", imageUuid=f"docker:{host.image}", command="sleep", commandArgs=["600"], environment={"B": "mine"},
        data={"fields": fields, "dockerCreate": raw},
    )  # fmt: skip
    last = seen(http, f"/v1/containers/{web['id']}", "running", "removed")[-1]
    assert last["state"] == "running", last["transitioningMessage"]
    assert set(last) == set(plain), "they add no key to Cattle's document"
    assert last["data"]["fields"].items() >= fields.items()
    (container,) = engine.containers.list(filters={"label": f"{UUID_LABEL}={web['uuid']}"})
    config, settings = container.attrs["Config"], container.attrs["HostConfig"]
    assert {"A=raw", "B=mine"} <= set(config["Env"])
    assert config["Labels"]["tier"] == "web"
    assert (settings["CapAdd"], settings["Dns"], settings["Memory"]) in (
        (["NET_ADMIN"], ["192.0.2.53"], 64 << 20), (["CAP_NET_ADMIN"], ["192.0.2.53"], 64 << 20),
    )  # fmt: skip
    assert settings["Ulimits"] == limits


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"fields": {"lxcConf": {"lxc.cpu": "1"}}}, "no LXC driver since version 1.10"),
        ({"fields": {"memory": "64m"}}, "memory must be a number of bytes"),
        ({"dockerCreate": []}, "data.dockerCreate must be a map"),
    ],
)
def test_what_can_not_be_understood_is_told_at_the_container(http: httpx.Client, host: LabHost, wrong: Json, words: str) -> None:
    web = made(http, "v1/containers", imageUuid=f"docker:{host.image}", data=wrong)
    assert words in seen(http, f"/v1/containers/{web['id']}", "removed")[-1]["transitioningMessage"]


@pytest.mark.timeout(240)
def test_what_ends_by_itself_is_stopped_removed_or_started_again_as_was_asked(
    http: httpx.Client, host: LabHost, engine: docker.DockerClient
) -> None:
    """Corral's instanceTriggeredStop decides what the log says; an engine's restartPolicy comes before it, and the log sees it run on."""
    ends = {"imageUuid": f"docker:{host.image}", "command": "sh", "commandArgs": ["-c", "sleep 1; exit 3"]}
    ways = ("stop", "remove", "restart")
    asked = {way: made(http, "v1/containers", **ends, name=way, instanceTriggeredStop=way)["id"] for way in ways}
    kept = made(http, "v1/containers", **ends, name="kept", data={"fields": {"restartPolicy": {"name": "always"}}})["id"]
    for each in (*asked.values(), kept):
        seen(http, f"/v1/containers/{each}", "running")

    assert seen(http, f"/v1/containers/{asked['stop']}", "stopped")[-1]["state"] == "stopped"
    assert seen(http, f"/v1/containers/{asked['remove']}", "removed", "purged")
    seen(http, f"/v1/containers/{asked['restart']}", "restarting", "starting", "stopping")
    assert seen(http, f"/v1/containers/{asked['restart']}", "running")

    (running,) = engine.containers.list(all=True, filters={"label": "corral.instance.name=kept"})
    deadline = time.monotonic() + SECONDS
    while running.attrs["RestartCount"] < 2:
        assert time.monotonic() < deadline
        time.sleep(0.2)
        running.reload()
    assert http.get(f"/v1/containers/{kept}").json()["state"] == "running"
    seen(http, f"/v1/containers/{http.post(f'/v1/containers/{kept}', params={'action': 'stop'}).json()['id']}", "stopped")
    running.reload()
    assert (running.status, running.attrs["HostConfig"]["RestartPolicy"]["Name"]) == ("exited", "unless-stopped")


def test_images_are_told_by_the_engines_that_have_them(
    http: httpx.Client, server: Server, host: LabHost, engine: docker.DockerClient
) -> None:
    name = f"corral/listed-{secrets.token_hex(4)}:1"
    engine.images.get(host.image).tag(name)
    deadline = time.monotonic() + SECONDS
    while not http.get("/v1/hosts", params={"state": "active"}).json()["data"]:  # the server may have started just now
        assert time.monotonic() < deadline
        time.sleep(0.1)
    everywhere = http.get("/v1/hosts/images").raise_for_status().json()
    assert (everywhere["type"], everywhere["unanswered"]) == ("collection", [])
    (image,) = [each for each in everywhere["data"] if name in each["names"]]
    assert host.image in image["names"]
    assert image["id"] == engine.images.get(name).id
    assert http.get(f"/v1/hosts/{image['hostId']}/images").json()["data"] == everywhere["data"]

    ask = [sys.executable, "-m", "deploy.cli", "images", name, "--host", image["hostId"], "--url", server.url, "-o", "json"]
    listed = subprocess.run(ask, capture_output=True, text=True, timeout=SECONDS, check=True, cwd=CHECKOUT).stdout
    assert json.loads(listed)["data"] == [image]
    table = subprocess.run(ask[:-2], capture_output=True, text=True, timeout=SECONDS, check=True, cwd=CHECKOUT).stdout
    assert image["id"].removeprefix("sha256:")[:9] in table
    assert "hostImage" in http.get("/v1/hosts/images", headers={"Accept": "text/html", "User-Agent": "Mozilla"}).text
    assert http.get("/v1/hosts/1h999/images").status_code == 404
    assert http.post("/v1/hosts/images", json={}).status_code in (404, 405)
    assert http.get("/v1/images/images").status_code == 404
    engine.images.remove(name)

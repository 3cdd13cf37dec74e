"""The Docker driver through an agent, against a real engine."""

from __future__ import annotations

import asyncio
import secrets
import socket
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import ImageNotFound

from agents.docker import DockerDriver, NoEngine, default_image, ensure_default_image, reach
from agents.docker.busybox import busybox_tar, image_from_busybox, is_static, static_busybox
from agents.process.agent import Agent
from tests.agents.orders import Ear, Json, activate, command, deactivate, in_pool, instance, on_host, on_pool, purge
from tests.support.lab import LabHost, names


@pytest.fixture
def host(docker_hosts: dict[str, LabHost]) -> LabHost:
    return docker_hosts[names()[0]]


_made: list[Json] = []


@pytest.fixture
def client(host: LabHost) -> Iterator[docker.APIClient]:
    """At the end the containers that the test made are removed; the engine is shared with other tests."""
    client = docker.APIClient(host.base_url, version="auto", timeout=30)
    yield client
    for tree in _made:
        for each in of(client, tree):
            client.remove_container(each["Id"], force=True, v=True)
    _made.clear()
    client.close()


@pytest.fixture
async def agent(client: docker.APIClient, host: LabHost, nats_url: str, number: int, tmp_path: Path) -> AsyncIterator[DockerDriver]:
    """The driver of an agent that hears."""
    driver = DockerDriver(host.base_url, host_ip=host.address)
    async with Agent(number, "agent1", driver, tmp_path / "agent", nats_url) as agent:
        await agent.ready.wait()
        yield driver


def container(host: LabHost, name: str = "", **fields: Any) -> Json:
    name = name or f"web-{secrets.token_hex(4)}"
    tree = instance(name, **{"imageUuid": f"docker:{host.image}", "command": "sleep 600", "stopTimeout": 0, **fields})
    _made.append(tree)
    return tree


def of(client: docker.APIClient, tree: Json) -> list[Json]:
    found: list[Json] = client.containers(all=True, filters={"label": [f"corral.instance.uuid={tree['uuid']}"]})
    return found


async def test_a_container_lives_its_life(agent: DockerDriver, ear: Ear, host: LabHost, client: docker.APIClient) -> None:
    web = container(host)
    started = await ear.ask(activate(web, 10, agent=ear.agent))
    assert started.transitioning is None, started.transitioningMessage
    data = started.data["instance"]["+data"]
    first = client.inspect_container(of(client, web)[0]["Id"])
    assert data["dockerInspect"]["Id"] == data["dockerContainer"]["Id"] == first["Id"]
    assert data["+fields"] == {"dockerHostIp": host.address, "dockerIp": first["NetworkSettings"]["IPAddress"], "dockerPorts": {}}
    assert first["Name"] == f"/{web['name']}"
    assert (await agent.instances())[web["uuid"]] == "running"

    stopped = await ear.ask(deactivate(web, 20, agent=ear.agent))
    assert stopped.data["instance"]["+data"]["dockerInspect"]["State"]["Running"] is False
    assert (await agent.instances())[web["uuid"]] == "stopped"

    await ear.ask(activate(web, 30, agent=ear.agent))
    assert [each["Id"] for each in of(client, web)] == [first["Id"]]
    assert (await agent.instances())[web["uuid"]] == "running"

    await ear.ask(deactivate(web, 40, agent=ear.agent))
    assert (await ear.ask(purge(web, 50, agent=ear.agent))).transitioning is None
    assert of(client, web) == []


async def test_what_is_asked_for_is_what_runs(agent: DockerDriver, ear: Ear, host: LabHost, client: docker.APIClient) -> None:
    script = "echo $GREETING from $(hostname) as $(id -u) in $(pwd); exec sleep 600"
    web = container(
        host, command="sh", commandArgs=["-c", script], environment={"GREETING": "it's \"me\""}, user="65534", directory="/tmp",
        memory=64 << 20, dockerVolumes=["/etc:/host-etc:ro"],
    )  # fmt: skip
    web["hostname"] = "inside"
    answer = await ear.ask(activate(web, 12, agent=ear.agent))
    assert answer.transitioning is None, answer.transitioningMessage
    inspected = client.inspect_container(of(client, web)[0]["Id"])
    for _ in range(50):
        if client.logs(inspected["Id"]):
            break
        await asyncio.sleep(0.1)
    assert client.logs(inspected["Id"]) == b"it's \"me\" from inside as 65534 in /tmp\n"
    assert inspected["Config"]["Labels"] == {
        "corral.instance.uuid": web["uuid"],
        "corral.instance.epoch": "12",
        "corral.instance.name": web["name"],
    }
    assert inspected["HostConfig"]["Memory"] == 64 << 20
    assert inspected["Mounts"][0]["Destination"] == "/host-etc"


async def test_published_ports_are_reached_and_reported(agent: DockerDriver, ear: Ear, host: LabHost) -> None:
    web = container(host, command="sh", commandArgs=["-c", "mkdir -p /srv; echo hello > /srv/index.html; exec httpd -f -p 80 -h /srv"])
    web["ports"] = [{"publicPort": None, "privatePort": 80, "protocol": "tcp"}]
    fields = (await ear.ask(activate(web, agent=ear.agent))).data["instance"]["+data"]["+fields"]
    assert await _get(fields["dockerHostIp"], int(fields["dockerPorts"]["80/tcp"])) == b"hello\n"
    stopped = await ear.ask(deactivate(web, agent=ear.agent))
    assert stopped.data["instance"]["+data"]["+fields"] == {"dockerPorts": {}}


async def test_a_port_that_is_taken_is_an_error_that_leaves_nothing_behind(
    agent: DockerDriver, ear: Ear, host: LabHost, client: docker.APIClient
) -> None:
    port = 20_000 + secrets.randbelow(10_000)
    one, two = container(host, ports=[f"{port}:80"]), container(host, ports=[f"{port}:80"])
    assert (await ear.ask(activate(one, agent=ear.agent))).data["instance"]["+data"]["+fields"]["dockerPorts"] == {"80/tcp": str(port)}
    refused = await ear.ask(activate(two, agent=ear.agent))
    assert refused.transitioning == "error"
    assert "port is already allocated" in str(refused.transitioningMessage)
    assert of(client, two) == []
    await ear.ask(purge(one, agent=ear.agent))
    assert (await ear.ask(activate(two, 11, agent=ear.agent))).transitioning is None


async def test_duplicates_and_retries_make_one_container(agent: DockerDriver, ear: Ear, host: LabHost, client: docker.APIClient) -> None:
    web = container(host)
    sent = [activate(web, 10, agent=ear.agent), activate(web, 11, agent=ear.agent), activate(web, 12, agent=ear.agent)]
    await ear.send(*sent, *sent)
    assert (await ear.wait_for(sent[-1].id, seconds=20))[0].transitioning is None
    assert (await ear.ask(activate(web, 13, agent=ear.agent))).transitioning is None
    assert len(of(client, web)) == 1


async def test_absent_things_stop_and_go_without_complaint(agent: DockerDriver, ear: Ear, host: LabHost) -> None:
    web = container(host)
    for sent in (
        deactivate(web, 1, agent=ear.agent),
        command("storage.volume.deactivate", on_pool(web), 2, agent=ear.agent),
        purge(web, 3, agent=ear.agent),
        command("compute.instance.remove", on_host(web), 4, agent=ear.agent),
        command("storage.image.remove", in_pool("docker:corral/never-was:1"), agent=ear.agent),
    ):
        assert (await ear.ask(sent)).transitioning is None


async def test_a_data_volumes_removal_spares_the_container(agent: DockerDriver, ear: Ear, host: LabHost, client: docker.APIClient) -> None:
    web = container(host)
    await ear.ask(activate(web, 10, agent=ear.agent))
    await ear.ask(command("storage.volume.remove", on_pool(web, device=1, volume="data"), 20, agent=ear.agent))
    assert len(of(client, web)) == 1


async def test_two_instances_of_one_name_get_containers_of_different_names(
    agent: DockerDriver, ear: Ear, host: LabHost, client: docker.APIClient
) -> None:
    one = container(host)
    two = container(host, one["name"])
    for each in (one, two):
        assert (await ear.ask(activate(each, agent=ear.agent))).transitioning is None
    assert of(client, one)[0]["Names"] == [f"/{one['name']}"]
    assert of(client, two)[0]["Names"] == [f"/{one['name']}-{two['uuid'][:8]}"]


async def test_a_program_that_ends_at_once_was_started(agent: DockerDriver, ear: Ear, host: LabHost) -> None:
    web = container(host, command="false")
    answer = await ear.ask(activate(web, agent=ear.agent))
    assert answer.transitioning is None
    for _ in range(50):
        if (await agent.instances())[web["uuid"]] == "stopped":
            break
        await asyncio.sleep(0.1)
    assert (await agent.instances())[web["uuid"]] == "stopped"


async def test_a_program_that_is_not_there_is_an_error_and_leaves_nothing(
    agent: DockerDriver, ear: Ear, host: LabHost, client: docker.APIClient
) -> None:
    web = container(host, command="/no/such/program")
    answer = await ear.ask(activate(web, agent=ear.agent))
    assert "/no/such/program" in str(answer.transitioningMessage)
    assert of(client, web) == []


async def test_images_are_found_pulled_in_vain_or_imported_from_the_agents_folder(
    agent: DockerDriver, ear: Ear, host: LabHost, client: docker.APIClient, tmp_path: Path
) -> None:
    there = await ear.ask(command("storage.image.activate", in_pool(f"docker:{host.image}"), agent=ear.agent))
    told = there.data["+data"]["dockerImage"]
    assert (told["fullName"], told["namespace"], told["tag"]) == (host.image, "corral", "latest")
    assert told["id"] == client.inspect_image(host.image)["Id"]

    sent = command("storage.image.activate", in_pool("docker:127.0.0.1:1/none:1"), agent=ear.agent)
    missing = await ear.ask(sent)
    assert missing.transitioning == "error"
    assert "127.0.0.1:1" in str(missing.transitioningMessage)
    assert "Pulling" in str(ear.progress(sent.id)[0].transitioningMessage)

    name = f"corral/imported-{secrets.token_hex(4)}:1"
    program = static_busybox()
    assert program is not None
    (tmp_path / "agent" / "images" / "box.tar").write_bytes(busybox_tar(program))
    (tmp_path / "outside.tar").write_bytes(b"")
    outside = in_pool(f"docker:{name}", url=f"file://{tmp_path}/agent/images/../../outside.tar")
    assert "only files in" in str((await ear.ask(command("storage.image.activate", outside, agent=ear.agent))).transitioningMessage)
    inside = in_pool(f"docker:{name}", url=f"file://{tmp_path}/agent/images/box.tar")
    assert (await ear.ask(command("storage.image.activate", inside, agent=ear.agent))).transitioning is None
    removed = await ear.ask(command("storage.image.remove", inside, agent=ear.agent))
    assert removed.transitioning is None
    with pytest.raises(ImageNotFound):
        client.inspect_image(name)


async def test_a_link_to_what_is_not_there_tells_on_which_host_and_what_to_do(agent: DockerDriver, ear: Ear, host: LabHost) -> None:
    (described, *_), owner = await agent.resources({}), str(uuid.uuid4())
    links = [{"id": 1, "linkName": "db", "targetInstance": {"uuid": owner}}]
    answer = await ear.ask(activate({**container(host), "instanceLinks": links}, agent=ear.agent))
    wrong = f"link db leads to instance {owner}, which has no container on host {described['name']}: place both on one host"
    assert wrong in str(answer.transitioningMessage)


async def test_a_container_that_never_ran_is_made_anew_for_a_newer_start(
    agent: DockerDriver, ear: Ear, host: LabHost, client: docker.APIClient
) -> None:
    web = container(host, environment={"A": "new"})
    labels = {"corral.instance.uuid": web["uuid"], "corral.instance.epoch": "5"}
    client.create_container(host.image, ["sleep", "1"], name=web["name"], labels=labels)
    assert (await ear.ask(activate(web, 10, agent=ear.agent))).transitioning is None
    (only,) = of(client, web)
    assert only["Labels"]["corral.instance.epoch"] == "10"
    assert "A=new" in client.inspect_container(only["Id"])["Config"]["Env"]


async def test_a_second_container_that_a_killed_agents_request_left_is_removed(
    agent: DockerDriver, ear: Ear, host: LabHost, client: docker.APIClient
) -> None:
    web = container(host)
    await ear.ask(activate(web, 10, agent=ear.agent))
    first = of(client, web)[0]["Id"]
    client.create_container(host.image, ["sleep", "1"], labels={"corral.instance.uuid": web["uuid"], "corral.instance.epoch": "11"})
    await ear.ask(activate(web, 12, agent=ear.agent))
    assert [each["Id"] for each in of(client, web)] == [first]


async def test_a_users_container_of_a_committed_image_is_none_of_ours(
    agent: DockerDriver, ear: Ear, host: LabHost, client: docker.APIClient
) -> None:
    web = container(host)
    await ear.ask(activate(web, 10, agent=ear.agent))
    repository = f"corral/committed-{secrets.token_hex(4)}"
    client.commit(of(client, web)[0]["Id"], repository)
    theirs = client.create_container(repository, ["sleep", "600"])["Id"]
    try:
        assert (await ear.ask(purge(web, 20, agent=ear.agent))).transitioning is None
        assert [each["Id"] for each in of(client, web)] == [theirs]
        assert web["uuid"] not in await agent.instances()
    finally:
        client.remove_container(theirs, force=True)
        client.remove_image(repository)


async def test_epochs_are_read_back_from_labels_when_the_ledger_is_lost(
    client: docker.APIClient, host: LabHost, ear: Ear, nats_url: str, number: int, tmp_path: Path
) -> None:
    web = container(host)
    async with Agent(number, "agent1", DockerDriver(host.base_url), tmp_path / "first", nats_url) as agent:
        await agent.ready.wait()
        await ear.ask(activate(web, 10, agent=number))
    async with Agent(number, "agent1", DockerDriver(host.base_url), tmp_path / "second", nats_url) as agent:
        await agent.ready.wait()
        assert ((await ear.ask(deactivate(web, 9, agent=number))).context or {}).get("stale") is True


async def test_an_inventory_tells_whose_a_container_is_and_of_which_start(agent: DockerDriver, ear: Ear, host: LabHost) -> None:
    ours, older = container(host), container(host)
    start = activate(ours, 10, agent=ear.agent)
    await ear.ask(replace(start, context={"epoch": 10, "cloud": "this cloud"}))
    await ear.ask(activate(older, 11, agent=ear.agent))
    told = await ear.ask(command("ping", {"options": {"instances": True}}, agent=ear.agent))
    found = {each["uuid"]: each for each in told.data["resources"]}
    known = {"type": "instance", "kind": "docker", "state": "running"}
    assert found[ours["uuid"]] == {**known, "uuid": ours["uuid"], "epoch": 10, "cloud": "this cloud"}
    assert found[older["uuid"]] == {**known, "uuid": older["uuid"], "epoch": 11, "cloud": None}


async def test_a_ping_tells_of_the_engine_as_one_host_with_a_pool(agent: DockerDriver, ear: Ear, host: LabHost) -> None:
    ping = command("ping", {"resources": [], "options": {"resources": True, "instances": True}}, agent=ear.agent)
    one, two = await ear.ask(ping), await ear.ask(replace(ping, id="again"))
    assert one.data["options"] == {"resources": True, "instances": True}
    by_type = {each["type"]: each for each in one.data["resources"]}
    assert by_type["host"]["kind"] == by_type["storagePool"]["kind"] == "docker"
    assert by_type["host"]["name"] == host.name
    assert by_type["storagePool"]["hostUuid"] == by_type["host"]["uuid"]
    assert by_type["host"]["physicalHostUuid"] == by_type["physicalHost"]["uuid"]
    assert [each for each in two.data["resources"] if each["type"] == "host"] == [by_type["host"]]


async def test_an_engine_that_is_away_is_named_with_what_to_do(number: int, ear: Ear, nats_url: str, tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/no.sock"
    with pytest.raises(NoEngine, match="can't be reached"):
        await reach(url)
    async with Agent(number, "agent1", DockerDriver(url, patience=0), tmp_path / "agent", nats_url) as agent:
        await agent.ready.wait()
        answer = await ear.ask(activate(instance(imageUuid="docker:a"), agent=number))
        assert url in str(answer.transitioningMessage)
        assert "start it, or point the agent at another engine" in str(answer.transitioningMessage)
        assert url in str((await ear.wait_for_presence()).trouble)


async def test_a_host_keeps_its_identity_while_its_engine_is_away(host: LabHost, tmp_path: Path) -> None:
    there, away = DockerDriver(host.base_url), DockerDriver(f"unix://{tmp_path}/no.sock")
    try:
        await there.open(tmp_path)
        await away.open(tmp_path)
        known = await there.resources({})
        assert await away.resources({}) == known
    finally:
        await there.close()
        await away.close()


async def test_a_default_image_is_there_or_made_and_runs_until_it_is_stopped(
    agent: DockerDriver, ear: Ear, host: LabHost, client: docker.APIClient
) -> None:
    assert ensure_default_image(client) == host.image
    driver = await reach(host.base_url)
    image = await default_image(driver)
    await driver.close()
    assert image is not None
    program = static_busybox()
    assert program is not None
    assert is_static(program)
    assert not is_static(Path(__file__))
    name = f"corral/made-{secrets.token_hex(4)}:1"
    image_from_busybox(client, program, name)
    web = container(host, imageUuid=f"docker:{name}", command=image.command[0], commandArgs=image.command[1:], stopTimeout=8)
    assert (await ear.ask(activate(web, agent=ear.agent))).transitioning is None
    await asyncio.sleep(0.3)
    async with asyncio.timeout(4):  # its command heeds the signal: it is not killed after 8 seconds
        await ear.ask(deactivate(web, agent=ear.agent))
    await ear.ask(purge(web, agent=ear.agent))
    client.remove_image(name)


async def _get(address: str, port: int) -> bytes:
    def get() -> bytes:
        with urllib.request.urlopen(f"http://{address}:{port}/", timeout=5) as answer:
            said: bytes = answer.read()
            return said

    for _ in range(50):
        try:
            with socket.create_connection((address, port), timeout=1):
                pass
            return await asyncio.to_thread(get)
        except OSError:
            await asyncio.sleep(0.1)
    return get()

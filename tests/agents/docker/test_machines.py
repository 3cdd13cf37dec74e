"""Virtual machines in containers: on a real engine, with a real QEMU in the container."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import tarfile
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import docker
import pytest

from agents.docker import DockerDriver, machine_image
from agents.docker.machines import FOLDER, config_archive, machine_body, qemu
from agents.driver import DriverError
from tests.agents.orders import Json, activate, deactivate, instance, purge
from tests.support.config_drives import read_config_drive
from tests.support.guests import guest
from tests.support.waiting import until

IMAGE = "corral/test-machine:latest"
DISK_SAYS = "here is the guest"


def machine(**more: Any) -> Json:
    return {**instance("machine", imageUuid=f"docker:{IMAGE}", stopTimeout=0), "kind": "virtualMachine", "memoryMb": 64, **more}


def test_the_containers_ports_are_the_guests() -> None:
    command = qemu(machine(), ["80/tcp", "53/udp"])
    assert "user,id=net,hostfwd=tcp::80-:80,hostfwd=udp::53-:53" in command
    assert command[command.index("-m") + 1] == "64"
    assert command[command.index("-machine") + 1] == "pc,accel=tcg"


def test_what_the_machine_has_are_its_fields() -> None:
    tree = machine(memoryMb=512)
    tree["data"]["fields"]["vcpu"] = 4
    command = qemu(tree, ())
    assert command[command.index("-m") + 1 : command.index("-m") + 4] == ["512", "-smp", "4"]


def test_the_containers_own_command_and_user_are_the_machines() -> None:
    body = machine_body(machine(), {"Image": IMAGE, "Cmd": ["x"], "User": "y", "Labels": {"a": "b"}, "HostConfig": {"Binds": []}})
    assert body["Entrypoint"][:2] == ["sh", "-c"]
    assert body["Cmd"][0] == "qemu-system-x86_64"
    assert "User" not in body
    assert (body["Labels"], body["HostConfig"]) == ({"a": "b"}, {"Binds": []})


@pytest.mark.parametrize(("field", "wrong"), [("memoryMb", "much"), ("memoryMb", -1), ("vcpu", 0.5)])
def test_a_number_that_is_none_is_named(field: str, wrong: object) -> None:
    tree = machine()
    (tree if field == "memoryMb" else tree["data"]["fields"])[field] = wrong
    with pytest.raises(DriverError, match=field):
        qemu(tree, ())


def test_a_protocol_that_qemu_does_not_carry_is_named() -> None:
    with pytest.raises(DriverError, match="9/sctp"):
        qemu(machine(), ["9/sctp"])


@pytest.fixture(scope="module")
def engine(docker_host: str) -> Iterator[docker.APIClient]:
    client = docker.APIClient(docker_host, version="auto", timeout=60)
    yield client
    client.close()


@pytest.fixture(scope="module")
def image(engine: docker.APIClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    disk = tmp_path_factory.mktemp("disks") / "disk.img"
    disk.write_bytes(guest(DISK_SAYS))
    machine_image(engine, disk, IMAGE)
    yield IMAGE
    engine.remove_image(IMAGE, force=True)


@pytest.fixture
async def driver(docker_host: str, image: str, tmp_path: Path) -> AsyncIterator[DockerDriver]:
    driver = DockerDriver(docker_host)
    await driver.open(tmp_path)
    yield driver
    await driver.close()


async def done(driver: DockerDriver, message: Any) -> Json:
    return await driver.carry_out(message, lambda text, percent: None)


@pytest.mark.timeout(180)
async def test_a_machine_runs_in_a_container_without_rights_of_its_own(driver: DockerDriver, engine: docker.APIClient) -> None:
    tree = machine()
    try:
        started = await done(driver, activate(tree))
        inspected = started["instance"]["+data"]["dockerInspect"]
        assert inspected["HostConfig"]["Privileged"] is False
        assert not inspected["HostConfig"]["CapAdd"]
        assert not inspected["HostConfig"]["Devices"]
        ident = inspected["Id"]
        await asyncio.to_thread(until, lambda: engine.logs(ident), lambda said: DISK_SAYS.encode() in said)
        assert (await driver.instances())[tree["uuid"]] == "running"
        await done(driver, deactivate(tree))
        assert (await driver.instances())[tree["uuid"]] == "stopped"
        await done(driver, activate(tree, 30))
        await asyncio.to_thread(until, lambda: engine.logs(ident), lambda said: said.count(DISK_SAYS.encode()) == 2)
    finally:
        await done(driver, purge(tree, 40))
    assert tree["uuid"] not in await driver.instances()


@pytest.mark.timeout(180)
async def test_a_machine_has_a_config_drive_which_is_made_anew_with_each_start(
    driver: DockerDriver, engine: docker.APIClient, tmp_path: Path
) -> None:
    def on_drive(ident: str) -> Json:
        stream, _ = engine.get_archive(ident, "/machine/config.iso")
        with tarfile.open(fileobj=BytesIO(b"".join(stream))) as tar:
            tar.extract("config.iso", tmp_path, filter="data")
        return read_config_drive(tmp_path / "config.iso")

    keys = {"0": {"openssh-key": "ssh-ed25519 AAAA one"}}
    nic = {"macAddress": "02:00:00:00:00:01", "ipAddresses": [{"address": "10.42.0.7", "subnet": {"cidrSize": 16}}]}
    tree = machine(userdata="#cloud-config\npackages: [nginx]\n", nics=[nic])
    tree["data"]["metadata"] = {"10.42.0.7": {"meta-data": {"hostname": "web1", "public-keys": keys}}}
    try:
        started = await done(driver, activate(tree))
        ident = started["instance"]["+data"]["dockerInspect"]["Id"]
        found = await asyncio.to_thread(on_drive, ident)
        assert found["user-data"] == tree["userdata"]
        described = json.loads(found["meta-data"])
        assert (described["local-hostname"], described["public-keys"]) == ("web1", ["ssh-ed25519 AAAA one"])
        assert "network-config" not in found, "the guest's network is QEMU's own, with addresses of its own"
        shown = await asyncio.to_thread(_asked_of_qemu, engine, ident, "info block")
        assert "/machine/config.iso" in shown
        await done(driver, deactivate(tree))
        await done(driver, activate({**tree, "userdata": "#!/bin/sh\n"}, 30))
        assert (await asyncio.to_thread(on_drive, ident))["user-data"] == "#!/bin/sh\n"
    finally:
        await done(driver, purge(tree, 40))


def _asked_of_qemu(engine: docker.APIClient, ident: str, command: str) -> str:
    """What its monitor says."""

    def said() -> str:
        made = engine.exec_create(ident, ["sh", "-c", f"echo {command} | nc -w 2 127.0.0.1 4444"])
        return bytes(engine.exec_start(made["Id"])).decode(errors="replace")

    return until(said, lambda text: "config.iso" in text or "virtio0" in text)


@pytest.mark.timeout(120)
def test_a_guest_that_switches_itself_off_ends_its_container(engine: docker.APIClient, tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(guest("bye", power_off=True))
    name = "corral/test-machine-off:latest"
    machine_image(engine, disk, name)
    container = engine.create_container_from_config(machine_body(machine(), {"Image": name, "HostConfig": {}}), None)["Id"]
    try:
        engine.put_archive(container, FOLDER, config_archive(machine()))
        engine.start(container)
        assert engine.wait(container, timeout=60)["StatusCode"] == 0
        assert b"bye" in engine.logs(container)
    finally:
        engine.remove_container(container, force=True)
        engine.remove_image(name, force=True)


def test_a_disk_that_is_none_or_is_not_whole_is_refused(engine: docker.APIClient, tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="is no disk image"):
        machine_image(engine, tmp_path / "missing.qcow2", IMAGE)
    base = tmp_path / "base.img"
    base.write_bytes(guest("base"))
    over = tmp_path / "over.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "raw", str(over)], check=True, timeout=30)
    with pytest.raises(DriverError, match=r"not whole, it lies over .*base\.img"):
        machine_image(engine, over, IMAGE)


def test_an_image_for_which_there_is_no_room_is_told_with_where_it_was_to_be(engine: docker.APIClient, tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(guest("big"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    try:
        with pytest.raises(DriverError, match=r"the image of .*disk\.img can't be written: .*TMPDIR"):
            machine_image(engine, disk, IMAGE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

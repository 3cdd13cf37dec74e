"""A virtual machine over HTTP alone, from an image's URL to a real domain of the lab's libvirt: started, looked at, stopped, removed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from agents.libvirt.xml import parsed
from tests.support.files_server import files_of
from tests.support.guests import boot_image, says
from tests.support.lab import LabHost, names
from tests.support.server import Server
from tests.support.virtual_machines import clear, domains_of
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(240)

Json = dict[str, Any]

SECONDS = 90.0


def comes(http: httpx.Client, path: str, *states: str) -> Json:
    """The document once it is in one of the states."""
    return until(lambda: dict(http.get(path).raise_for_status().json()), lambda seen: seen["state"] in states, SECONDS)


async def greeting(url: str) -> bytes:
    """What a screen says first."""
    async with asyncio.timeout(30), connect(url) as websocket:
        said = await websocket.recv()
        assert isinstance(said, bytes)
        return said


def test_a_virtual_machine_lives_from_its_images_url_to_its_end(docker_hosts: dict[str, LabHost], home: Path, tmp_path: Path) -> None:
    lab, storage = docker_hosts[names()[0]], tmp_path / "machines"
    boot_image(tmp_path / "web" / "counter.img")
    try:
        with (
            files_of(tmp_path / "web") as web,
            Server(home, hosts="libvirt,sim", libvirt=lab.libvirt_url, libvirt_type="qemu", libvirt_storage=str(storage)) as server,
            server.http() as http,
        ):
            counter = {"kind": "libvirt", "name": "counter", "url": f"{web}/counter.img"}
            image = http.post("/v1/images", json=counter).raise_for_status().json()
            given = {"imageId": image["id"], "memoryMb": 32, "vcpu": 1, "name": "box", "data": {"fields": {"stopTimeout": 40}}}
            made = http.post("/v1/virtualmachines", json=given).raise_for_status().json()
            path = f"/v1/virtualmachines/{made['id']}"
            machine = comes(http, path, "running", "removed")
            assert machine["state"] == "running", machine["transitioningMessage"]
            [host] = http.get(f"{path}/hosts").json()["data"]
            assert host["kind"] == "libvirt"
            says(storage, machine["uuid"], "corral boot 1\n.")
            fetched = http.get(f"/v1/images/{image['id']}").json()
            assert (fetched["format"], fetched["virtualSizeMb"]) == ("raw", 1)
            [volume] = http.get(f"{path}/volumes").json()["data"]
            assert (volume["format"], volume["virtualSizeMb"]) == ("qcow2", 1)

            console = http.post(f"{path}/?action=console", json={}).raise_for_status().json()
            assert (console["type"], console["kind"]) == ("instanceConsole", "websocket-vnc")
            assert console["password"] == machine["libvirtVncPassword"]
            assert asyncio.run(greeting(console["url"])).startswith(b"RFB 003.")
            with pytest.raises(InvalidStatus, match="403"):
                asyncio.run(greeting(console["url"]))
            assert "view" not in console["links"]
            http.post("/v1/settings", json={"name": "console.url.format.websocket-vnc", "value": "/see?at=${url}"}).raise_for_status()
            again = http.post(f"{path}/?action=console", json={}).raise_for_status().json()
            assert again["links"]["view"].startswith("/see?at=ws%3A%2F%2F127.0.0.1%3A")

            assert http.post(f"{path}/snapshot", json={"name": "../x"}).status_code == 422
            assert http.post(f"{path}/resize", json={}).status_code == 422
            assert http.post(f"{path}/snapshot", json={"name": "before"}).raise_for_status().json()["state"] == "updating-running"
            assert comes(http, path, "running")["data"]["libvirt"]["snapshots"] == ["before"]
            assert set(machine["actions"]) == set(comes(http, path, "running")["actions"]), "Cattle's documents have no action more"

            http.post(f"{path}/?action=stop", json={}).raise_for_status()
            stopped = comes(http, path, "stopped")
            assert "console" not in stopped["actions"]
            assert http.post(f"{path}/?action=console", json={}).status_code in (404, 409, 422)
            http.post(f"{path}/resize", json={"memoryMb": 48, "vcpu": 2}).raise_for_status()
            resized = comes(http, path, "stopped")
            assert (resized["memoryMb"], resized["vcpu"]) == (48, 2)
            http.post(f"{path}/?action=start", json={}).raise_for_status()
            comes(http, path, "running")
            [domain] = [each for name, each in domains_of(lab).items() if machine["uuid"] in name]
            assert parsed(domain).findtext("vcpu") == "2"
            says(storage, machine["uuid"], "corral boot 2")

            http.delete(path).raise_for_status()
            comes(http, path, "removed")
            http.post(f"{path}/?action=purge", json={}).raise_for_status()
            comes(http, path, "purged")
            http.post(f"/v1/volumes/{volume['id']}/?action=purge", json={})
            until(lambda: [each.name for each in storage.iterdir() if not each.name.startswith("image-")], lambda left: left == [])
    finally:
        clear(lab, tmp_path)

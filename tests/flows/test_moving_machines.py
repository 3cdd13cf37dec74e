"""Two real libvirt hosts, over HTTP alone: a running machine moves from one to the other and goes on; restarted, stopped and removed there.

In the end log, views and hosts agree: nothing of it is left on either.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agents.libvirt.machine import domain_uuid
from agents.libvirt.xml import parsed
from tests.support.cluster import Cluster, a_cluster
from tests.support.files_server import files_of
from tests.support.guests import boot_image, says
from tests.support.lab import LabHost, names
from tests.support.virtual_machines import clear, domains_of
from tests.support.waiting import comes, happens

Json = dict[str, Any]

SECONDS = 120.0


@pytest.fixture
def hosts(docker_hosts: dict[str, LabHost], tmp_path: Path) -> Iterator[dict[str, LabHost]]:
    two = {"one": docker_hosts[names()[0]], "other": docker_hosts[names()[1]]}
    yield two
    for each in two.values():
        clear(each, tmp_path)


@pytest.fixture
async def cluster(tmp_path: Path, hosts: dict[str, LabHost]) -> AsyncIterator[Cluster]:
    """A server, and one for the agent of each of two hosts. Each has a folder of its own for disks."""
    async with a_cluster(tmp_path) as cluster:
        await cluster.start(gateway={"roles": "gateway,engine,projector"})
        for name, host in hosts.items():
            own = {"libvirt": host.libvirt_url, "libvirt_type": "qemu", "libvirt_storage": str(storage(tmp_path, name))}
            reached = {"libvirt_migration": f"qemu+tcp://{host.name}/system"}
            await cluster.start(**{name: {"roles": "agents", "hosts": "libvirt", **own, **reached}})
        yield cluster


def storage(folder: Path, name: str) -> Path:
    return folder / f"disks-of-{name}"


async def document(http: httpx.AsyncClient, path: str) -> Json:
    found: Json = (await http.get(path)).raise_for_status().json()
    return found


async def until(http: httpx.AsyncClient, path: str, state: str) -> Json:
    def right(seen: Json) -> bool:
        assert seen["transitioning"] != "error", seen["transitioningMessage"]
        return bool(seen["state"] == state)

    return await comes(lambda: document(http, path), right, SECONDS)


async def runs(host: LabHost, uuid: str) -> bool | None:
    """None: there is no such domain."""
    xml = (await asyncio.to_thread(domains_of, host)).get(f"corral-{domain_uuid(uuid)}")
    return None if xml is None else parsed(xml).get("id") is not None


@pytest.mark.timeout(400)
async def test_a_running_machine_moves_and_lives_on_there(cluster: Cluster, hosts: dict[str, LabHost], tmp_path: Path) -> None:
    one, other = hosts.values()
    boot_image(tmp_path / "web" / "counter.img")
    with files_of(tmp_path / "web") as web:
        async with cluster.http() as http:
            found = await comes(lambda: document(http, "/v1/hosts?state=active&sort=id"), lambda seen: len(seen["data"]) == 2, SECONDS)
            here, there = (each["id"] for each in found["data"])
            image = (await http.post("/v1/images", json={"kind": "libvirt", "name": "counter", "url": f"{web}/counter.img"})).json()
            body = {"imageId": image["id"], "memoryMb": 32, "name": "box", "requestedHostId": here, "data": {"fields": {"stopTimeout": 40}}}
            made = (await http.post("/v1/virtualmachines", json=body)).raise_for_status().json()
            path, uuid = f"/v1/virtualmachines/{made['id']}", made["uuid"]
            await until(http, path, "running")

            async def say(host: str, text: str) -> str:
                return await asyncio.to_thread(says, storage(tmp_path, host), uuid, text)

            await say("one", "corral boot 1\n.")

            moving = await http.post(f"{path}/?action=migrate", json={"hostId": there})
            assert (moving.status_code, moving.json().get("state")) == (202, "migrating"), moving.text
            moved = await until(http, path, "running")
            assert [each["id"] for each in (await document(http, f"{path}/hosts"))["data"]] == [there]
            assert moved["libvirtVncPassword"], "its screen goes on under the password it had"
            assert (await runs(one, uuid), await runs(other, uuid)) == (None, True)
            assert "boot" not in await say("other", "..."), "it goes on, and did not begin again"
            live = await http.get(f"{path}/logs?tail=1")
            assert set(live.text.strip()) == {"."}, "what it says is asked of the host that it is on now"

            (await http.post(f"{path}/?action=restart", json={})).raise_for_status()
            await until(http, path, "running")
            await say("other", "corral boot 2\n.")
            (await http.post(f"{path}/?action=stop", json={})).raise_for_status()
            await until(http, path, "stopped")
            assert (await runs(one, uuid), await runs(other, uuid)) == (None, False)

            [volume] = (await document(http, f"{path}/volumes"))["data"]
            (await http.delete(path)).raise_for_status()
            await until(http, path, "removed")
            (await http.post(f"{path}/?action=purge", json={})).raise_for_status()
            await until(http, path, "purged")
            await http.post(f"/v1/volumes/{volume['id']}/?action=purge", json={})
            disks = [storage(tmp_path, name) for name in hosts]
            await happens(lambda: all(each.name.startswith("image-") for folder in disks for each in folder.iterdir()), SECONDS)
            assert (await runs(one, uuid), await runs(other, uuid)) == (None, None)
            history = (await http.get(f"{path}/history")).raise_for_status().json()
            assert {"instance.migrate", "instance.restart", "instance.stop", "instance.remove"} <= {
                each["data"].get("process") for each in history
            }
            assert (await document(http, "/corral/strays"))["strays"] == []

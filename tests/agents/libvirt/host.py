"""A driver over one of the lab's libvirts, and the shortest way to give it commands: for the tests on real domains."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from agents.libvirt import LibvirtDriver
from agents.libvirt.driver import LibvirtOptions
from agents.libvirt.machine import domain_uuid
from tests.agents.orders import command, on_host
from tests.support.guests import boot_image, says
from tests.support.lab import LabHost, names
from tests.support.virtual_machines import clear, domains_of, machine

Json = dict[str, Any]
Open = Callable[..., Awaitable["Host"]]


class Host:
    """A driver of one of the lab's hosts, and the shortest way to give it commands."""

    def __init__(self, lab: LabHost, driver: LibvirtDriver, storage: Path, images: Path) -> None:
        self.lab, self.driver, self.storage, self.images = lab, driver, storage, images
        self.told: list[str] = []
        self.others: set[str] = set()
        """What ran on this libvirt before."""

    async def do(self, name: str, data: Json, epoch: int = 10) -> Json:
        async with asyncio.timeout(50):
            return await self.driver.carry_out(command(name, data, epoch), lambda text, percent: self.told.append(text))

    async def instances(self) -> dict[str, str]:
        return {uuid: state for uuid, state in (await self.driver.instances()).items() if uuid not in self.others}

    async def epochs(self) -> dict[str, int]:
        return {uuid: epoch for uuid, epoch in (await self.driver.epochs()).items() if uuid not in self.others}

    async def image(self, url: str | None = None, **more: Any) -> Json:
        """A row of an image, of the guest that counts unless another is named; it is not activated."""
        own = str(uuid.uuid4())
        path = self.images / f"{own}.img"
        if url is None:
            await asyncio.to_thread(boot_image, path)
        return {"uuid": own, "name": "counter", "url": url or path.as_uri(), **more}

    async def make_volumes(self, tree: Json) -> list[Json]:
        return [await self.volume("activate", each, tree) for each in tree["volumes"]]

    async def volume(self, verb: str, volume: Json, tree: Json) -> Json:
        data = {"volumeStoragePoolMap": {"id": 8, "volume": {**volume, "instance": tree}, "storagePool": {"uuid": "pool1"}}}
        return await self.do(f"storage.volume.{verb}", data)

    async def start(self, tree: Json, epoch: int = 10) -> Json:
        await self.make_volumes(tree)
        return await self.do("compute.instance.activate", on_host(tree), epoch)

    async def stop(self, tree: Json) -> Json:
        return await self.do("compute.instance.deactivate", on_host(tree), 20)

    async def domain(self, tree: Json) -> ElementTree.Element:
        found = await asyncio.to_thread(domains_of, self.lab)
        return ElementTree.fromstring(found[f"corral-{domain_uuid(tree['uuid'])}"])

    async def says(self, tree: Json, text: str, seconds: float = 40) -> str:
        """What its serial console said, once that holds the text."""
        return await asyncio.to_thread(says, self.storage, tree["uuid"], text, seconds)


async def opened(stack: AsyncExitStack, hosts: dict[str, LabHost], folder: Path, number: int = 0, **options: Any) -> Host:
    """A driver on the so manieth of the lab's hosts; what it made is gone when the stack is unwound."""
    lab = hosts[names()[number]]
    own, storage = folder / lab.name, folder / lab.name / "disks"
    stack.push_async_callback(asyncio.to_thread, clear, lab, own)
    defaults = {"storage": storage, "host_ip": "127.0.0.1", "virtualization": "qemu", "vnc_listen": lab.address}
    driver = LibvirtDriver(lab.libvirt_url, LibvirtOptions(**{**defaults, **options}))
    await driver.open(own)
    stack.push_async_callback(driver.close)
    host = Host(lab, driver, storage, own / "images")
    host.others = set(await driver.instances())
    return host


def vm(image: Json, **more: Any) -> Json:
    return machine(str(uuid.uuid4()), image, **more)

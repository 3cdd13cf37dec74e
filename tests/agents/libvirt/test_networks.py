"""Segments on a real libvirt: its networks as they are told, and domains on them with the very mac, their address on the config drive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from xml.etree import ElementTree

import pytest

from agents.driver import TakesPartInNetworks
from agents.libvirt import LibvirtDriver
from agents.libvirt.networks import LibvirtBridges, network_xml
from agents.network.membership import Networks
from agents.network.segments import read
from tests.agents.libvirt.host import Host, Open, vm
from tests.agents.network.test_segments import SEGMENT, told
from tests.agents.orders import on_host
from tests.support.config_drives import read_config_drive
from tests.support.lab import names

MAC = "02:00:01:00:00:06"
NUMBER = 9017


@pytest.fixture
async def host(open_host: Open) -> AsyncIterator[Host]:
    """One outside of its libvirt's network namespace, as one without rights over it."""
    host = await open_host()
    yield host
    for domain in await host.instances():
        await host.do("compute.instance.remove", {"instanceHostMap": {"instance": {"uuid": domain}}}, 1000)
    await host.driver.apply_networks({**told(position=1000), "version": ""})


def segment(host: Host, tree: dict[str, Any], **fields: Any) -> dict[str, Any]:
    ends = [{"instance": tree["uuid"], "name": "box", "address": "10.86.0.6", "mac": MAC, "at": "127.0.0.1"}]
    own = {"number": NUMBER, "subnet": "10.86.0.0/24", "gateway": "10.86.0.1", "hosts": ["127.0.0.1"], "endpoints": ends}
    return {**SEGMENT, **own, **fields}


def on_it(image: dict[str, Any]) -> dict[str, Any]:
    address = {"address": "10.86.0.6", "subnetId": NUMBER, "subnet": {"cidrSize": 24, "gateway": "10.86.0.1"}}
    nic = {"network": {"kind": "network", "name": "inner"}, "subnetId": NUMBER, "macAddress": MAC, "ipAddresses": [address]}
    return vm(image, nics=[nic], fields={"stopTimeout": 0})


async def networks_of(host: Host) -> list[str]:
    def look(connection: Any) -> list[str]:
        return [each.bridgeName() for each in connection.listAllNetworks() if each.isActive() and str(NUMBER) in each.name()]

    return await host.driver.hypervisor.look(look)


async def test_a_machine_is_on_its_segments_bridge_with_its_very_mac_and_knows_its_address(host: Host) -> None:
    tree = on_it(await host.image())
    await host.driver.apply_networks(told(segment(host, tree), position=1))
    await host.start(tree)
    interface = (await host.domain(tree)).find("devices/interface")
    assert interface is not None
    assert (interface.get("type"), _of(interface, "source", "bridge")) == ("bridge", f"corral-s{NUMBER}")
    assert _of(interface, "mac", "address") == MAC
    assert _of(interface, "target", "dev").startswith("vnet")
    [ethernet] = json.loads(read_config_drive(host.storage / f"seed-{tree['uuid']}.iso")["network-config"])["ethernets"].values()
    assert (ethernet["addresses"], ethernet["mtu"]) == (["10.86.0.6/24"], 1450)
    assert ethernet["routes"] == [{"to": "0.0.0.0/0", "via": "10.86.0.1"}]

    await host.stop(tree)
    await host.driver.apply_networks({**told(position=2), "version": "none"})
    assert await networks_of(host) == [f"corral-s{NUMBER}"], "a stopped machine could not be started again without it"
    await host.driver.apply_networks(told(segment(host, tree), position=3))
    await host.start(tree, 30)
    await host.do("compute.instance.remove", {"instanceHostMap": {"instance": tree}}, 40)
    await host.driver.apply_networks({**told(position=4), "version": "none"})
    assert await networks_of(host) == []


async def test_a_running_machine_waits_until_its_network_is_where_it_moves_to(host: Host, open_host: Open) -> None:
    there = await open_host(1, migration_uri=f"qemu+tcp://{names()[1]}/system")
    tree = on_it(await host.image())
    await host.driver.apply_networks(told(segment(host, tree), position=1))
    await host.start(tree)
    await host.says(tree, "corral boot 1")
    image = {**tree["image"], "url": (await there.image())["url"]}
    await there.make_volumes({**tree, "image": image, "volumes": [{**tree["volumes"][0], "image": image}]})
    target = (await there.driver.resources({}))[1]
    moving = asyncio.create_task(host.do("compute.instance.migrate", {**on_host(tree), "target": {"host": target}}, 20))
    done, _ = await asyncio.wait({moving}, timeout=2)
    assert not done
    assert await host.instances() == {tree["uuid"]: "running"}
    await there.driver.apply_networks(told(segment(host, tree), position=1))
    await moving
    assert await there.instances() == {tree["uuid"]: "running"}
    await there.do("compute.instance.remove", {"instanceHostMap": {"instance": tree}}, 40)
    await there.driver.apply_networks({**told(position=1000), "version": ""})
    assert await networks_of(there) == []


async def test_a_subnet_that_changed_is_another_network_once_nobody_is_on_the_old_one(host: Host) -> None:
    tree = on_it(await host.image())
    await host.driver.apply_networks(told(segment(host, tree), position=1))
    await host.start(tree)
    other = segment(host, tree, subnet="10.87.0.0/24", gateway="10.87.0.1", endpoints=[])
    answer = await host.driver.apply_networks(told(other, position=2))
    assert "of another subnet, and has machines" in answer["trouble"][str(NUMBER)]
    await host.do("compute.instance.remove", {"instanceHostMap": {"instance": tree}}, 40)
    assert (await host.driver.apply_networks(told(other, position=3)))["trouble"] == {}


async def test_what_shares_another_drivers_networks_leaves_them_to_that_one(host: Host) -> None:
    shared = LibvirtDriver(host.lab.libvirt_url, networks=Networks(LibvirtBridges(host.driver.hypervisor), "127.0.0.1"))
    assert isinstance(shared, TakesPartInNetworks)
    assert (shared.networks_version, host.driver.networks_version) == (None, "untold")
    await shared.close()


def test_a_network_of_libvirts_has_the_gateway_and_no_services_of_its_own() -> None:
    [given] = read(told(SEGMENT)).segments.values()
    root = ElementTree.fromstring(network_xml(given, 1400))
    assert (_of(root, "bridge", "name"), _of(root, "mac", "address"), _of(root, "mtu", "size")) == ("corral-s7", given.gateway_mac, "1400")
    assert (_of(root, "ip", "address"), _of(root, "ip", "netmask")) == ("10.42.0.1", "255.255.255.0")
    assert (_of(root, "dns", "enable"), root.find("ip/dhcp")) == ("no", None)


def _of(element: ElementTree.Element, path: str, name: str) -> str:
    found = element.find(path)
    assert found is not None
    return found.get(name, "")

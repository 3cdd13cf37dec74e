"""Segments on a real Docker engine: its networks as they are told, and containers at the very address and mac."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from agents.docker import DockerDriver
from agents.docker.networks import SEGMENT_LABEL, attached
from agents.driver import DriverError
from agents.network.membership import Attachment
from tests.agents.network.test_segments import SEGMENT, told
from tests.agents.orders import activate, deactivate, instance, purge
from tests.support.lab import LabHost

MAC = "02:00:01:00:00:05"


@pytest.fixture
def host(docker_hosts: dict[str, LabHost]) -> LabHost:
    return next(iter(docker_hosts.values()))


@pytest.fixture
async def driver(host: LabHost, tmp_path: Path) -> AsyncIterator[DockerDriver]:
    """One outside of its engine's network namespace, as one without rights over it."""
    driver = DockerDriver(host.base_url, host_ip=host.address)
    await driver.open(tmp_path / "agent")
    yield driver
    await driver.apply_networks({**told(position=1000), "version": ""})
    await driver.close()


def segment(host: LabHost, tree: dict[str, Any], address: str = "10.85.0.5", *others: str, **fields: Any) -> dict[str, Any]:
    ends = [{"instance": tree["uuid"], "name": "web", "address": address, "mac": MAC, "at": host.address}]
    own = {"number": 9007, "subnet": "10.85.0.0/24", "gateway": "10.85.0.1", "hosts": [host.address, *others], "endpoints": ends}
    return {**SEGMENT, **own, **fields}


def on_it(host: LabHost, address: str = "10.85.0.5") -> dict[str, Any]:
    nic = {
        "network": {"kind": "network", "name": "inner"}, "subnetId": 9007, "macAddress": MAC,
        "ipAddresses": [{"address": address, "subnetId": 9007}],
    }  # fmt: skip
    tree = instance("web", imageUuid=f"docker:{host.image}", command="sleep 600", stopTimeout=0)
    return {**tree, "nics": [nic]}


def segments_of(host: LabHost) -> list[str]:
    client = host.client()
    try:
        return [str(each.name) for each in client.networks.list(filters={"label": f"{SEGMENT_LABEL}=9007"})]
    finally:
        client.close()


async def do(driver: DockerDriver, request: Any) -> Any:
    return await driver.carry_out(request, lambda message, percent: None)


async def test_a_container_is_on_its_network_at_its_very_address_also_after_the_network_was_made_anew(
    driver: DockerDriver, host: LabHost
) -> None:
    tree = on_it(host)
    await driver.apply_networks(told(segment(host, tree), position=1))
    started = (await do(driver, activate(tree, 10)))["instance"]["+data"]
    place = started["dockerInspect"]["NetworkSettings"]["Networks"]["corral-s9007"]
    assert (place["IPAddress"], place["MacAddress"], place["Gateway"]) == ("10.85.0.5", MAC, "10.85.0.1")
    assert started["+fields"]["dockerIp"] == "10.85.0.5"

    await do(driver, deactivate(tree, 20))
    await driver.apply_networks({**told(position=2), "version": "none"})
    assert segments_of(host) == ["corral-s9007"], "a stopped container could not be started again without it"
    client = host.client()
    client.networks.get("corral-s9007").remove()  # as `docker network prune` does
    client.close()
    await driver.apply_networks(told(segment(host, tree), position=3))
    again = (await do(driver, activate(tree, 30)))["instance"]["+data"]["dockerInspect"]["NetworkSettings"]["Networks"]
    assert {name: (each["IPAddress"], each["MacAddress"]) for name, each in again.items()} == {"corral-s9007": ("10.85.0.5", MAC)}

    await do(driver, purge(tree, 40))
    await driver.apply_networks({**told(position=4), "version": "none"})
    assert segments_of(host) == []


async def test_a_network_takes_packets_of_another_size_once_no_container_is_on_it(
    driver: DockerDriver, host: LabHost
) -> None:
    tree = on_it(host)

    def mtu() -> str:
        client = host.client()
        try:
            return str(client.networks.get("corral-s9007").attrs["Options"]["com.docker.network.driver.mtu"])
        finally:
            client.close()

    await driver.apply_networks(told(segment(host, tree), position=1))
    assert mtu() == "1450"
    await driver.apply_networks(told(segment(host, tree, transport="routes"), position=2))
    assert mtu() == "1500"
    await do(driver, activate(tree, 10))
    with capture_logs() as logs:
        for position in (3, 4):
            assert (await driver.apply_networks(told(segment(host, tree), position=position)))["trouble"] == {}
    assert [(each["mtu"], each["containers"]) for each in logs if each["action"] == "network-mtu"] == [(1450, 1500)], "it is said once"
    assert mtu() == "1500"
    await do(driver, purge(tree, 20))
    await driver.apply_networks(told(segment(host, tree), position=5))
    assert mtu() == "1450"


async def test_an_agent_that_can_not_reach_other_hosts_says_so_and_what_to_do(driver: DockerDriver, host: LabHost) -> None:
    tree = on_it(host)
    answer = await driver.apply_networks(told(segment(host, tree, "10.85.0.5", "10.0.0.2"), position=1))
    assert "10.0.0.2" in answer["trouble"]["9007"]
    with pytest.raises(DriverError, match="Run the agent on the engine's own machine"):
        await do(driver, activate(tree, 10))


async def test_a_subnet_that_overlaps_another_of_the_host_is_told(driver: DockerDriver, host: LabHost) -> None:
    tree = on_it(host)
    other = segment(host, tree, number=9008, uuid="u8")
    answer = await driver.apply_networks(told(segment(host, tree), other, position=1))
    assert "another network of this host has these addresses" in answer["trouble"]["9008"]


def test_a_container_with_a_network_mode_of_its_own_is_left_as_it_is() -> None:
    first = Attachment("corral-s7", "10.42.0.5", MAC, ("10.42.0.1", "10.0.0.53", "10.0.0.54", "10.0.0.55"), 1450)
    for mode in ("host", "none", "container:abc"):
        body = {"Image": "x", "HostConfig": {"NetworkMode": mode}}
        assert attached(body, [first]) == body
    made = attached({"Image": "x", "HostConfig": {"Dns": ["9.9.9.9"]}}, [first], ["web"])
    assert made["HostConfig"] == {"NetworkMode": "corral-s7", "Dns": ["9.9.9.9"]}
    assert attached({"Image": "x"}, [first])["HostConfig"]["Dns"] == ["10.42.0.1", "10.0.0.53", "10.0.0.54"]
    assert attached({"Image": "x"}, []) == {"Image": "x"}

"""Networks over HTTP, on simulated hosts: what a user sees of nics, addresses, ports, pools, links and agent instances."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.documents import made
from tests.support.server import Server

Json = dict[str, Any]


@pytest.fixture(scope="module")
def http(shared_home: Path) -> Iterator[httpx.Client]:
    with Server(shared_home) as server, httpx.Client(base_url=f"{server.url}/v1", timeout=30) as client:
        yield client


def until(http: httpx.Client, document: Json, *states: str, seconds: float = 30) -> Json:
    deadline = time.monotonic() + seconds
    while True:
        now: Json = http.get(document["links"]["self"]).json()
        if now["state"] in states:
            return now
        assert time.monotonic() < deadline, f"{now['type']} {now['id']} is {now['state']}: {now['transitioningMessage']}"
        time.sleep(0.05)


def linked(http: httpx.Client, document: Json, name: str, least: int = 1) -> list[Json]:
    """What a link leads to, once the lists, which may lag, hold it."""
    deadline = time.monotonic() + 20
    while True:
        found: list[Json] = http.get(document["links"][name]).json()["data"]
        if len(found) >= least:
            return found
        assert time.monotonic() < deadline, f"{document['id']} has only {len(found)} {name}"
        time.sleep(0.05)


def a_subnet(http: httpx.Client, plural: str = "networks", address: str = "10.42.1.0", **network: Any) -> tuple[Json, Json]:
    whole = until(http, made(http, plural, **network), "active")
    return whole, until(http, made(http, "subnets", networkId=whole["id"], networkAddress=address), "active")


def acted(http: httpx.Client, document: Json, action: str, status: int = 202, **given: Any) -> Json:
    answer = http.post(document["actions"][action], json=given)
    assert answer.status_code == status, answer.text
    result: Json = answer.json()
    return result


def test_a_container_on_a_network_shows_its_nic_address_and_ports(http: httpx.Client) -> None:
    network, subnet = a_subnet(http)
    assert (subnet["gateway"], subnet["startAddress"], subnet["endAddress"]) == ("10.42.1.1", "10.42.1.2", "10.42.1.250")
    web = until(http, made(http, "containers", imageUuid="sim:x", networkIds=[network["id"]], ports=["8080:80", "53/udp"]), "running")
    [nic] = linked(http, web, "nics")
    [address] = linked(http, nic, "ipAddresses")
    assert (nic["networkId"], nic["subnetId"], nic["state"]) == (network["id"], subnet["id"], "active")
    assert nic["macAddress"].startswith(network["macPrefix"])
    assert address["address"] == web["primaryIpAddress"]
    assert address["address"].startswith("10.42.1.")
    ports = linked(http, web, "ports", 2)
    assert [(each["publicPort"], each["privatePort"], each["protocol"]) for each in ports] == [(8080, 80, "tcp"), (None, 53, "udp")]
    assert "ports" not in web
    second = until(http, made(http, "containers", imageUuid="sim:x", ports=["8080:80"]), "removed")
    assert f"port 8080/tcp is taken by instance-{web['id'][2:]}" in second["transitioningMessage"]


def test_what_cannot_be_a_subnet_or_a_port_is_refused_by_name(http: httpx.Client) -> None:
    network, _ = a_subnet(http)
    for fields, code, field in (
        ({"networkAddress": "10.0.0.0/24"}, "InvalidFormat", "networkAddress"),
        ({"networkAddress": "10.0.0.0", "gateway": "router"}, "InvalidFormat", "gateway"),
        ({"networkAddress": "10.0.0.0", "cidrSize": 30}, "MaxLimitExceeded", "cidrSize"),
        ({}, "MissingRequired", "networkAddress"),
    ):
        refused = http.post("/subnets", json={"networkId": network["id"], **fields})
        assert (refused.status_code, refused.json()["code"], refused.json()["fieldName"]) == (422, code, field)
    bad = http.post("/containers", json={"imageUuid": "sim:x", "ports": ["80:http"]})
    assert (bad.status_code, bad.json()["code"]) == (422, "PortWrongFormat")
    unknown = http.post("/containers", json={"imageUuid": "sim:x", "networkIds": ["1n9999"]})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "InvalidReference")


def test_a_pools_address_is_acquired_associated_and_given_back(http: httpx.Client) -> None:
    network, _ = a_subnet(http, address="10.42.2.0")
    pool = until(http, made(http, "subnetippools", networkAddress="203.0.113.0", cidrSize=28), "active")
    outer = until(http, acted(http, pool, "acquire", 200), "active")
    assert (outer["kind"], outer["role"], outer["ipPoolId"]) == ("pooledIpAddress", "public", pool["id"])
    assert outer["address"].startswith("203.0.113.")
    web = until(http, made(http, "containers", imageUuid="sim:x", networkIds=[network["id"]]), "running")
    [nic] = linked(http, web, "nics")
    [inner] = linked(http, nic, "ipAddresses")
    acted(http, outer, "associate", ipAddressId=inner["id"])
    outer = until(http, outer, "associated")
    assert "disassociate" in outer["actions"]
    acted(http, web, "restart")
    time.sleep(0.1)
    again = until(http, web, "running")
    deadline = time.monotonic() + 20
    while again["primaryAssociatedIpAddress"] != outer["address"]:
        assert time.monotonic() < deadline
        again = until(http, web, "running")
    acted(http, outer, "disassociate")
    outer = until(http, outer, "active")
    acted(http, outer, "deactivate")
    until(http, outer, "removed")


def test_a_link_names_its_target_and_shows_on_both_ends(http: httpx.Client) -> None:
    target = until(http, made(http, "containers", imageUuid="sim:x"), "running")
    web = until(http, made(http, "containers", imageUuid="sim:x", instanceLinks={"db": target["id"], "later": None}), "running")
    links = {each["linkName"]: each for each in linked(http, web, "instanceLinks", 2)}
    assert (links["db"]["targetInstanceId"], links["later"]["targetInstanceId"]) == (target["id"], None)
    assert [each["id"] for each in linked(http, target, "targetInstanceLinks")] == [links["db"]["id"]]
    changed = http.put(links["later"]["links"]["self"], json={"targetInstanceId": target["id"]})
    assert changed.status_code == 200, changed.text
    assert until(http, links["later"], "active")["targetInstanceId"] == target["id"]


def test_a_provider_brings_an_agent_instance_whose_agent_answers_through_its_host(http: httpx.Client) -> None:
    network, _ = a_subnet(http, "hostonlynetworks", address="10.42.3.0", dynamicCreateVnet=True)
    provider = until(http, made(http, "agentinstanceproviders", networkId=network["id"], agentInstanceImageUuid="sim:agent"), "active")
    until(http, made(http, "dnsservices", networkId=network["id"], networkServiceProviderId=provider["id"]), "active")
    web = until(http, made(http, "containers", imageUuid="sim:x", networkIds=[network["id"]]), "running")
    [nic] = linked(http, web, "nics")
    [inside] = linked(http, provider, "instances")
    inside = until(http, inside, "running")
    assert inside["name"] == "Agent"
    agent = http.get(inside["links"]["agent"]).json()
    agent = until(http, agent, "active")
    assert agent["uri"] == f"delegate:///?vnetId={nic['vnetId'][2:]}&networkServiceProviderId={provider['id'][4:]}"
    until(http, made(http, "containers", imageUuid="sim:x", networkIds=[network["id"]]), "running")
    assert len(linked(http, provider, "instances")) == 1

"""Containers of a network with plain routes, on two real hosts with a wire between them: as with tunnels, and nothing is wrapped up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from agents.libvirt.machine import domain_uuid
from agents.libvirt.xml import parsed
from agents.network.routing import PROTOCOL
from tests.flows.test_machines_on_networks import hears, told
from tests.flows.test_networks_across_hosts import SERVES, WAITS, asking, heard_again, switch
from tests.support.documents import made, state
from tests.support.guests import boot_image
from tests.support.hosts import a_cloud, at_host, eventually, inside, network_state, on
from tests.support.lab import LabHost
from tests.support.virtual_machines import domains_of
from tests.support.waiting import until

Json = dict[str, Any]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="networks across hosts are made by root")

WIRE = "wire0"
ROUTED = {"transport": "routes"}


def on_wire(host: LabHost, two: list[LabHost]) -> str:
    return f"10.217.0.{two.index(host) + 1}"


@pytest.fixture
def two(two: list[LabHost]) -> Iterator[list[LabHost]]:
    """On one link, too; the lab's own way between them is by way of the machine."""
    one, other = ([f"corral-{each.name}", "name", WIRE] for each in two)
    run("ip", "link", "add", "netns", *one, "type", "veth", "peer", "netns", *other)
    for each in two:
        at_host(each, "ip", "address", "add", f"{on_wire(each, two)}/24", "dev", WIRE)
        at_host(each, "ip", "link", "set", WIRE, "up")
    yield two
    at_host(two[0], "ip", "link", "del", WIRE)


def run(*command: str) -> None:
    subprocess.run(command, timeout=30, check=True)


def wired(hosts: list[LabHost]) -> dict[str, list[str]]:
    """Their agents' options."""
    return {each.name: ["--docker", each.base_url, "--host-ip", on_wire(each, hosts)] for each in hosts}


def routes(host: LabHost) -> dict[str, str]:
    """Corral's: address -> by way of which host."""
    lines = [line.split() for line in at_host(host, "ip", "route", "show", "proto", str(PROTOCOL)).splitlines()]
    return {words[0]: words[words.index("via") + 1] for words in lines}


def differences(before: Mapping[str, tuple[list[str], ...]], hosts: list[LabHost]) -> list[str]:
    """What the hosts have now and did not have, and the other way round."""
    then = {(name, line) for name, parts in before.items() for part in parts for line in part}
    now = {(host.name, line) for host in hosts for part in network_state(host) for line in part}
    return sorted(f"{name}: {line}" for name, line in then ^ now)


def answers_for_others(host: LabHost) -> str:
    """Whether the bridge there does."""
    [bridge] = [name for name in network_state(host)[0] if name.startswith("corral-s")]
    return at_host(host, "cat", f"/proc/sys/net/ipv4/conf/{bridge}/proxy_arp").strip()


def a_network(http: httpx.Client, address: str, **fields: Any) -> Json:
    network = state(http, made(http, "networks", name="inner", **fields), "active")
    state(http, made(http, "subnets", networkId=network["id"], networkAddress=address), "active")
    return network


def gone(http: httpx.Client, *instances: Json) -> None:
    for each in instances:
        http.delete(each["links"]["self"])
        state(http, each, "removed", "purged")
        http.post(http.get(each["links"]["self"]).json()["actions"]["purge"])


@pytest.mark.timeout(300)
def test_containers_meet_as_who_they_are_and_leave_nothing_behind(home: Path, tmp_path: Path, two: list[LabHost]) -> None:
    here, there = two
    before = {each.name: network_state(each) for each in two}
    with a_cloud(home, tmp_path, two, wired(two)) as cloud:
        http, agents = cloud.http, cloud.agents
        plain = {"imageUuid": f"docker:{here.image}", "networkIds": [a_network(http, "10.83.0.0", data=ROUTED)["id"]]}
        web = made(http, "containers", name="web", requestedHostId=on(http, here), command=SERVES, **plain)
        client = made(http, "containers", name="client", requestedHostId=on(http, there), command=WAITS, **plain)
        web, client = (state(http, each, "running") for each in (web, client))

        eventually(there, client, f"ping -c 1 -W 1 {web['primaryIpAddress']}")
        eventually(here, web, f"ping -c 1 -W 1 {client['primaryIpAddress']}")
        assert "hello-from-busybox" in eventually(there, client, asking(web))
        assert web["primaryIpAddress"] in eventually(there, client, "nslookup web")
        assert "mtu 1500" in eventually(here, web, "ip link show eth0")
        assert inside(there, client, f"ping -c 1 -W 2 -s 1472 {web['primaryIpAddress']}")[0] == 0, "as much as the wire takes"
        assert routes(there) == {web["primaryIpAddress"]: on_wire(here, two)}
        assert not [name for each in two for name in network_state(each)[0] if name.startswith("corral-v")]

        # Who is asked sees who asks, and no host between them.
        assert inside(here, web, "(nc -l -p 99 -e sh -c 'cat /proc/net/tcp* >/tmp/seen') >/dev/null 2>&1 &")[0] == 0
        eventually(there, client, f"sleep 2 | nc -w 5 {web['primaryIpAddress']} 99")
        little_endian = "".join(f"{int(part):02X}" for part in reversed(client["primaryIpAddress"].split(".")))
        assert little_endian in eventually(here, web, "grep . /tmp/seen")

        # What was lost while an agent is away, and what is no one's, is made good when it is back.
        agents[there.name].stop(kill=True)
        assert inside(there, client, asking(web))[0] == 0
        at_host(there, "ip", "route", "del", web["primaryIpAddress"], "proto", str(PROTOCOL))
        at_host(there, "ip", "route", "add", "10.99.0.1/32", "via", on_wire(here, two), "proto", str(PROTOCOL), "metric", "987654")
        stray = ["-s", "10.99.0.0/24", "-m", "comment", "--comment", "corral-s987654", "-j", "ACCEPT"]
        at_host(there, "iptables", "-I", "FORWARD", *stray)
        assert inside(there, client, asking(web))[0] != 0
        agents[there.name].start()
        eventually(there, client, asking(web))
        until(lambda: routes(there), lambda seen: seen == {web["primaryIpAddress"]: on_wire(here, two)})
        until(lambda: at_host(there, "iptables-save"), lambda seen: "987654" not in seen)

        gone(http, web, client)
        until(lambda: differences(before, two), lambda seen: seen == [])


@pytest.mark.timeout(300)
def test_who_talks_to_an_instance_goes_on_when_that_has_moved(home: Path, tmp_path: Path, two: list[LabHost]) -> None:
    here, there = two
    with a_cloud(home, tmp_path, two, wired(two)) as cloud:
        http = cloud.http
        plain = {"imageUuid": f"docker:{here.image}", "networkIds": [a_network(http, "10.84.0.0", data=ROUTED)["id"]]}
        switch(http, there, "deactivate")
        web = state(http, made(http, "containers", name="web", command=SERVES, **plain), "running")
        switch(http, there, "activate")
        client = state(http, made(http, "containers", name="client", requestedHostId=on(http, there), command=WAITS, **plain), "running")
        asks = f"while true; do {asking(web)} >/dev/null && date +%s >>/tmp/heard; sleep 0.2; done"
        assert inside(there, client, f"({asks}) >/dev/null 2>&1 &")[0] == 0
        eventually(there, client, "test -s /tmp/heard")
        assert routes(there) == {web["primaryIpAddress"]: on_wire(here, two)}

        http.post(web["actions"]["stop"], json={"deallocateFromHost": True})
        stopped = state(http, web, "stopped")
        switch(http, here, "deactivate")
        moved = heard_again(http, there, client, stopped)
        assert (moved["primaryIpAddress"], routes(there)) == (web["primaryIpAddress"], {})

        # And away again, which who asks must be told: it knew it among its neighbours.
        http.post(moved["actions"]["stop"], json={"deallocateFromHost": True})
        stopped = state(http, web, "stopped")
        switch(http, here, "activate")
        switch(http, there, "deactivate")
        heard_again(http, there, client, stopped)
        assert routes(there) == {web["primaryIpAddress"]: on_wire(here, two)}
        gone(http, web, client)


@pytest.mark.timeout(300)
def test_a_network_changes_from_tunnels_to_routes_and_back_and_nothing_is_left_of_either(
    home: Path, tmp_path: Path, two: list[LabHost]
) -> None:
    here, there = two
    with a_cloud(home, tmp_path, two, wired(two)) as cloud:
        http = cloud.http
        network = a_network(http, "10.85.0.0")
        plain = {"imageUuid": f"docker:{here.image}", "networkIds": [network["id"]]}
        web = made(http, "containers", name="web", requestedHostId=on(http, here), command=SERVES, **plain)
        client = made(http, "containers", name="client", requestedHostId=on(http, there), command=WAITS, **plain)
        web, client = (state(http, each, "running") for each in (web, client))
        eventually(there, client, asking(web))
        tunneled = {each.name: network_state(each) for each in two}
        for _ in range(2):
            http.put(network["links"]["self"], json={"data": ROUTED}).raise_for_status()
            until(lambda: (routes(here), routes(there)), all)
            assert [answers_for_others(each) for each in two] == ["1", "1"]
            until(lambda: [n for each in two for n in network_state(each)[0] if n.startswith("corral-v")], lambda seen: not seen)
            eventually(there, client, asking(web))
            http.put(network["links"]["self"], json={"data": {"transport": "vxlan"}}).raise_for_status()
            until(lambda: {host.name: network_state(host) for host in two}, lambda seen: seen == tunneled)
            eventually(there, client, asking(web))
        until(lambda: [answers_for_others(each) for each in two], lambda seen: seen == ["0", "0"])
        gone(http, web, client)


@pytest.mark.timeout(300)
def test_what_a_container_sends_reaches_the_host_of_a_machine_and_goes_on_to_it(home: Path, tmp_path: Path, two: list[LabHost]) -> None:
    """A machine without a system answers nobody, but is asked for its mac when what is sent to it has come through."""
    here, there = two
    own = tmp_path / there.name
    url = boot_image(own / "images" / "counter.img").as_uri()
    machines = ["--libvirt", there.libvirt_url, "--libvirt-type", "qemu", "--libvirt-storage", str(own / "disks")]
    engines = wired(two) | {there.name: [*machines, "--host-ip", on_wire(there, two)]}
    with a_cloud(home, tmp_path, two, engines) as cloud:
        http = cloud.http
        network = a_network(http, "10.88.0.0", data=ROUTED)
        image = made(http, "images", kind="libvirt", name="counter", url=url)
        fields = {"memoryMb": 32, "name": "box", "networkIds": [network["id"]], "requestedHostId": on(http, there, "libvirt")}
        box = made(http, "virtualmachines", imageId=image["id"], data={"fields": {"stopTimeout": 0}}, **fields)
        plain = {"imageUuid": f"docker:{here.image}", "command": WAITS, "networkIds": [network["id"]]}
        client = made(http, "containers", name="client", requestedHostId=on(http, here), **plain)
        client, box = (state(http, each, "running") for each in (client, box))
        until(lambda: (routes(here), routes(there)), all)
        interface = parsed(domains_of(there)[f"corral-{domain_uuid(box['uuid'])}"]).find("devices/interface")
        assert interface is not None
        [bridge, tap] = [told(interface, "source", "bridge"), told(interface, "target", "dev")]
        gateway_mac = at_host(there, "ip", "-br", "link", "show", bridge).split()[2]
        with hears(there, tap, gateway_mac, about=box["primaryIpAddress"]):
            inside(here, client, f"ping -c 5 -W 1 {box['primaryIpAddress']}")
        gone(http, client, box)
        until(lambda: [part for each in two for part in network_state(each)], lambda seen: "corral-s" not in str(seen))
        assert (routes(here), routes(there)) == ({}, {})


@pytest.mark.timeout(200)
@pytest.mark.parametrize("between", [True, False], ids=["a machine between", "a route of its own"])
def test_a_start_fails_with_the_reason_where_routes_are_not_possible(
    between: bool, home: Path, tmp_path: Path, two: list[LabHost]
) -> None:
    """By the addresses that hosts have of the lab the machine is between them."""
    here, there = two
    if not between:
        at_host(there, "ip", "route", "add", "10.86.0.128/25", "dev", WIRE)  # which goes with the wire
    with a_cloud(home, tmp_path, two, {} if between else wired(two)) as cloud:
        http = cloud.http
        plain = {"imageUuid": f"docker:{here.image}", "networkIds": [a_network(http, "10.86.0.0", data=ROUTED)["id"]], "command": WAITS}
        web = state(http, made(http, "containers", name="web", requestedHostId=on(http, here), **plain), "running")
        client = made(http, "containers", name="client", requestedHostId=on(http, there), **plain)
        client = until(lambda: http.get(client["links"]["self"]).json(), lambda seen: seen["transitioning"] == "error")
        why = http.get(f"{client['links']['self']}/why").text
        assert (f"host {here.address} is reached by way of" if between else "a route of its own to 10.86.0.128/25") in why, why
        gone(http, web)
        until(lambda: [part for each in two for part in network_state(each)], lambda seen: "corral-s" not in str(seen))
        assert (routes(here), routes(there)) == ({}, {})

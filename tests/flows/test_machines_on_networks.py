"""A virtual machine and a container of one network on two real hosts: frames go from each to the other, whoever made the bridges."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest

from agents.libvirt.machine import domain_uuid
from agents.libvirt.xml import parsed
from tests.flows.test_networks_across_hosts import WAITS
from tests.support.documents import made, state
from tests.support.guests import boot_image
from tests.support.hosts import a_cloud, inside, network_state
from tests.support.lab import LabHost
from tests.support.virtual_machines import domains_of
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="networks across hosts are made by root")

SECONDS = 60

BOOTS_FROM_NETWORK = """<%inherit file="base.mako"/>
<%block name="os"><os><type arch="${machine.arch}">hvm</type><boot dev="network"/><bios rebootTimeout="100"/></os></%block>
"""
"""Its firmware asks the network again and again, from the machine's own mac, who has something to boot."""

LISTENS = """
import socket, sys, time
name, frm, end = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", "")), time.monotonic() + float(sys.argv[3])
about = b"".join(map(socket.inet_aton, sys.argv[4:]))
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3)) as heard:
    heard.bind((name, 0))
    heard.settimeout(1)
    while time.monotonic() < end:
        try:
            frame = heard.recv(2048)
        except TimeoutError:
            continue
        if frame[6:12] == frm and about in frame:
            sys.exit(0)
sys.exit("nothing came from there")
"""


@contextmanager
def hears(host: LabHost, interface: str, mac: str, *, about: str | None = None) -> Iterator[None]:
    """In the end a frame from the mac has come by the host's interface; one in which this address is, if it is given."""
    command = [*host.inside, sys.executable, "-c", LISTENS, interface, mac, str(SECONDS), *([] if about is None else [about])]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as listening:
        try:
            yield
            said = listening.communicate(timeout=SECONDS + 30)[1]
            assert listening.returncode == 0, f"{interface} of {host.name}: {said}"
        finally:
            listening.kill()


def mac_of(http: Any, instance: dict[str, Any]) -> str:
    [nic] = http.get(f"/instances/{instance['id']}/nics").json()["data"]
    return str(nic["macAddress"])


def told(element: Element, path: str, name: str) -> str:
    found = element.find(path)
    assert found is not None
    return found.get(name, "")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engines", [("libvirt",), ("docker", "libvirt")], ids="+".join)
def test_a_machine_and_a_container_on_two_hosts_hear_each_other(
    engines: tuple[str, ...], two: list[LabHost], home: Path, tmp_path: Path
) -> None:
    one, other = two
    own = tmp_path / other.name
    url = boot_image(own / "images" / "counter.img").as_uri()
    (tmp_path / "libvirt-templates").mkdir()
    (tmp_path / "libvirt-templates" / "domain.mako").write_text(BOOTS_FROM_NETWORK)
    machines = ["--libvirt", other.libvirt_url, "--libvirt-type", "qemu", "--libvirt-storage", str(own / "disks")]
    docker = ["--docker", other.base_url] if "docker" in engines else []
    with a_cloud(home, tmp_path, two, {other.name: [*docker, *machines]}) as cloud:
        http = cloud.http
        known = http.get("/hosts").json()["data"]
        [there] = [each for each in known if (each["name"], each["kind"]) == (other.name, "libvirt")]
        assert there["data"]["underlay"] == other.address
        [here] = [each for each in known if each["name"] == one.name]
        network = made(http, "networks", name="inner")
        made(http, "subnets", networkId=network["id"], networkAddress="10.88.0.0")
        image = made(http, "images", kind="libvirt", name="counter", url=url)
        fields = {"memoryMb": 32, "name": "box", "networkIds": [network["id"]], "requestedHostId": there["id"]}
        box = made(http, "virtualmachines", imageId=image["id"], data={"fields": {"stopTimeout": 0}}, **fields)
        plain = {"imageUuid": f"docker:{one.image}", "command": WAITS, "networkIds": [network["id"]]}
        client = made(http, "containers", name="client", requestedHostId=here["id"], **plain)
        client, box = (state(http, each, "running") for each in (client, box))
        mac, interface = mac_of(http, box), parsed(domains_of(other)[f"corral-{domain_uuid(box['uuid'])}"]).find("devices/interface")
        assert interface is not None
        bridge, tap = told(interface, "source", "bridge"), told(interface, "target", "dev")
        assert told(interface, "mac", "address") == mac
        with hears(one, bridge, mac):
            pass  # it asks by itself
        with hears(other, tap, mac_of(http, client)):
            inside(one, client, f"ping -c 3 -W 1 {box['primaryIpAddress']}")
        for each in (client, box):
            http.delete(each["links"]["self"])
            state(http, each, "removed", "purged")
            http.post(http.get(each["links"]["self"]).json()["actions"]["purge"])
        until(lambda: [each.name for each in two if bridge in network_state(each)[0]], lambda left: left == [])

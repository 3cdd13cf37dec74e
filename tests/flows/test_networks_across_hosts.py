"""Containers of one network on two real hosts: they reach each other, know each other's names, and are found again when they moved."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.documents import made, state
from tests.support.hosts import a_cloud, eventually, inside, network_state, on
from tests.support.lab import LabHost
from tests.support.waiting import until

Json = dict[str, Any]

SERVES, WAITS = (f"sh -c 'trap exit TERM; {command} & wait'" for command in ("httpd -f -p 80 -h /www", "sleep 3600"))
"""(Alone, as a container's first process, these would not hear that they are to stop.)"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="networks across hosts are made by root")


def asking(web: Json) -> str:
    """(A static busybox can't look names up but by its nslookup.)"""
    return f"printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {web['primaryIpAddress']} 80 | grep hello"


def heard_again(http: httpx.Client, host: LabHost, client: Json, stopped: Json) -> Json:
    """Starts it; the process that asks for it all the time has an answer within seconds."""
    count = int(eventually(host, client, "wc -l </tmp/heard"))
    http.post(stopped["actions"]["start"])
    moved = state(http, stopped, "running")
    began = time.time()
    heard = eventually(host, client, f"sed -n {count + 1}p /tmp/heard | grep .")
    assert int(heard) - began < 5
    return moved


def switch(http: httpx.Client, host: LabHost, action: str) -> None:
    """activate or deactivate"""
    found = http.get(f"/hosts/{on(http, host)}").json()
    http.post(found["actions"][action])
    state(http, found, {"activate": "active", "deactivate": "inactive"}[action])


@pytest.mark.timeout(300)
def test_containers_of_a_network_meet_across_hosts_and_leave_nothing_behind(home: Path, tmp_path: Path, two: list[LabHost]) -> None:
    here, there = two
    before = {each.name: network_state(each) for each in two}
    with a_cloud(home, tmp_path, two) as cloud:
        http, agents = cloud.http, cloud.agents
        network = state(http, made(http, "networks", name="inner"), "active")
        state(http, made(http, "subnets", networkId=network["id"], networkAddress="10.83.0.0"), "active")
        plain = {"imageUuid": f"docker:{here.image}", "networkIds": [network["id"]]}
        web = made(http, "containers", name="web", requestedHostId=on(http, here), command=SERVES, ports=["80"], **plain)
        web = state(http, web, "running")
        client = made(
            http, "containers", name="client", requestedHostId=on(http, there), command=WAITS, instanceLinks={"site": web["id"]}, **plain
        )
        client = state(http, client, "running")
        assert ipaddress.ip_address(web["primaryIpAddress"]) in ipaddress.ip_network("10.83.0.0/24")

        eventually(there, client, f"ping -c 1 -W 1 {web['primaryIpAddress']}")
        eventually(here, web, f"ping -c 1 -W 1 {client['primaryIpAddress']}")
        assert "hello-from-busybox" in eventually(there, client, asking(web))
        for name in ("web", "web.inner", "site"):
            assert web["primaryIpAddress"] in eventually(there, client, f"nslookup {name}"), name
        assert client["primaryIpAddress"] in eventually(here, web, "nslookup client")
        assert inside(here, web, "nslookup site")[0] != 0, "a link's name is its own container's alone"
        [nic] = http.get(web["links"]["nics"]).json()["data"]
        assert nic["macAddress"] in eventually(here, web, "ip link show eth0")
        assert "mtu 1450" in eventually(here, web, "ip link show eth0")
        [port] = http.get(web["links"]["ports"]).json()["data"]
        assert "hello-from-busybox" in httpx.get(f"http://{here.address}:{port['publicPort']}/index.html").text, "it is published, too"
        told = eventually(there, client, "env")
        assert f"SITE_PORT_80_TCP=tcp://{web['primaryIpAddress']}:80" in told
        assert f"SITE_PORT_80_TCP_ADDR={web['primaryIpAddress']}" in told

        # An agent that is killed leaves its network working, and takes it up again.
        agents[there.name].stop(kill=True)
        assert inside(there, client, asking(web))[0] == 0
        # What was lost while it was away (as all of it is when a host starts again) is made anew.
        [tunnel] = [name for name in network_state(there)[0] if name.startswith("corral-v")]
        subprocess.run([*there.inside, "ip", "link", "del", tunnel], timeout=30, check=True)
        assert inside(there, client, asking(web))[0] != 0
        agents[there.name].start()
        eventually(there, client, asking(web))
        eventually(there, client, "nslookup web")

        for each in (web, client):
            http.delete(each["links"]["self"])
            state(http, each, "removed", "purged")
            http.post(http.get(each["links"]["self"]).json()["actions"]["purge"])
        until(lambda: {host.name: network_state(host) for host in two}, lambda seen: seen == before)


@pytest.mark.timeout(300)
def test_who_talks_to_an_instance_goes_on_when_that_has_moved(home: Path, tmp_path: Path, two: list[LabHost]) -> None:
    here, there = two
    with a_cloud(home, tmp_path, two) as cloud:
        http = cloud.http
        network = state(http, made(http, "networks", name="inner"), "active")
        state(http, made(http, "subnets", networkId=network["id"], networkAddress="10.84.0.0"), "active")
        plain = {"imageUuid": f"docker:{here.image}", "networkIds": [network["id"]]}
        switch(http, there, "deactivate")
        web = state(http, made(http, "containers", name="web", command=SERVES, ports=["80"], **plain), "running")
        switch(http, there, "activate")
        client = made(http, "containers", name="client", requestedHostId=on(http, there), command=WAITS, **plain)
        client = state(http, client, "running")
        asks = f"while true; do {asking(web)} >/dev/null && date +%s >>/tmp/heard; sleep 0.2; done"
        assert inside(there, client, f"({asks}) >/dev/null 2>&1 &")[0] == 0
        eventually(there, client, "test -s /tmp/heard")

        http.post(web["actions"]["stop"], json={"deallocateFromHost": True})
        stopped = state(http, web, "stopped")
        switch(http, here, "deactivate")
        moved = heard_again(http, there, client, stopped)
        assert moved["primaryIpAddress"] == web["primaryIpAddress"]

        # And away from the host where it is asked.
        http.post(moved["actions"]["stop"], json={"deallocateFromHost": True})
        stopped = state(http, web, "stopped")
        switch(http, here, "activate")
        switch(http, there, "deactivate")
        heard_again(http, there, client, stopped)
        assert "hello" in eventually(here, web, "cat /www/index.html"), "it is there now"
        for each in (web, client):
            http.delete(each["links"]["self"])
            state(http, each, "removed", "purged")

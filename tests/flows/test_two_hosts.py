"""The whole story on two real hosts: linked containers and a virtual machine across them, an agent that is killed in the middle, a move.

All of it is asked for over HTTP. At its end the log, the views and the hosts agree; and once all is purged, nothing is left on any host.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from agents.docker.container import CLOUD_LABEL, UUID_LABEL
from agents.libvirt.machine import domain_uuid
from tests.support.documents import made, state
from tests.support.files_server import files_of
from tests.support.guests import boot_image, says
from tests.support.hosts import Cloud, a_cloud, eventually, inside, network_state, on, way_to
from tests.support.lab import LabHost
from tests.support.server import CHECKOUT
from tests.support.virtual_machines import domains_of
from tests.support.waiting import until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="networks across hosts are made by root"),
    pytest.mark.timeout(540),
]

Json = dict[str, Any]

COUNT = 10
"""Containers whose start an agent dies in."""

SERVES = "sh -c 'trap exit TERM; httpd -f -p 80 -h /www & wait'"
WAITS = "sh -c 'trap exit TERM; sleep 3600 & wait'"
ASKS = r"""trap exit TERM
asks() { printf 'GET /index.html HTTP/1.0\r\n\r\n' | nc -w 2 "$DB_PORT_80_TCP_ADDR" "$DB_PORT_80_TCP_PORT" | grep -q hello; }
while true; do
    nslookup db | grep -q "$DB_PORT_80_TCP_ADDR" && asks && date +%s >>/tmp/heard
    sleep 0.2 & wait $!
done"""
"""The process of `web`: it asks `db` again and again, and writes down when it got its answer."""


def ours_on(host: LabHost, cloud_id: str) -> dict[str, list[str]]:
    """Instance -> the states of what this host's engine has for it, of containers that this cloud made there."""
    client = host.client()
    found: dict[str, list[str]] = {}
    try:
        for each in client.containers.list(all=True, filters={"label": f"{CLOUD_LABEL}={cloud_id}"}, ignore_removed=True):
            found.setdefault(each.labels[UUID_LABEL], []).append(each.status)
        return found
    finally:
        client.close()


def where_it_runs(two: list[LabHost], cloud_id: str, machines: Mapping[str, Json]) -> dict[str, list[str]]:
    """What the hosts themselves say: instance -> the lab hosts on which it runs."""
    found: dict[str, list[str]] = {}
    for host in two:
        for uuid, states in ours_on(host, cloud_id).items():
            found.setdefault(uuid, []).extend(host.name for _ in states)
            assert set(states) == {"running"}, f"{uuid} is {states} on {host.name}"
        domains = " ".join(domains_of(host).values())
        for uuid in machines:
            if str(domain_uuid(uuid)) in domains:
                found.setdefault(uuid, []).append(host.name)
    return found


def where_views_say(http: httpx.Client) -> dict[str, list[str]]:
    """The same by the API."""
    agents = {each["id"]: each["name"] for each in http.get("/agents").json()["data"]}
    running = http.get("/instances", params={"state": "running"}).json()["data"]
    assert len(running) < 100, "one page"
    return {each["uuid"]: [agents[host["agentId"]] for host in http.get(each["links"]["hosts"]).json()["data"]] for each in running}


def rebuilt(home: Path) -> Json:
    """`corral rebuild`: the views made anew from the log, and whether they equal those that were in use."""
    command = [sys.executable, "-m", "deploy.cli", "rebuild", "--home", str(home), "-o", "json"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=CHECKOUT)
    assert told.returncode == 0, told.stderr
    answer: Json = json.loads(told.stdout)
    return answer


def agree(cloud: Cloud, home: Path, two: list[LabHost], cloud_id: str, machines: Mapping[str, Json]) -> dict[str, list[str]]:
    """Log, views and hosts; -> where everything runs."""
    assert rebuilt(home)["equal"] is True
    said = where_views_say(cloud.http)
    assert all(len(hosts) == 1 for hosts in said.values()), said
    until(lambda: where_it_runs(two, cloud_id, machines), lambda seen: seen == said, 30)
    root = str(cloud.http.base_url).removesuffix("/v1/")
    until(lambda: cloud.http.get(f"{root}/corral/strays").json(), lambda seen: seen["engines"] == 1 and seen["strays"] == [], 30)
    return said


def started_while_an_agent_dies(cloud: Cloud, two: list[LabHost], cloud_id: str, image: str) -> list[Json]:
    """Some more containers. As soon as the second host has its first of them, its agent is killed, and started again."""
    http, victim = cloud.http, two[1]
    before = ours_on(victim, cloud_id).keys()

    def ask_for(number: int) -> Json:
        host = on(http, two[number % 2])
        return made(http, "containers", name=f"many-{number}", imageUuid=image, command=WAITS, requestedHostId=host)

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask_for, number) for number in range(COUNT)]
        until(lambda: ours_on(victim, cloud_id).keys() - before, bool)
        cloud.agents[victim.name].stop(kill=True)
        many = [each.result(60) for each in asked]
    then = [http.get(each["links"]["self"]).json()["state"] for each in many]
    assert set(then) != {"running"}, "it died too late to matter"
    time.sleep(1)  # what it was told meanwhile got lost, and is told again
    cloud.agents[victim.name].start()
    return [state(http, each, "running") for each in many]


def ends(http: httpx.Client, each: Json) -> None:
    http.delete(each["links"]["self"]).raise_for_status()
    state(http, each, "removed", "purged")
    http.post(http.get(each["links"]["self"]).json()["actions"]["purge"]).raise_for_status()
    state(http, each, "purged")


def cloud_of(host: LabHost, container: Json) -> str:
    """What the log's containers are known by, on hosts that others use, too."""
    client = host.client()
    try:
        [found] = client.containers.list(filters={"label": f"{UUID_LABEL}={container['uuid']}"})
        return str(found.labels[CLOUD_LABEL])
    finally:
        client.close()


def process_of(host: LabHost, container: Json) -> tuple[str, int]:
    """(engine id, pid)"""
    client = host.client()
    try:
        [found] = client.containers.list(filters={"label": f"{UUID_LABEL}={container['uuid']}"})
        return str(found.id), int(found.attrs["State"]["Pid"])
    finally:
        client.close()


def test_two_hosts_run_linked_containers_and_a_machine_through_a_killed_agent_and_a_move(
    home: Path, tmp_path: Path, two: list[LabHost]
) -> None:
    here, there = two
    before = {each.name: network_state(each) for each in two}
    domains = {each.name: domains_of(each).keys() for each in two}
    boot_image(tmp_path / "web" / "counter.img")
    with files_of(tmp_path / "web", way_to(two)) as files, a_cloud(home, tmp_path, two, machines=True) as cloud:
        http = cloud.http
        network = state(http, made(http, "networks", name="inner"), "active")
        state(http, made(http, "subnets", networkId=network["id"], networkAddress="10.85.0.0"), "active")
        image = f"docker:{here.image}"
        plain = {"imageUuid": image, "networkIds": [network["id"]]}
        boot = {"kind": "libvirt", "name": "counter", "url": f"{files}/counter.img"}
        machine = made(
            http, "virtualmachines", name="box", imageId=made(http, "images", **boot)["id"], memoryMb=32, vcpu=1,
            requestedHostId=on(http, there, "libvirt"), data={"fields": {"stopTimeout": 5}},
        )  # fmt: skip
        db = made(http, "containers", name="db", requestedHostId=on(http, here), command=SERVES, ports=["80"], **plain)
        db = state(http, db, "running")
        asks = {"command": "sh", "commandArgs": ["-c", ASKS], "instanceLinks": {"db": db["id"]}}
        web = state(http, made(http, "containers", name="web", requestedHostId=on(http, there), **asks, **plain), "running")
        machine = state(http, machine, "running")
        storage = cloud.agents[there.name].storage
        says(storage, machine["uuid"], "corral boot 1\n.")
        eventually(there, web, "test -s /tmp/heard")
        process = process_of(there, web)
        cloud_id = cloud_of(there, web)
        machines = {machine["uuid"]: machine}

        many = started_while_an_agent_dies(cloud, two, cloud_id, image)
        where = agree(cloud, home, two, cloud_id, machines)
        assert where.keys() == {each["uuid"] for each in (db, web, machine, *many)}
        assert (where[db["uuid"]], where[web["uuid"]], where[machine["uuid"]]) == ([here.name], [there.name], [there.name])
        assert {host for each in many for host in where[each["uuid"]]} == {here.name, there.name}

        moving = http.post(f"/containers/{db['id']}/?action=migrate", json={"hostId": on(http, there)})
        assert moving.json()["state"] == "migrating", moving.text
        moved = state(http, db, "running")
        began, count = time.time(), int(eventually(there, web, "wc -l </tmp/heard"))
        heard = int(eventually(there, web, f"sed -n {count + 1}p /tmp/heard | grep ."))
        assert heard - began < 5
        assert process_of(there, web) == process, "nobody told it"
        assert moved["primaryIpAddress"] == db["primaryIpAddress"]
        [port] = http.get(moved["links"]["ports"]).json()["data"]
        published = f"http://{there.address}:{port['publicPort']}/index.html"
        assert "hello-from-busybox" in httpx.get(published, timeout=10).text, "its port is published where it is now"
        where = agree(cloud, home, two, cloud_id, machines)
        assert where[db["uuid"]] == [there.name]

        for each in (web, machine):
            http.post(f"{each['links']['self']}/?action=stop", json={}).raise_for_status()
            state(http, each, "stopped")
        for each in (web, machine):
            http.post(f"{each['links']['self']}/?action=start", json={}).raise_for_status()
            state(http, each, "running")
        says(storage, machine["uuid"], "corral boot 2\n.")
        assert inside(there, web, "nslookup db")[0] == 0
        agree(cloud, home, two, cloud_id, machines)

        for each in (machine, web, db, *many):
            ends(http, each)
        assert http.get("/volumes", params={"state": "detached"}).json()["data"] == []
        assert agree(cloud, home, two, cloud_id, machines) == {}
        until(lambda: {host.name: network_state(host) for host in two}, lambda seen: seen == before)
        assert {each.name: domains_of(each).keys() for each in two} == domains
        disks = (each for agent in cloud.agents.values() if agent.storage.exists() for each in agent.storage.iterdir())
        assert [each.name for each in disks if not each.name.startswith("image-")] == []

"""Lab hosts of one cloud: a server that they reach, an agent in the network of each, and what a test looks at there."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from agents.docker.container import UUID_LABEL
from agents.docker.networks import SEGMENT_LABEL
from agents.network.routing import changes, marked, read_rules
from deploy.settings import SECURITY
from tests.support.lab import LabHost
from tests.support.server import CHECKOUT, Server
from tests.support.waiting import until

Json = dict[str, Any]


class Agent:
    """`corral agent` in a host's own network. `engines`: its options for them; None: its Docker, and with `machines` its libvirt, too."""

    def __init__(self, host: LabHost, url: str, folder: Path, engines: list[str] | None = None, *, machines: bool = False) -> None:
        self.host, self._url, self._folder = host, url, folder
        self._engines = engines if engines is not None else self._all(machines)
        self._process: subprocess.Popen[bytes] | None = None
        self.output = folder / f"{host.name}.output"

    @property
    def hosts(self) -> int:
        """How many it is to the server: one for each of its engines."""
        return self._engines.count("--docker") + self._engines.count("--libvirt")

    @property
    def storage(self) -> Path:
        """Of the disks of its virtual machines, and of what they say on their serial ports."""
        return self._folder / f"{self.host.name}.machines"

    def start(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CORRAL_", "DOCKER_"))}
        kept["CORRAL_HOME"] = str(self._folder)
        command = ["agent", "--url", self._url, *self._engines, "--name", self.host.name, "--log-level", "info"]
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [*self.host.inside, sys.executable, "-m", "deploy.cli", *command, "--home", str(self._folder / self.host.name)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=kept, cwd=CHECKOUT, start_new_session=True,
            )  # fmt: skip

    def stop(self, *, kill: bool = False) -> None:
        if self._process is not None:
            self._process.kill() if kill else self._process.terminate()
            self._process.wait(30)
            self._process = None

    def _all(self, machines: bool) -> list[str]:
        libvirt = ["--libvirt", self.host.libvirt_url, "--libvirt-type", "qemu", "--libvirt-storage", str(self.storage)]
        return ["--docker", self.host.base_url, *(libvirt if machines else ())]


@dataclass(frozen=True, slots=True)
class Cloud:
    server: Server
    http: httpx.Client
    agents: dict[str, Agent]
    """By their hosts' names."""


@contextmanager
def a_cloud(
    home: Path, folder: Path, hosts: list[LabHost], engines: Mapping[str, list[str]] = MappingProxyType({}), *, machines: bool = False
) -> Iterator[Cloud]:
    """A server that the hosts reach, and an agent on each; entered when all their hosts are active. `engines`: their options, by the host's
    name, where they are others."""
    listen = way_to(hosts)
    with ExitStack() as stack:
        server = stack.enter_context(Server(home, hosts="none", listen=listen, set=f"{SECURITY}=false"))
        url = server.url.replace("127.0.0.1", listen)
        http = stack.enter_context(httpx.Client(base_url=f"{url}/v1", timeout=30))
        agents = {host.name: Agent(host, url, folder, engines.get(host.name), machines=machines) for host in hosts}
        for each in agents.values():
            stack.callback(each.stop)
            each.start()
        count = sum(each.hosts for each in agents.values())
        until(lambda: http.get("/hosts", params={"state": "active"}).json()["data"], lambda seen: len(seen) == count)
        yield Cloud(server, http, agents)


def way_to(hosts: list[LabHost]) -> str:
    """This machine's end of the way to the first host; the others reach it there, too."""
    return str(ipaddress.ip_address(hosts[0].address) - 1)


def at_host(host: LabHost, *command: str) -> str:
    """What a command says in the host's network."""
    return subprocess.run([*host.inside, *command], capture_output=True, text=True, timeout=30, check=True).stdout


def network_state(host: LabHost) -> tuple[list[str], list[str], list[str]]:
    """Interfaces, firewall rules and routes of a host; a container that others have there is not counted."""
    interfaces = sorted(line.split()[0].partition("@")[0] for line in at_host(host, "ip", "-br", "link").splitlines())
    rules = at_host(host, "iptables-save").splitlines()
    return interfaces, sorted(line for line in rules if line.startswith("-A")), at_host(host, "ip", "route").splitlines()


def inside(host: LabHost, container: Json, script: str) -> tuple[int, str]:
    client = host.client()
    try:
        [found] = client.containers.list(all=True, filters={"label": f"{UUID_LABEL}={container['uuid']}"})
        code, output = found.exec_run(["sh", "-c", script])
        assert isinstance(code, int)
        assert isinstance(output, bytes)
        return code, output.decode()
    finally:
        client.close()


def eventually(host: LabHost, container: Json, script: str, seconds: float = 60) -> str:
    return until(lambda: inside(host, container, script), lambda seen: seen[0] == 0, seconds)[1]


def clear_networks(host: LabHost) -> None:
    """Removes what a test that failed has left of networks there."""
    client = host.client()
    for network in client.networks.list(filters={"label": SEGMENT_LABEL}):
        for container in client.containers.list(all=True, filters={"network": str(network.id)}):
            container.remove(force=True, v=True)
        network.remove()
    client.close()
    for name in network_state(host)[0]:
        if name.startswith("corral-v"):
            at_host(host, "ip", "link", "del", name)
    chains = read_rules(at_host(host, "iptables-save"))
    for number in marked(chains):
        command = [*host.inside, "iptables-restore", "--noflush"]
        subprocess.run(command, input=changes(number, {}, chains), text=True, timeout=30, check=True)


def on(http: httpx.Client, host: LabHost, kind: str = "docker") -> str:
    """The id of a lab host, as one of this kind."""
    found = http.get("/hosts", params={"kind": kind}).json()["data"]
    agents = {each["id"]: each["name"] for each in http.get("/agents").json()["data"]}
    [number] = [str(each["id"]) for each in found if agents[each["agentId"]] == host.name]
    return number

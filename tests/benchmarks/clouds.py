"""Clouds to measure: real servers with simulated hosts, as one process or as a process for each role, and the CPU that each takes."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded import noted
from tests.support.own_servers import own_servers
from tests.support.server import Server

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
STARTED = "Startup Succeeded"
ROLES = ("gateway", "engine", "projector", "agents")


@dataclass(frozen=True, slots=True)
class Cloud:
    """Where it answers, and its processes by what they do."""

    url: str
    dsn: str
    nats: str
    servers: Mapping[str, Server]
    pids: Mapping[str, int]

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time by process since it began; Postgres' with all that it started."""
        return {name: sum(map(_seconds, pids)) for name, pids in self._families().items()}

    def memory(self) -> dict[str, float]:
        """Megabytes that are each one's own, likewise: what several share is counted for none."""
        return {name: sum(map(_own_megabytes, pids)) for name, pids in self._families().items()}

    def _families(self) -> dict[str, list[int]]:
        parents = _parents()
        return {name: [root, *(pid for pid, parent in parents.items() if parent == root)] for name, root in self.pids.items()}


@contextmanager
def one_process() -> Iterator[Cloud]:
    """`corral up`: all roles, with Postgres and NATS of its own."""
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as folder, Server(Path(folder) / "home") as server:
        addresses = noted(server.home)
        pids = {"corral": server.pid, "Postgres": server.embedded("postgres"), "NATS": server.embedded("nats-server")}
        yield Cloud(server.url, str(addresses["postgres"]), str(addresses["nats"]), {"corral": server}, pids)


@contextmanager
def a_process_each(*roles: str, settings: str = "") -> Iterator[Cloud]:
    """A process for each role (all, or the gateway and these), with Postgres and NATS beside them. `settings`: CORRAL_SET."""
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as folder, ExitStack() as stack:
        _, shared = stack.enter_context(own_servers(Path(folder) / "shared"))
        servers = {}
        for role in ("gateway", *(roles or ROLES[1:])):
            servers[role] = server = Server(
                Path(folder) / role, hosts="sim" if role == "agents" else "none", roles=role, postgres=shared["dsn"], nats=shared["nats"],
                log_level="warning", set=settings,
            )  # fmt: skip
            stack.push(server)
            server.launch().until_it_says(STARTED)
        gateway = servers["gateway"].serving()
        if "agents" in servers:
            _until_it_takes_instances(gateway)
        pids = {name: server.pid for name, server in servers.items()}
        pids |= {"Postgres": shared["postgres_pid"], "NATS": shared["nats_pid"]}
        yield Cloud(gateway.url, shared["dsn"], shared["nats"], servers, pids)


def _until_it_takes_instances(server: Server) -> None:
    deadline = time.monotonic() + 30
    with server.http() as http:
        while not all(http.get(f"/v1/{each}", params={"state": "active"}).json()["data"] for each in ("hosts", "storagepools")):
            if time.monotonic() > deadline:
                raise TimeoutError("no simulated host is active after 30 s")
            time.sleep(0.05)


def _seconds(pid: int) -> float:
    """utime, stime, and those of the children that ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS


def _own_megabytes(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[1]) - int(fields[2])) * PAGE / 1e6


def _parents() -> dict[int, int]:
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            found[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return found

"""A Corral of several servers: a Postgres and a NATS of their own, and a process for each role or set of roles, each with its own home.

    async with a_cluster(tmp_path) as cluster:
        await cluster.start(gateway={"roles": "gateway,projector"}, engine={"roles": "engine"}, agents={"roles": "agents", "hosts": "sim"})
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from agents.simulated import Box
from agents.wire import PARTITIONS, partition_of
from deploy.embedded import EmbeddedNats, EmbeddedPostgres, hold, noted
from tests.support.server import Server

AT_ONCE = httpx.Limits(max_connections=50)


@dataclass
class Cluster:
    folder: Path
    postgres: EmbeddedPostgres
    nats: EmbeddedNats
    servers: dict[str, Server] = field(default_factory=dict)

    async def start(self, **servers: dict[str, str]) -> None:
        """Name -> CORRAL_ variables. All at once; returns when each serves."""
        for name, variables in servers.items():
            shared = {"postgres": self.postgres.dsn, "nats": self.nats.url}
            given: dict[str, Any] = {"hosts": "none", "log_level": "info", **shared, **variables}
            self.servers[name] = Server(self.folder / f"{name}-home", **given).launch()
        await asyncio.gather(*(asyncio.to_thread(self.servers[name].serving) for name in servers))

    async def stop(self, name: str) -> None:
        """As a supervisor does: SIGTERM."""
        await asyncio.to_thread(self.servers[name].stop, signal.SIGTERM)

    async def again(self, *names: str) -> None:
        """Those that were stopped or killed, on their homes."""
        for name in names:
            self.servers[name].launch()
        await asyncio.gather(*(asyncio.to_thread(self.servers[name].serving) for name in names))

    def __getitem__(self, name: str) -> Server:
        return self.servers[name]

    def http(self, name: str = "gateway") -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.servers[name].url, timeout=30, limits=AT_ONCE)

    async def boxes(self) -> dict[str, Box]:
        """What the simulated host of the server "agents" holds."""
        return await self.servers["agents"].boxes(1)

    # --- the log ---

    @asynccontextmanager
    async def log(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.postgres.dsn, timeout=10)
        try:
            yield connection
        finally:
            await connection.close(timeout=5)

    async def partitions(self, name: str) -> set[int]:
        """Those that a server's engine holds."""
        node = self.node(name)
        async with self.log() as log:
            rows = await log.fetch("select name from log.leases where holder = $1 and until > clock_timestamp()", node)
        return {int(row["name"].removeprefix("partition-")) for row in rows if row["name"].startswith("partition-")}

    def node(self, name: str) -> str:
        return str(noted(self.servers[name].home)["node"])

    async def until_partitions(self, name: str, count: int, seconds: float = 30) -> set[int]:
        async with asyncio.timeout(seconds):
            while len(held := await self.partitions(name)) != count:
                await asyncio.sleep(0.05)
        return held

    async def open_roots(self, partitions: Iterable[int]) -> set[str]:
        """The roots of these partitions that have something left to do now (purges to come aside)."""
        async with self.log() as log:
            rows = await log.fetch("select root from log.work where partition = any($1) and due <= clock_timestamp()", list(partitions))
        assert all(partition_of(row["root"]) in set(partitions) for row in rows)
        return {row["root"] for row in rows}

    async def first_append(self, roots: set[str], after: datetime) -> datetime:
        """When an engine first wrote for one of these roots after a moment."""
        query = """select min(at) from log.events where at > $1 and type <> 'created'
                   and coalesce(metadata ->> 'root', stream) = any($2)"""
        async with asyncio.timeout(60):
            while True:
                async with self.log() as log:
                    found: datetime | None = await log.fetchval(query, after, list(roots))
                if found is not None:
                    return found
                await asyncio.sleep(0.1)

    async def count(self, *types: str) -> int:
        async with self.log() as log:
            return int(await log.fetchval("select count(*) from log.events where type = any($1)", list(types)))


@asynccontextmanager
async def a_cluster(folder: Path) -> AsyncIterator[Cluster]:
    """Postgres and NATS run; what is started is killed at the end, whatever happened."""
    shared = folder / "shared"
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, shared, ignore_errors=True)
        home = stack.enter_context(hold(shared))
        postgres = await stack.enter_async_context(EmbeddedPostgres(home))
        nats = await stack.enter_async_context(EmbeddedNats(home, preferred=0))
        cluster = Cluster(folder, postgres, nats)
        try:
            yield cluster
        finally:
            for server in cluster.servers.values():
                if server.alive:
                    server.send(signal.SIGCONT)  # a stopped process hears it is killed, too; this is for what it started
                await asyncio.to_thread(server.kill)


async def an_active_host(http: httpx.AsyncClient) -> None:
    """Waits until some host can take instances."""
    async with asyncio.timeout(60):
        while not (await http.get("/v1/storagePools", params={"state": "active", "kind": "sim"})).json()["data"]:
            await asyncio.sleep(0.05)


def figure(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """A measured figure, shown also when all is well."""
    with capsys.disabled():
        sys.stdout.write(f"\n    {text}\n")


async def ask_for(http: httpx.AsyncClient, count: int, name: str) -> list[str]:
    """Containers, asked for at once; each must be acknowledged. -> their ids"""
    bodies = [{"imageUuid": "sim:many", "name": f"{name}-{number}"} for number in range(count)]
    answers = await asyncio.gather(*(http.post("/v1/containers", json=body) for body in bodies))
    assert Counter(answer.status_code for answer in answers) == {201: count}, next(a.text for a in answers if a.status_code != 201)
    return [answer.json()["id"] for answer in answers]


async def met_in_the_middle(cluster: Cluster, http: httpx.AsyncClient, count: int, name: str) -> list[str]:
    """Asks for half of them while their host sleeps, and for the rest while it sleeps again, after the first few were made: so some run
    and many are under way, however fast the machine is. Returns when the host is awake. -> all ids"""
    with asleep(cluster["agents"]):
        ids = await ask_for(http, count // 2, name)
    async with asyncio.timeout(60):
        while len(await cluster.boxes()) < 10:
            await asyncio.sleep(0.01)
    with asleep(cluster["agents"]):
        ids += await ask_for(http, count - count // 2, f"{name}-then")
        assert len(await cluster.open_roots(range(PARTITIONS))) > count / 5
    return ids


@contextmanager
def asleep(server: Server) -> Iterator[None]:
    """It hangs, with its connections open."""
    server.send(signal.SIGSTOP)
    try:
        yield
    finally:
        server.send(signal.SIGCONT)


async def found(http: httpx.AsyncClient, name: str) -> list[dict[str, Any]]:
    """All of a name, removed ones too (for a while)."""
    answer = await http.get("/v1/instances", params={"limit": 1000, "name_like": f"{name}-%"})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


async def until_running(http: httpx.AsyncClient, ids: Iterable[str], name: str, seconds: float) -> list[dict[str, Any]]:
    """Until all of them run; nothing may have been removed on the way. -> the instances"""
    wanted, states = set(ids), Counter[str]()
    try:
        async with asyncio.timeout(seconds):
            while True:
                instances = await found(http, name)
                states = Counter(each["state"] for each in instances)
                gone = [each for each in instances if each["state"] == "removed"]
                assert not gone, f"silence is not failure: {gone}"
                if {each["id"] for each in instances if each["state"] == "running"} >= wanted:
                    return instances
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"after {seconds} s: {states} of {len(wanted)}") from None


def one_box_each(boxes: dict[str, Box], instances: Iterable[dict[str, Any]]) -> None:
    """The host runs each instance once, was told to make it once, and runs nothing else."""
    assert {each["uuid"] for each in instances} == set(boxes)
    assert {(box.state, box.created) for box in boxes.values()} == {("running", 1)}

"""Thousands of agents that do nothing but be there: what their connections and heartbeats cost NATS and the engine.

One agent with its host is made for real, and copied in the log. Then as many simulated agents (agents.crowd) connect, each with a
connection of its own, and heartbeat every five seconds; processor time and memory are taken once all are there.
"""

from __future__ import annotations

import asyncio
import re
import resource
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import nats
import orjson
import uvloop
from nats.aio.msg import Msg

from agents.crowd.crowd import Crowd, CrowdOptions
from agents.joining.registration import Place as Registered
from agents.wire import PRESENCE_SECONDS, Message
from commands.resource import split_stream
from commands.turns.fleet import CATEGORIES, Fleet
from deploy.web import allow_many_connections
from eventstore import Recorded
from eventstore.postgres import PostgresStore
from tests.benchmarks.asking import connections
from tests.benchmarks.clouds import Cloud, a_process_each
from tests.benchmarks.copies import Copier, writes
from tests.benchmarks.report import Line, Report
from tests.support.story import sim_inventory

AGENTS = 10_000
SECONDS = 20.0
PATIENCE = 240.0
COPIER = Copier("agent", "host", "storagePool", "storagePoolHostMap", "physicalHost")
MOST = 0.5
"""Of a processor that the engine may take for them."""
SHOWN = ("engine", "NATS", "Postgres", "crowd")


def measure(agents: int = AGENTS, seconds: float = SECONDS) -> Report:
    allow_many_connections()
    with a_process_each("engine") as cloud:
        found = uvloop.run(_measure(cloud, agents, seconds))

    def told(name: str) -> tuple[str, str]:
        return f"{found[name + ' cpu']:.0%}", f"{found[name + ' memory']:.0f} MB"

    lines = [
        Line(f"until {agents:,} agents hear commands", (f"{found['until']:.1f} s", "")),
        Line("engine", told("engine"), f"at most {MOST:.0%}", found["engine cpu"] <= MOST),
        *(Line(name, told(name)) for name in SHOWN[1:]),
        Line("agents taken for silent meanwhile", (f"{found['silent']:.0f}", ""), "none", not found["silent"]),
    ]
    notes = (f"percent of one processor over {seconds:g} s, at a heartbeat every {PRESENCE_SECONDS:g} s of each; the crowd is all of them",)
    return Report("Agents that are there", ("processor", "memory"), tuple(lines), notes)


async def _measure(cloud: Cloud, agents: int, seconds: float) -> dict[str, float]:
    store = await PostgresStore.open(cloud.dsn)
    try:
        numbers = await _rows(cloud, store, agents)
        with tempfile.TemporaryDirectory(prefix="corral-bench-") as folder:
            crowd = Crowd(CrowdOptions("", Path(folder), agents))
            began = time.monotonic()
            running = asyncio.create_task(crowd.live([Registered(number, cloud.nats, created=False) for number in numbers]))
            try:
                async with asyncio.timeout(PATIENCE):
                    while crowd.hearing < agents:
                        assert not running.done(), running.exception()
                        await asyncio.sleep(0.2)
                until = time.monotonic() - began
                await asyncio.sleep(2 * PRESENCE_SECONDS)  # first heartbeats come all at once
                before, own = cloud.cpu(), time.process_time()
                await asyncio.sleep(seconds)
                after = cloud.cpu()
                found = {f"{name} cpu": (after[name] - before[name]) / seconds for name in SHOWN if name in after}
                found["crowd cpu"] = (time.process_time() - own) / seconds
                found |= {f"{name} memory": value for name, value in cloud.memory().items() if name in SHOWN}
                found["crowd memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                fleet = Fleet.load(await store.load(CATEGORIES))
                found["silent"] = sum(each.state != "active" for each in fleet.all("agent") if each.id in numbers)
            finally:
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running
        return {**found, "until": until}
    finally:
        await store.close()


async def _rows(cloud: Cloud, store: PostgresStore, count: int) -> range:
    """-> the agents' numbers"""
    client = await nats.connect(cloud.nats)
    try:
        async with connections(cloud.url, 1) as [caller]:
            made = await caller.document("POST", "/v1/agents", {"uri": "event://first", "uuid": str(uuid4()), "managedConfig": False})
        number = int(made["id"].removeprefix("1a"))
        inventory = orjson.loads(re.sub(rb'([uU]uid":")', rb"\g<1>" + str(uuid4()).encode() + b"-", orjson.dumps(sim_inventory(1))))

        async def on_command(raw: Msg) -> None:
            message = Message.decode(raw.data)
            await client.publish(message.replyTo or "", message.reply(inventory if message.name == "ping" else {}).encode())

        await client.subscribe(f"corral.agent.a{number}.>", cb=on_command)
        family = await _family(store, number)
    finally:
        await client.close()
    numbers = {kind: await store.ids(kind, count) for kind in {split_stream(each.stream)[0] for each in family}}
    for first in range(0, count, 500):
        batch = (writes(COPIER.copies(family, numbers, index)) for index in range(first, min(first + 500, count)))
        await asyncio.gather(*(store.append(each) for each in batch))
    return numbers["agent"]


async def _family(store: PostgresStore, agent: int) -> list[Recorded]:
    """All events of an agent and of what it brought, once that is active."""
    async with asyncio.timeout(PATIENCE):
        while True:
            fleet = Fleet.load(await store.load(CATEGORIES))
            hosts = [host for host in fleet.all("host") if host.row.get("agentId") == agent and host.state == "active"]
            maps = [each for host in hosts for each in fleet.having("storagePoolHostMap", "hostId", host.id)]
            pools = [pool for host in hosts for pool in fleet.pools_of(host.id) if pool.state == "active"]
            found = fleet.get("agent", agent)
            if found is not None and found.state == "active" and hosts and pools:
                physical = [f"physicalHost-{host.row['physicalHostId']}" for host in hosts if host.row.get("physicalHostId")]
                streams = [found.stream, *physical, *(each.stream for each in (*hosts, *pools, *maps))]
                return [event for stream in streams for event in await store.read(stream)]
            await asyncio.sleep(0.05)

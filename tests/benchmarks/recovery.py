"""An engine that was killed with thousands of processes under way begins again: how long until work goes on, and until all is known.

A few instances are created for real, and wait for an agent that never answers; their streams are copied into the log, with numbers,
uuids and claims of their own, until there are enough.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import nats
import orjson
import uvloop
from nats.aio.client import Client

from agents.wire import Message, partition_of
from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.ids import api_id
from commands.events import PROGRESSED, STEP_REQUESTED
from commands.resource import fold_all, split_stream
from commands.settings.settings import DEFAULTS
from commands.turns.fleet import CATEGORIES, Fleet
from eventstore import Recorded, Work
from eventstore.postgres import PostgresStore
from tests.benchmarks.asking import PATIENCE, Connection, connections
from tests.benchmarks.clouds import STARTED, Cloud, a_process_each
from tests.benchmarks.copies import Copier, writes
from tests.benchmarks.report import Line, Report
from tests.benchmarks.watching import Watch, watching
from tests.support.story import sim_inventory

OPEN = 10_000
AGENTS = 10
WANTED = 3.0
SILENT = "compute.instance.activate"
IN_FLIGHT: int = DEFAULTS["agent.commands.in.flight"]
KNOWN = "everything-known"
"""What the engine says in its log once all that was open had a turn, or waits for its place at an agent."""

COPIER = Copier("instance", "volume", "instanceHostMap", "volumeStoragePoolMap")


def measure(open_processes: int = OPEN) -> Report:
    with a_process_each("engine") as cloud:
        times, sent = uvloop.run(recover(cloud, open_processes))
    lines = (
        _line(f"killed with {open_processes:,} open processes: to the first turn", times["turn"]),
        _line("  until a start asked for when it serves runs", times["first"]),
        _line("  until all that is open waits in its place", times["known"]),
        _line(f"  until each agent is asked as much as it may be ({IN_FLIGHT} commands)", times["asked"]),
        Line("  until the process says that it serves", (f"{times['serving']:.2f} s",)),
        Line("  commands sent again by then", (f"{sent:,}",)),
    )
    notes = (f"an engine's process of its own, from its launch on; {AGENTS} agents do not answer, one does",)
    return Report("Recovery after kill -9", ("",), lines, notes)


def _line(what: str, seconds: float) -> Line:
    return Line(what, (f"{seconds:.2f} s",), f"at most {WANTED:g} s", seconds <= WANTED)


async def recover(cloud: Cloud, count: int) -> tuple[dict[str, float], int]:
    """-> seconds from the launch until the first `turn`, until it is `serving`, until the `first` new start after that runs, until
    all is `known`, until all that may be was `asked` again; and how many commands came again meanwhile"""
    engine = cloud.servers["engine"]
    store = await PostgresStore.open(cloud.dsn)
    async with (
        _closing(store), _agents(cloud, store) as (hosts, heard), watching(cloud.dsn) as watch,
    ):  # fmt: skip
        waiting = [await _left_waiting(cloud, store, host) for host in hosts[1:]]
        engine.kill()
        made = await _copied(store, waiting, count - len(waiting))
        heard.clear()
        began = time.monotonic()
        engine.launch(log_level="info")
        starting: asyncio.Task[float] | None = None
        times: dict[str, float] = {}
        while len(times) < 5:
            said, runs = engine.said(), starting is not None and starting.done()
            reached = {
                "turn": bool(heard), "first": runs, "known": KNOWN in said, "serving": STARTED in said,
                "asked": len(heard) >= min(count, AGENTS * IN_FLIGHT),
            }  # fmt: skip
            for name in [name for name, is_reached in reached.items() if is_reached]:
                times.setdefault(name, time.monotonic() - began)
            if "serving" in times and starting is None:
                starting = asyncio.create_task(_start(cloud, watch, hosts[0]))
            if time.monotonic() - began > PATIENCE:
                raise TimeoutError(f"after {PATIENCE:g} s of {made + len(waiting)} open processes: {times}, {engine.said()[-2000:]}")
            await asyncio.sleep(0.01)
        return times, len(heard)


async def _start(cloud: Cloud, watch: Watch, host: str) -> float:
    async with connections(cloud.url, 1) as [caller]:
        new = await caller.document("POST", "/v1/containers", {"imageUuid": "sim:bench", "requestedHostId": host})
        return await watch.until(f"instance-{new['id'].removeprefix('1i')}", "running", PATIENCE)


@asynccontextmanager
async def _closing(store: PostgresStore) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await store.close()


@asynccontextmanager
async def _agents(cloud: Cloud, store: PostgresStore) -> AsyncIterator[tuple[list[str], set[str]]]:
    """Agents with a host each, in this process: the first does what it is told, the others start nothing. -> hosts, commands heard"""
    client = await nats.connect(cloud.nats)
    heard: set[str] = set()
    try:
        async with connections(cloud.url, 1) as [caller]:
            hosts = [await _agent(store, client, caller, heard, answers=number == 0) for number in range(AGENTS + 1)]
        yield hosts, heard
    finally:
        await client.close()


async def _agent(store: PostgresStore, client: Client, caller: Connection, heard: set[str], *, answers: bool) -> str:
    """-> its host's id"""
    inventory = orjson.loads(re.sub(rb'([uU]uid":")', rb"\g<1>" + uuid4().hex.encode() + b"-", orjson.dumps(sim_inventory(1))))

    async def on_command(raw: Any) -> None:
        message = Message.decode(raw.data)
        heard.add(message.id)
        if message.name != SILENT or answers:
            await client.publish(message.replyTo or "", message.reply(inventory if message.name == "ping" else {}).encode())

    made = await caller.document("POST", "/v1/agents", {"uri": "sim://", "uuid": str(uuid4()), "managedConfig": False})
    await client.subscribe(f"corral.agent.a{made['id'].removeprefix('1a')}.>", cb=on_command)
    await client.flush()
    async with asyncio.timeout(PATIENCE):
        while True:
            fleet = Fleet.load(await store.load(CATEGORIES))  # the log's own word: no views are kept here
            for host in fleet.all("host"):
                mine = api_id("agent", host.row["agentId"], CATALOGUE) == made["id"] and host.state == "active"
                if mine and any(pool.state == "active" for pool in fleet.pools_of(host.id)):
                    return api_id("host", host.id, CATALOGUE)
            await asyncio.sleep(0.05)


async def _left_waiting(cloud: Cloud, store: PostgresStore, host: str) -> list[Recorded]:
    """An instance that waits for its agent, for so long that it says how far it is: all events of its root."""
    async with connections(cloud.url, 1) as [caller]:
        made = await caller.document("POST", "/v1/containers", {"imageUuid": "sim:bench", "requestedHostId": host})
    root = f"instance-{made['id'].removeprefix('1i')}"
    async with asyncio.timeout(PATIENCE):
        while True:
            events = await store.read_root(root)
            if any(event.data.get("command") == SILENT for event in events) and events[-1].type == PROGRESSED:
                return events
            await asyncio.sleep(0.02)


async def _copied(store: PostgresStore, roots: list[list[Recorded]], count: int) -> int:
    """Appends copies of these roots, by turns. -> how many"""
    numbers = {kind: await store.ids(kind, count) for kind in {split_stream(event.stream)[0] for event in roots[0]}}
    a_copy = fold_all(COPIER.copies(roots[0], numbers, 0))
    assert any(each.open for each in a_copy.values()), "a copy must be as open as what it is copied from"
    for first in range(0, count, 500):
        batch = range(first, min(first + 500, count))
        await asyncio.gather(*(_append(store, COPIER.copies(roots[number % len(roots)], numbers, number)) for number in batch))
    return count


async def _append(store: PostgresStore, copies: list[Recorded]) -> None:
    root = copies[0].root
    await store.append(writes(copies), work=[Work(root, partition_of(root), waits_for=_asked(copies))])


def _asked(events: list[Recorded]) -> int:
    """The agent that the root's last command went to: all that it waits for, as its last turn would have said."""
    agent: int = next(event.data["agent"] for event in reversed(events) if event.type == STEP_REQUESTED)
    return agent

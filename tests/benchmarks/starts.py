"""Starts, create to running, as many as it can: so many at work at any time, over thousands of instances; what each costs, by process.

Once with all roles in one process, once with a process for each role. A start counts from its POST to the event that says running.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import asyncpg
import uvloop

from tests.benchmarks.asking import PATIENCE, Connection, connections
from tests.benchmarks.clouds import Cloud, a_process_each, one_process
from tests.benchmarks.create import plain_appends
from tests.benchmarks.report import Line, Report, ms, share
from tests.benchmarks.watching import COUNTS, head, watching

STARTS, STARTS_APART = 5000, 1500
AT_WORK = 32
WARM_UP = 50
WANTED_RATE, WANTED_EVENTS, WANTED_APPENDS = 100.0, 25.0, 5.0


@dataclass(frozen=True, slots=True)
class Load:
    """What some starts took, all in all. `cpu`: seconds by process."""

    starts: int
    seconds: float
    waits: list[float]
    events: int
    """Of all streams, those shared by many included."""
    appends: float
    """A start, on average."""
    batches: int
    cpu: Mapping[str, float]

    @property
    def rate(self) -> float:
        return self.starts / self.seconds


def measure(starts: int = STARTS, apart: int = STARTS_APART) -> Report:
    with one_process() as cloud:
        together = uvloop.run(load(cloud, starts))
        _, appends = uvloop.run(plain_appends(cloud.dsn, 1, together.events, AT_WORK))
    with a_process_each() as cloud:
        each = uvloop.run(load(cloud, apart))
    per_start = together.events / starts
    lines = (
        Line(
            f"one process: {starts:,} starts, {AT_WORK} at work", (f"{together.rate:,.0f} starts/s", *_waits(together)),
            f"at least {WANTED_RATE:g}", together.rate >= WANTED_RATE,
        ),
        Line("  events a start", (f"{per_start:.1f}",), f"at most {WANTED_EVENTS:g}", per_start <= WANTED_EVENTS),
        Line("  appends a start", (f"{together.appends:.1f}",), f"at most {WANTED_APPENDS:g}", together.appends <= WANTED_APPENDS),
        Line("  commits a start", (f"{together.batches / starts:.1f}",)),
        *_cpu(together),
        Line("  baseline: their events alone, as plain appends", (f"{together.events / appends:,.0f} events/s",)),
        Line(f"a process each role: {apart:,} starts, {AT_WORK} at work", (f"{each.rate:,.0f} starts/s", *_waits(each))),
        *_cpu(each),
    )  # fmt: skip
    notes = (
        "one HTTP client beside them on this machine; every event is on disk before anybody hears of it",
        f"{starts:,} starts take {together.seconds / appends:,.0f} times as long as their events alone, appended one by one",
    )
    return Report("Starts", ("", "p50", "p99"), lines, notes)


async def load(cloud: Cloud, starts: int, at_work: int = AT_WORK) -> Load:
    async with watching(cloud.dsn) as watch, connections(cloud.url, at_work) as callers:

        async def start(caller: Connection, name: str) -> float:
            began = time.time()
            made = await caller.document("POST", "/v1/containers", {"imageUuid": "sim:bench", "name": name})
            return await watch.until(f"instance-{made['id'].removeprefix('1i')}", "running", PATIENCE) - began

        async def go_on(caller: Connection, names: Iterator[str]) -> list[float]:
            return [await start(caller, name) for name in names]

        async def all_of(count: int, name: str) -> list[float]:
            names = (f"{name}-{number}" for number in range(count))
            found = await asyncio.gather(*(go_on(caller, names) for caller in callers))
            return [wait for waits in found for wait in waits]

        await all_of(WARM_UP, "warm-up")
        counting = await asyncpg.connect(cloud.dsn, timeout=10)
        try:
            cpu, first, batches = cloud.cpu(), await head(counting), await _batches(counting)
            began = time.perf_counter()
            waits = await all_of(starts, "start")
            seconds = time.perf_counter() - began
            await asyncio.sleep(0.2)  # what follows a start (its views, its announcements) belongs to it
            spent = {name: now - cpu[name] for name, now in cloud.cpu().items()}
            last = await head(counting)
            [(_, appends, roots)] = await counting.fetch(COUNTS, first, last, timeout=PATIENCE)
            return Load(starts, seconds, waits, last - first, appends / roots, await _batches(counting) - batches, spent)
        finally:
            await counting.close()


async def _batches(connection: asyncpg.Connection) -> int:
    return int(await connection.fetchval("select sum(batch) from log.writers"))


def _waits(load: Load) -> tuple[str, str]:
    return ms(share(load.waits, 0.5)), ms(share(load.waits, 0.99))


def _cpu(load: Load) -> Iterator[Line]:
    yield Line("  processor time a start", (ms(sum(load.cpu.values()) / load.starts),))
    for name, seconds in load.cpu.items():
        yield Line(f"  - {name}", (ms(seconds / load.starts),))

"""Whole lives of instances: created and running, stopped, removed, purged, each step asked for as soon as the one before is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import asyncpg
import uvloop

from tests.benchmarks.asking import PATIENCE, Connection, connections
from tests.benchmarks.clouds import Cloud, one_process
from tests.benchmarks.report import Line, Report, ms, share
from tests.benchmarks.watching import head, watching

LIVES = 500
AT_WORK = 32
STEPS = (("POST", "/?action=stop", "stopped"), ("DELETE", "", "removed"), ("POST", "/?action=purge", "purged"))
STATES = ("running", "stopped", "removed", "purged")


def measure(lives: int = LIVES) -> Report:
    with one_process() as cloud:
        seconds, waits, events, cpu = uvloop.run(live(cloud, lives))
    whole = [sum(each) for each in waits]
    lines = (
        Line(f"{lives} lives, {AT_WORK} at work", (f"{lives / seconds:,.0f} lives/s", ms(share(whole, 0.5)), ms(share(whole, 0.99)))),
        *(
            Line(f"  to {state}", ("", ms(share([each[number] for each in waits], 0.5)), ms(share([each[number] for each in waits], 0.99))))
            for number, state in enumerate(STATES)
        ),
        Line("  events a life", (f"{events / lives:.0f}",)),
        *(Line(f"  processor time a life: {name}", (ms(spent / lives),)) for name, spent in cpu.items()),
    )
    return Report("Whole lives: create, stop, remove, purge", ("", "p50", "p99"), lines, ("one process; each step from its request on",))


async def live(cloud: Cloud, lives: int) -> tuple[float, list[list[float]], int, dict[str, float]]:
    """-> seconds in all, each life's seconds by step, events, processor time by process"""
    async with watching(cloud.dsn) as watch, connections(cloud.url, AT_WORK) as callers:

        async def one(caller: Connection, name: str) -> list[float]:
            clock = [time.time()]
            made = await caller.document("POST", "/v1/containers", {"imageUuid": "sim:bench", "name": name})
            stream, waits = f"instance-{made['id'].removeprefix('1i')}", []
            waits.append(await watch.until(stream, "running", PATIENCE) - clock[0])
            for method, path, state in STEPS:
                began = time.time()
                await caller.document(method, f"/v1/containers/{made['id']}{path}")
                waits.append(await watch.until(stream, state, PATIENCE) - began)
            return waits

        async def go_on(caller: Connection, names: Iterator[str]) -> list[list[float]]:
            return [await one(caller, name) for name in names]

        async def all_of(count: int) -> list[list[float]]:
            names = (f"life-{number}" for number in range(count))
            return [waits for each in await asyncio.gather(*(go_on(caller, names) for caller in callers)) for waits in each]

        await all_of(min(lives, AT_WORK))
        counting = await asyncpg.connect(cloud.dsn, timeout=10)
        try:
            cpu, first, began = cloud.cpu(), await head(counting), time.perf_counter()
            waits = await all_of(lives)
            seconds = time.perf_counter() - began
            spent = {name: now - cpu[name] for name, now in cloud.cpu().items()}
            return seconds, waits, await head(counting) - first, spent
        finally:
            await counting.close()

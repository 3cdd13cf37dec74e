"""How far the views are behind the log under a steady load: starts at a fixed rate, whether those before have ended or not.

An event's lag is the time from its commit (rather, from when its batch was stamped, just before) to the moment at which the
projector's checkpoint was seen at its position or behind it.
"""

from __future__ import annotations

import asyncio

import asyncpg
import uvloop

from tests.benchmarks.asking import PATIENCE, Connection, connections
from tests.benchmarks.clouds import Cloud, a_process_each, one_process
from tests.benchmarks.report import Line, Report, ms, share
from tests.benchmarks.watching import Watch, head, watching

RATE, SECONDS = 50, 10.0
LOOK = 0.002
CALLERS = 32
WANTED = 0.100


def measure(rate: int = RATE, seconds: float = SECONDS) -> Report:
    with one_process() as cloud:
        together, starts = uvloop.run(lags(cloud, rate, seconds))
    with a_process_each() as cloud:
        apart, starts_apart = uvloop.run(lags(cloud, rate, seconds))
    worst = share(together, 0.99)
    lines = (
        Line("one process: event to view", (*_three(together),), f"p99 at most {WANTED * 1000:g} ms", worst <= WANTED),
        Line("  create to running meanwhile", _three(starts)),
        Line("a process each role: event to view", _three(apart), f"p99 at most {WANTED * 1000:g} ms", share(apart, 0.99) <= WANTED),
        Line("  create to running meanwhile", _three(starts_apart)),
    )
    notes = (f"{rate} starts a second for {seconds:g} s, {len(together):,} events; the checkpoint was looked at every {LOOK * 1000:g} ms",)
    return Report("Lag of the views at a steady load", ("p99", "p50", "most"), lines, notes)


async def lags(cloud: Cloud, rate: int, seconds: float) -> tuple[list[float], list[float]]:
    """-> each event's lag, and each start's time to running"""
    async with watching(cloud.dsn, LOOK) as watch, connections(cloud.url, CALLERS) as callers:
        await steady(watch, callers, rate, min(1.0, seconds))  # warm up
        reading = await asyncpg.connect(cloud.dsn, timeout=10)
        try:
            first = await head(reading)
            waits = await steady(watch, callers, rate, seconds)
            last = await head(reading)
            async with asyncio.timeout(PATIENCE):
                while not watch.folded or watch.folded[-1][0] < last:
                    await asyncio.sleep(LOOK)
            events = await reading.fetch(
                "select position, extract(epoch from at)::float8 from log.events where position > $1 and position <= $2", first, last
            )
            return watch.lags([tuple(each) for each in events]), waits
        finally:
            await reading.close()


async def steady(watch: Watch, callers: list[Connection], rate: int, seconds: float) -> list[float]:
    """Open loop: a start every 1/rate seconds, by whichever connection is free. -> seconds from when each was due to running"""
    loop, free = asyncio.get_running_loop(), asyncio.Queue[Connection]()
    for each in callers:
        free.put_nowait(each)
    clock = loop.time()

    async def start(number: int) -> float:
        due = clock + number / rate
        await asyncio.sleep(due - loop.time())
        caller = await free.get()
        made = await caller.document("POST", "/v1/containers", {"imageUuid": "sim:bench"})
        free.put_nowait(caller)
        await watch.until(f"instance-{made['id'].removeprefix('1i')}", "running", PATIENCE)
        return loop.time() - due

    return list(await asyncio.gather(*(start(number) for number in range(int(rate * seconds)))))


def _three(values: list[float]) -> tuple[str, str, str]:
    return ms(share(values, 0.99)), ms(share(values, 0.5)), ms(max(values))

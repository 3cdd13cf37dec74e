"""How fast the log is, beside what this machine's Postgres can do at all.

The ceiling is the raw multi-row insert into the log's own table (100 rows a statement, one connection), the floor one insert a
transaction (32 connections). All are measured in turns, several rounds, in one run; the table shows medians.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median

import asyncpg
import orjson
import uvloop

from deploy.embedded import EmbeddedPostgres, Home, hold
from eventstore import Event, Write
from eventstore.postgres import PostgresStore
from tests.benchmarks.report import Line, Report

ROUNDS = 5
SECONDS = 0.8  # a measurement; 5 rounds of 5 measurements and the warm-up stay below half a minute
CALLERS = (1, 32, 256)
WANTED_OF_CEILING, WANTED_OF_FLOOR = 0.6, 3.0

DATA = {
    "process": "instance.start", "from": "stopped", "via": "starting", "to": "running",
    "changes": {"+data": {"+fields": {"imageUuid": "docker:nginx", "startCount": 3, "hostId": 2}}},
}  # fmt: skip
METADATA = {"correlation": "0198c1f2a7b4", "causation": "instance-54@7", "actor": 3}
INSERT = """INSERT INTO log.events (position, stream, version, type, data, metadata, at)
SELECT p, s, v, t, d::jsonb, m::jsonb, clock_timestamp()
FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[]) AS x (p, s, v, t, d, m)"""

names = count()


@dataclass(slots=True)
class Figures:
    """What the rounds measured: events a second, and how long each append took (seconds)."""

    rates: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return median(self.rates)

    def wait(self, share: float) -> float:
        return sorted(self.waits)[int(len(self.waits) * share)] * 1000 if self.waits else 0.0


async def _sample(figures: Figures, callers: int, act: Callable[[int], Callable[[], Awaitable[int]]]) -> None:
    """`callers` tasks that act again and again for SECONDS; each act answers how many events it wrote or read."""
    written = 0
    acts = [act(number) for number in range(callers)]
    began = time.perf_counter()

    async def call(each: Callable[[], Awaitable[int]]) -> None:
        nonlocal written
        while (before := time.perf_counter()) < began + SECONDS:
            events = await each()
            written += events
            figures.waits.append(time.perf_counter() - before)

    async with asyncio.TaskGroup() as group:
        for each in acts:
            group.create_task(call(each))
    figures.rates.append(written / (time.perf_counter() - began))


def appends(store: PostgresStore) -> Callable[[int], Callable[[], Awaitable[int]]]:
    def caller(_: int) -> Callable[[], Awaitable[int]]:
        stream, version = f"instance-{next(names)}", 0

        async def append() -> int:
            nonlocal version
            await store.append([Write(stream, version, (Event("transitioned", DATA, METADATA),))])
            version += 1
            return 1

        return append

    return caller


def raw(connections: list[asyncpg.Connection], position: Iterator[int], rows: int) -> Callable[[int], Callable[[], Awaitable[int]]]:
    """Inserts of `rows` events, with everything but their positions and streams made beforehand."""
    data, metadata = [orjson.dumps(DATA).decode()] * rows, [orjson.dumps(METADATA).decode()] * rows
    versions, types = [1] * rows, ["transitioned"] * rows

    def caller(number: int) -> Callable[[], Awaitable[int]]:
        connection = connections[number]

        async def insert() -> int:
            positions = [next(position) for _ in range(rows)]
            streams = [f"raw-{each}" for each in positions]
            await connection.execute(INSERT, positions, streams, versions, types, data, metadata)
            return rows

        return insert

    return caller


def reads(store: PostgresStore) -> Callable[[int], Callable[[], Awaitable[int]]]:
    def caller(_: int) -> Callable[[], Awaitable[int]]:
        after = 0

        async def read() -> int:
            nonlocal after
            events = await store.read_all(after)
            after = events[-1].position if len(events) == 1000 else 0
            return len(events)

        return read

    return caller


async def run(dsn: str) -> dict[str, Figures]:
    figures = {name: Figures() for name in (*map(str, CALLERS), "ceiling", "floor", "read")}
    store = await PostgresStore.open(dsn)
    connections = [await asyncpg.connect(dsn) for _ in range(32)]
    try:
        await _sample(Figures(), 32, appends(store))  # warm up
        for _ in range(ROUNDS):
            for callers in CALLERS:
                await _sample(figures[str(callers)], callers, appends(store))
            position = count(await store.head() + 1)
            await _sample(figures["ceiling"], 1, raw(connections, position, 100))
            await _sample(figures["floor"], 32, raw(connections, position, 1))
        await _sample(figures["read"], 1, reads(store))
    finally:
        for connection in connections:
            await connection.close()
        await store.close()
    return figures


def measure() -> Report:
    with a_home() as home:
        figures = uvloop.run(_run(home))
    most = figures[str(CALLERS[-1])].rate
    lines = [
        *(_line(f"{callers} concurrent, versions checked", figures[str(callers)]) for callers in CALLERS),
        _line("ceiling: raw insert of 100 rows, 1 connection", figures["ceiling"]),
        _line("floor: 1 insert a transaction, 32 connections", figures["floor"]),
        _line("read and decoded, 1000 a query", figures["read"]),
    ]
    for name, wanted in (("ceiling", WANTED_OF_CEILING), ("floor", WANTED_OF_FLOOR)):
        ratio = most / figures[name].rate
        lines.append(Line(f"{CALLERS[-1]} callers, of the {name}", (f"{ratio:.2f}",), f"at least {wanted:g}", ratio >= wanted))
    notes = (f"{ROUNDS} rounds of {SECONDS:g} s, medians; embedded Postgres, fsync on",)
    return Report("Events of the log", ("events/s", "p50 ms", "p99 ms"), tuple(lines), notes)


async def _run(home: Home) -> dict[str, Figures]:
    async with EmbeddedPostgres(home) as postgres:
        return await run(postgres.dsn)


def _line(what: str, figures: Figures) -> Line:
    return Line(what, (f"{figures.rate:,.0f}", f"{figures.wait(0.5):.2f}", f"{figures.wait(0.99):.2f}"))


@contextmanager
def a_home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as folder, hold(Path(folder)) as home:
        yield home

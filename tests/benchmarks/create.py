"""From POST to running on the simulated host, over HTTP, one after another and many at once.

Beside it, in the same run: what an empty request takes, and as many plain appends to the same Postgres, so that figures of
different machines can be told by their ratios.
"""

from __future__ import annotations

import asyncio
import http.client
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import orjson
import uvloop

from deploy.embedded import noted
from eventstore import Event, Write
from eventstore.postgres import PostgresStore
from tests.benchmarks.append import DATA, METADATA
from tests.benchmarks.report import Line, Report, ms, share
from tests.support.server import Server

SAMPLES, BURST = 50, 200
POLL = 0.005
WANTED = 0.150
"""Seconds at the median, from the POST to the first answer that says running."""

PATIENCE = 60.0


class Api:
    """One kept-alive connection with the standard library's client: the least that a client costs."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=PATIENCE)

    def close(self) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, fields: dict[str, Any] | None = None) -> bytes:
        self._connection.request(method, path, orjson.dumps(fields) if fields else None, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        body = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {body.decode(errors='replace')}")
        return body

    def document(self, method: str, path: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = orjson.loads(self.ask(method, path, fields))
        assert isinstance(answer, dict)
        return answer

    def lines(self, path: str) -> Iterator[bytes]:
        """An answer that doesn't end."""
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        while line := response.readline():
            yield line


@contextmanager
def api_of(server: Server) -> Iterator[Api]:
    with closing(Api(server.url)) as api:
        yield api


@dataclass(frozen=True, slots=True)
class Burst:
    seconds: float
    accepted: float
    """Seconds until the last was acknowledged."""
    events: int


def measure(samples: int = SAMPLES, burst: int = BURST) -> Report:
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as folder, Server(Path(folder) / "home") as server:
        with api_of(server) as api:
            for _ in range(min(samples, 5)):
                create(api)  # warm up
            creates = [create(api) for _ in range(samples)]
            pings = [timed(api, "/ping") for _ in range(samples)]
        many = create_at_once(server, burst)
        single, appends = uvloop.run(plain_appends(str(noted(server.home)["postgres"]), samples, many.events, burst))
    middle, ping, append = median(creates), median(pings), median(single)
    per_start = many.events / burst
    lines = (
        Line(
            f"create to running, one after another ({samples})", (ms(middle), ms(share(creates, 0.99))),
            f"at most {WANTED * 1000:g} ms", middle <= WANTED,
        ),
        Line(f"baseline: GET /ping ({samples})", (ms(ping), ms(share(pings, 0.99)))),
        Line(f"baseline: one plain append ({samples})", (ms(append), ms(share(single, 0.99)))),
        Line(f"{burst} at once, each by a connection of its own", (f"{burst / many.seconds:,.0f} starts/s",)),
        Line("  of these, acknowledged", (f"{burst / many.accepted:,.0f} creates/s",)),
        Line("  events appended by them", (f"{many.events / many.seconds:,.0f} events/s",)),
        Line(f"baseline: as many plain appends, {burst} callers", (f"{many.events / appends:,.0f} events/s",)),
    )  # fmt: skip
    notes = (
        f"polled every {POLL * 1000:g} ms over HTTP; client and server share this machine; {per_start:.0f} events a start",
        f"a create is {middle / ping:,.0f} pings, {middle / append:,.0f} plain appends; {burst} starts take "
        f"{many.seconds / appends:,.0f} times as long as their events alone, appended one by one",
    )
    return Report("Create to running, simulated host", ("median", "p99"), lines, notes)


def create(api: Api) -> float:
    """-> seconds from the POST to the first answer that says running"""
    began = time.perf_counter()
    made = api.document("POST", "/v1/containers", {"imageUuid": "sim:bench"})
    while api.document("GET", f"/v1/containers/{made['id']}")["state"] != "running":
        if time.perf_counter() - began > PATIENCE:
            raise TimeoutError(f"{made['id']} is not running after {PATIENCE:.0f} s")
        time.sleep(POLL)
    return time.perf_counter() - began


def timed(api: Api, path: str) -> float:
    began = time.perf_counter()
    api.ask("GET", path)
    return time.perf_counter() - began


def create_at_once(server: Server, count: int) -> Burst:
    """All are asked for at once; the log tells when the last one runs, so that no polling slows them down."""
    with api_of(server) as watching, ThreadPoolExecutor(count) as callers:
        before = int(watching.document("GET", "/corral/info")["position"])
        told = watching.lines(f"/v1/events?follow=true&after={before}&type=process-succeeded")
        began = time.perf_counter()
        asking = [callers.submit(_create_one, server, f"burst-{number}") for number in range(count)]
        running = position = 0
        while running < count:
            line = next(told)
            if line.strip():
                event = orjson.loads(line)
                running += event["data"].get("process") == "instance.start"
                position = event["position"]
            if time.perf_counter() - began > PATIENCE:
                raise TimeoutError(f"{running} of {count} run after {PATIENCE:.0f} s")
        seconds = time.perf_counter() - began
        accepted = max(each.result(PATIENCE) for each in asking) - began
    return Burst(seconds, accepted, position - before)


def _create_one(server: Server, name: str) -> float:
    """-> when it was acknowledged"""
    with api_of(server) as api:
        api.ask("POST", "/v1/containers", {"imageUuid": "sim:bench", "name": name})
        return time.perf_counter()


async def plain_appends(dsn: str, samples: int, events: int, callers: int) -> tuple[list[float], float]:
    """To a log of its own on the server's Postgres: seconds of each of some alone, and of all `events` by the callers together."""
    name = f"bench_{uuid.uuid4().hex[:8]}"
    connection = await asyncpg.connect(dsn, timeout=10)
    await connection.execute(f"create database {name}")
    try:
        store = await PostgresStore.open(urlunsplit(urlsplit(dsn)._replace(path=f"/{name}")))
        try:
            alone = (await _append(store, "instance-0", samples + 5))[5:]  # the first ones prepare
            began = time.perf_counter()
            shares = [len(range(number, events, callers)) for number in range(callers)]
            await asyncio.gather(*(_append(store, f"instance-{number}", each) for number, each in enumerate(shares, 1)))
            return alone, time.perf_counter() - began
        finally:
            await store.close()
    finally:
        await connection.execute(f"drop database {name} with (force)")
        await connection.close()


async def _append(store: PostgresStore, stream: str, count: int) -> list[float]:
    waits = []
    for version in range(count):
        began = time.perf_counter()
        await store.append([Write(stream, version, (Event("transitioned", DATA, METADATA),))])
        waits.append(time.perf_counter() - began)
    return waits

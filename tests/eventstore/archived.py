"""Logs to archive, and what has to be the same of them before and after."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg

from eventstore import Event, Recorded, Write
from eventstore.archiving import Archived, archive_before
from eventstore.postgres import PostgresStore

PARTITION = 50
CLOSED = {"closed": True}


def trace_of(request: str) -> str:
    return request.encode().hex().zfill(32)


async def put(store: PostgresStore, stream: str, count: int = 1, *, close: bool = False, root: str = "", request: str = "r") -> None:
    version = len(await store.read(stream))
    data = [{"n": n, "big": 2**60, "only": f"{stream}@{version + n}"} for n in range(count)]
    metadata = {"correlation": request, "traceparent": f"00-{trace_of(request)}-00f067aa0ba902b7-01"}
    events = [Event("updated", each, metadata) for each in data]
    if close:
        events[-1] = replace(events[-1], type="removed", metadata={**metadata, **CLOSED})
    await store.append([Write(stream, version, tuple(events), root)])


async def filled(store: PostgresStore, roots: int = 40) -> list[Recorded]:
    """Interleaved roots with a child each; every other one closed. The last event is none of theirs."""
    chance = random.Random(7)
    order = [number for number in range(roots) for _ in range(3)]
    chance.shuffle(order)
    for number in order:
        await put(store, f"instance-{number}", 2, request=f"r{number}")
        await put(store, f"volume-{number}", 1, root=f"instance-{number}", request=f"r{number}")
    for number in range(0, roots, 2):
        await put(store, f"instance-{number}", 1, close=True)
        await put(store, f"volume-{number}", 1, close=True, root=f"instance-{number}")
    await put(store, "host-1", 3)
    return await store.read_all(limit=10_000)


async def run(database: str, folder: Path, before: int, **how: Any) -> Archived:
    return await archive_before(database, folder, before, file_events=30, partition_size=PARTITION, **how)


async def fetch(database: str, query: str, *values: Any) -> list[Any]:
    connection = await asyncpg.connect(database)
    try:
        return [tuple(row) for row in await connection.fetch(query, *values)]
    finally:
        await connection.close()


async def reads_as_before(store: PostgresStore, log: list[Recorded]) -> None:
    """Every way to read."""
    head = len(log)
    assert [event.position for event in log] == list(range(1, head + 1))
    assert await store.read_all(limit=10_000) == log
    for after, limit in ((0, 1), (0, 7), (3, 100), (head - 5, 100), (head, 5), (head + 5, 5)):
        assert await store.read_all(after, limit) == log[after : after + limit]
        assert await store.read_all(after, limit, to_position=after + 4) == log[after : after + min(limit, 4)]
    for after, limit in ((0, 3), (17, 10_000)):
        assert await store.read_all(after, limit, types=["removed"]) == [e for e in log[after:] if e.type == "removed"][:limit]
    assert await store.read_all(0, 2, to_position=60, types=["updated"]) == [e for e in log[:60] if e.type == "updated"][:2]
    for request in ("r0", "r1", "r", "none"):
        fitting = [event for event in log if event.metadata.get("correlation") == request]
        assert await store.read_all(limit=10_000, correlation=request) == fitting
        assert await store.read_all(limit=10_000, correlation=trace_of(request)) == fitting
        assert await store.read_all(limit=10_000, correlation=request, types=["removed"]) == [e for e in fitting if e.type == "removed"]
        assert await store.read_all(limit=2, correlation=request) == fitting[:2]
    for stream in sorted({event.stream for event in log})[::9]:
        own = [event for event in log if event.stream == stream]
        assert await store.read(stream) == own
        assert await store.read(stream, after=2) == own[2:]
        assert await store.read(stream, to_position=own[1].position) == own[:2]
        assert (await store.resume(stream, "f")).events == own
    for request in ("r0", "r1"):
        streams = {event.stream for event in log if event.metadata.get("correlation") == request and event.stream.startswith("volume-")}
        own = [event for event in log if event.stream in streams]
        assert own
        part = {"metadata": {"correlation": request}, "data": {"n": 0}}
        assert await store.read_having("volume", part) == own
        assert await store.read_having("volume", part, own[0].position) == own[:1]
    for root in ("instance-0", "instance-1"):
        own = [event for event in log if event.root == root]
        assert await store.read_root(root) == own
        assert await store.read_root(root, to_position=own[2].position) == own[:3]
        assert (await store.resume_root(root, "f")).events == own

"""What an event costs a gateway that many subscribe to, of whom one wants it: processor time, with few subscribers and with many.

Each round publishes the same number of events over NATS, all for the subscriber that came last, and takes what the gateway's process
used meanwhile, less what it uses while nothing happens.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from urllib.parse import urlsplit

import nats
import orjson
import uvloop
from nats.aio.client import Client

from deploy.web import allow_many_connections
from gateway.bus.names import published_subject
from tests.benchmarks.clouds import Cloud, a_process_each
from tests.benchmarks.report import Line, Report

FEW, MANY = 10, 5_000
EVENTS = 30_000
ROUNDS = 3
WANTED = 1.5
PATIENCE = 120.0
AT_ONCE = 20
"""Events on their way: what is sent faster than it is heard would measure how they wait."""

SETTINGS = "api.sub.ping.interval.millis=3600000"
"""No pings meanwhile: how many those are is no matter of the events."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A way on which events come."""

    what: str
    name: str
    """Of the event that the subscriber of this number wants."""
    subject: str

    def wanted(self, number: int) -> str:
        return self.name.format(number)

    def on(self, number: int) -> str:
        return self.subject.format(number)


KINDS = (
    Kind("asked of a handler", "instance.start;handler=bench{0}", "corral.handler.bench{0}.instance.start"),
    Kind("published by anybody", "bench.event.{0}", published_subject("bench.event") + ".{0}"),
)


class Listener:
    """A subscriber that counts what it hears."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    @classmethod
    async def open(cls, url: str, *wanted: str) -> Listener:
        address = urlsplit(url)
        body = orjson.dumps({"eventNames": wanted})
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            head = f"POST /v1/subscribe HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            told = await reader.readuntil(b"\r\n\r\n")
            if b" 201 " not in told.split(b"\r\n")[0] + b" ":
                raise RuntimeError(told.decode())
            await reader.readuntil(b'"name":"ping"')
        return cls(reader, writer)

    async def hear(self, count: int) -> None:
        """Until so many more have come."""
        async with asyncio.timeout(PATIENCE):
            for _ in range(count):
                await self._reader.readuntil(b'"name":"')


def measure(few: int = FEW, many: int = MANY, events: int = EVENTS, rounds: int = ROUNDS) -> Report:
    allow_many_connections()
    with a_process_each("projector", settings=SETTINGS) as cloud:
        costs = uvloop.run(_measured(cloud, few, many, events, rounds))
    lines: list[Line] = []
    for kind in KINDS:
        small, big = (median(costs[kind.what, count]) for count in (few, many))
        ratio = big / small if small else 0.0
        lines += [
            Line(f"{kind.what}, {few:,} subscribers", (f"{small * 1e6:.0f} us",)),
            Line(f"{kind.what}, {many:,} subscribers", (f"{big * 1e6:.0f} us",)),
            Line("  times as much", (f"{ratio:.2f}",), f"at most {WANTED}", ratio <= WANTED),
        ]
    notes = (f"processor time of the gateway's process, median of {rounds} rounds of {events:,} events; one subscriber wants them",)
    return Report("An event for one of many subscribers", ("an event",), tuple(lines), notes)


async def _measured(cloud: Cloud, few: int, many: int, events: int, rounds: int) -> dict[tuple[str, int], list[float]]:
    client = await nats.connect(cloud.nats)
    costs: dict[tuple[str, int], list[float]] = {}
    try:
        async with _listening(cloud.url, range(few)) as first:
            for kind in KINDS:
                await _round(cloud, client, kind, first, events // 4)  # warm up
                costs[kind.what, few] = [await _round(cloud, client, kind, first, events) for _ in range(rounds)]
            async with _listening(cloud.url, range(few, many)) as more:
                listeners = first + more
                for kind in KINDS:
                    costs[kind.what, many] = [await _round(cloud, client, kind, listeners, events) for _ in range(rounds)]
    finally:
        await client.close()
    return costs


@asynccontextmanager
async def _listening(url: str, numbers: range) -> AsyncIterator[list[Listener]]:
    """Subscribers of these numbers: each wants the events of its own."""
    opened: list[Listener] = []
    try:
        for start in range(0, len(numbers), 50):
            some = numbers[start : start + 50]
            opened += await asyncio.gather(*(Listener.open(url, *(kind.wanted(each) for kind in KINDS)) for each in some))
        yield opened
    finally:
        for each in opened:
            each.writer.close()


async def _round(cloud: Cloud, client: Client, kind: Kind, listeners: list[Listener], events: int) -> float:
    """-> seconds of the gateway's processor time an event"""
    idle = await _idle(cloud)
    before, began = cloud.cpu()["gateway"], time.monotonic()
    last = len(listeners) - 1
    name, subject = kind.wanted(last), kind.on(last)
    payload = orjson.dumps({"id": "x" * 36, "replyTo": None, "data": {"some": "words"}, "time": 1, "name": name})
    for start in range(0, events, AT_ONCE):
        some = min(AT_ONCE, events - start)
        for _ in range(some):
            await client.publish(subject, payload)
        await listeners[last].hear(some)
    used = cloud.cpu()["gateway"] - before - idle * (time.monotonic() - began)
    return used / events


async def _idle(cloud: Cloud) -> float:
    """Processor time a second while nothing happens."""
    before, began = cloud.cpu()["gateway"], time.monotonic()
    await asyncio.sleep(1.0)
    return (cloud.cpu()["gateway"] - before) / (time.monotonic() - began)

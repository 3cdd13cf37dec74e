"""Announcing: one engine at a time, and who takes over says what may not have been announced."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from commands.catalogue.builtin import CATALOGUE
from commands.sending.bus import Bus
from commands.watching import announce
from commands.watching.announce import GAP, LEASE, Announcer
from eventstore import Event, Write
from eventstore.memory import MemoryStore


class Told(Bus):
    """What was published."""

    def __init__(self) -> None:
        super().__init__("nats://127.0.0.1:1")
        self.messages: list[tuple[str, Any]] = []

    @property
    def connected(self) -> bool:
        return True

    async def publish(self, subject: str, payload: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        self.messages.append((subject, orjson.loads(payload)))

    def of(self, subject: str) -> list[Any]:
        return [message for told, message in self.messages if told == subject]


async def happened(store: MemoryStore, stream: str) -> int:
    return (await store.append([Write(stream, 0, (Event("created", {}),))])).last


async def test_who_takes_over_from_a_dead_announcer_says_what_it_may_have_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announce, "RENEW_SECONDS", 0.05)
    store, bus = MemoryStore(), Told()
    await happened(store, "host-1")
    [theirs] = await store.acquire([LEASE], "other", 60)
    task = asyncio.create_task(Announcer(store, bus, CATALOGUE, "mine").run())
    await asyncio.sleep(0.3)
    first, last = await happened(store, "host-2"), await happened(store, "host-3")
    assert not bus.messages, "another announces"
    await store.give_up([theirs])
    async with asyncio.timeout(20):
        while not bus.of(GAP):
            await asyncio.sleep(0.01)
        assert bus.of(GAP) == [{"from": first, "to": last, "read": f"/v1/events?after={first - 1}"}]
        await happened(store, "host-4")
        while not bus.of("corral.event.host.4.created"):
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    assert await store.acquire([LEASE], "next", 1), "it gave its lease up"

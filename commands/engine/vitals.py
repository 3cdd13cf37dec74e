"""How an engine does, told on corral.engine.<name> every few seconds, and when its throttles change: what it holds, what is at work and
what waits. Never an event.

    corral watch 'corral.engine.>'      (or nats sub)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import orjson

from agents.wire import token
from commands.sending.bus import Bus

SECONDS = 5.0


class Vitals:
    """`look` answers what is told."""

    def __init__(self, bus: Bus, holder: str, look: Callable[[], dict[str, Any]]) -> None:
        self._bus, self._look = bus, look
        self._subject = f"corral.engine.{token(holder)}"
        self._news = asyncio.Event()

    def tell(self) -> None:
        """At once, and not only when its time comes."""
        self._news.set()

    async def run(self) -> None:
        while True:
            await self._bus.publish(self._subject, orjson.dumps(self._look()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SECONDS):
                    await self._news.wait()
            self._news.clear()

"""Forgets what the log keeps beside its events for a time only: commands done long ago, and the leases of servers that are gone.

Every engine does it beside everything else, a batch at a time; several at once take different rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from eventstore import Store, StoreError

log = structlog.get_logger("corral.pruner")

KEPT_DAYS = "idempotency.keys.days"
"""The setting: for how long a request with an Idempotency-Key is known; 0: for ever.

Whole days, as whoever repeats a request that got no answer (a client, a load balancer) does so within minutes. Whether an append landed
whose answer was lost is asked of the log's writers (see eventstore.writer), and is none of these keys' business."""

DAY = 86400.0

LEASES_KEPT = DAY
"""Seconds after a lease's end. Every engine leaves one under its own name."""

LOOK_SECONDS = 60.0
AT_ONCE = 1000
"""Rows in one transaction."""
BREATH_SECONDS = 0.1
"""Between two batches, for everybody else."""


class Pruner:
    """`run` ends when it is cancelled."""

    def __init__(self, store: Store, settings: Mapping[str, Any], *, pause: float = LOOK_SECONDS, at_once: int = AT_ONCE) -> None:
        self._store, self._settings, self._pause, self._at_once = store, settings, pause, at_once

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.info("Old commands and leases are forgotten later", action="prune-waits", error=str(error))
            await asyncio.sleep(self._pause)

    async def look(self) -> tuple[int, int]:
        """Once; -> how many commands and leases were forgotten."""
        days = int(self._settings.get(KEPT_DAYS, 0))
        commands = await self._in_batches(self._store.forget_commands, days * DAY) if days > 0 else 0
        leases = await self._in_batches(self._store.forget_leases, LEASES_KEPT)
        if commands or leases:
            log.info("Old commands and leases are forgotten", action="pruned", commands=commands, leases=leases)
        return commands, leases

    async def _in_batches(self, forget: Callable[[float, int], Awaitable[int]], age: float) -> int:
        total = 0
        while True:
            gone = await forget(age, self._at_once)
            total += gone
            if gone < self._at_once:
                return total
            await asyncio.sleep(BREATH_SECONDS)

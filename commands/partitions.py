"""Which parts of the work are this engine's: leases by the database's clock, renewed while it lives, fenced by their epoch.

    free or expired --acquire--> held --renew...--> held --LEASE_SECONDS of silence--> another's
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from agents.wire import PARTITIONS
from eventstore import Lease, Store, Unavailable

log = structlog.get_logger("corral.partitions")

LEASE_SECONDS = 4.0
RENEW_SECONDS = 1.0


class Partitions:
    """The leases held. `gained` is awaited before a partition counts as held, `lost` called once it does no more."""

    def __init__(self, store: Store, holder: str, *, gained: Callable[[int], Awaitable[None]], lost: Callable[[int], None]) -> None:
        self._store, self._holder = store, holder
        self._gained, self._lost = gained, lost
        self.held: dict[int, Lease] = {}

    async def run(self) -> None:
        """Renews what is held and takes what is free, for ever."""
        while True:
            try:
                await self._round()
            except Unavailable:
                log.warning("The database does not answer; leases can't be renewed", action="leases-unrenewed")
            await asyncio.sleep(RENEW_SECONDS)

    async def _round(self) -> None:
        if self.held:
            kept = {_number(lease) for lease in await self._store.renew(list(self.held.values()), LEASE_SECONDS)}
            for number in set(self.held) - kept:
                self.drop(number)
        missing = [f"partition-{number}" for number in range(PARTITIONS) if number not in self.held]
        if missing:
            for lease in await self._store.acquire(missing, self._holder, LEASE_SECONDS):
                await self._gained(_number(lease))
                self.held[_number(lease)] = lease

    def drop(self, number: int) -> None:
        """Another engine has it."""
        if self.held.pop(number, None) is not None:
            log.warning("Another engine has this partition now", action="lease-lost", partition=number)
            self._lost(number)

    async def give_up(self) -> None:
        """Frees all at once at the end, so that nobody need wait for them."""
        if not self.held:
            return
        try:
            await asyncio.wait_for(self._store.give_up(list(self.held.values())), 2.0)
        except (TimeoutError, Unavailable):
            log.info("Leases are left to expire: the database does not answer", action="leases-left")


def _number(lease: Lease) -> int:
    return int(lease.name.rpartition("-")[2])

"""Which parts of the work are this engine's: leases by the database's clock, renewed while it lives, fenced by their epoch.

    free or expired --acquire--> held --renew...--> held --LEASE_SECONDS of silence--> another's
                                   `-> one of too many -> leaving (no more turns, those under way end) -> given up -> another's

Every engine also holds a lease on its own name: so each sees how many there are, and takes no more than its fair share.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Sequence

import structlog

from agents.wire import PARTITIONS
from eventstore import Lease, Store, Unavailable

log = structlog.get_logger("corral.partitions")

LEASE_SECONDS = 3.0
"""A dead engine's work goes on elsewhere after this time and a round."""

ROUND_SECONDS = 0.5

DRAIN_SECONDS = 1.0
"""For turns under way in a partition that is handed over. What takes longer is refused by the log, and taken again by the next engine."""

ENGINE, PARTITION = "engine-", "partition-"


class Partitions:
    """The leases held. `gained` is awaited before a partition counts as held, `drained` before one is handed over, and `lost` is called
    once it is no longer held."""

    def __init__(
        self,
        store: Store,
        holder: str,
        *,
        gained: Callable[[int], Awaitable[None]],
        drained: Callable[[int], Awaitable[None]],
        lost: Callable[[int], None],
    ) -> None:
        self._store, self._holder = store, holder
        self._gained, self._drained, self._lost = gained, drained, lost
        self._member: Lease | None = None
        self._leaving: int | None = None
        self._renewed = float("-inf")
        self.held: dict[int, Lease] = {}
        self.changed = asyncio.Event()
        """Set when there are new ones; cleared by who looked what there is to do in them."""
        self.settled = asyncio.Event()
        """Set once it has looked what there is for it. That may be nothing."""

    def serves(self, number: int) -> bool:
        """Whether turns may begin in a partition."""
        return number in self.held and number != self._leaving

    @property
    def sure(self) -> bool:
        """Whether the leases can't be another's yet. False after a pause of this process or without a database: only the log knows then."""
        return asyncio.get_running_loop().time() - self._renewed < LEASE_SECONDS

    async def run(self) -> None:
        """Renews what is held, takes what is due to it and gives up what is too much, for ever."""
        while True:
            balanced = True
            try:
                balanced = await self._round()
            except Unavailable:
                log.warning("The database does not answer; leases can't be renewed", action="leases-unrenewed")
            await asyncio.sleep(ROUND_SECONDS if balanced else 0)

    async def _round(self) -> bool:
        """-> whether nothing is left to hand over."""
        await self._renew()
        share = fair_share([lease.holder for lease in await self._store.leases(ENGINE)], self._holder)
        if len(self.held) > share:
            await self._hand_over(max(self.held))
        elif missing := share - len(self.held):
            present = await self._store.leases(PARTITION)
            await self._take(_free(present, self._holder, self.held)[:missing])
        self.settled.set()
        return len(self.held) <= share

    async def _renew(self) -> None:
        began = asyncio.get_running_loop().time()
        wanted = [*self.held.values(), *([self._member] if self._member else [])]
        kept = set(await self._store.renew(wanted, LEASE_SECONDS)) if wanted else set()
        self._renewed = began
        for number, lease in list(self.held.items()):
            if lease not in kept:
                self.drop(number)
        if self._member not in kept:
            self._member = next(iter(await self._store.acquire([ENGINE + self._holder], self._holder, LEASE_SECONDS)), None)

    async def _take(self, numbers: Sequence[int]) -> None:
        if not numbers:
            return
        for lease in await self._store.acquire([f"{PARTITION}{number}" for number in numbers], self._holder, LEASE_SECONDS):
            number = int(lease.name.removeprefix(PARTITION))
            await self._gained(number)
            self.held[number] = lease
            self.changed.set()

    async def _hand_over(self, number: int) -> None:
        self._leaving = number
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._drained(number)
        except TimeoutError:
            log.info("A partition is handed over with turns under way", action="lease-undrained", partition=number)
        finally:
            self._leaving = None
            lease = self.held.pop(number, None)
        if lease is not None:
            self._lost(number)
            await self._store.give_up([lease])
            log.info("A partition is handed over: there are more engines now", action="lease-handed-over", partition=number)

    def drop(self, number: int) -> None:
        """Another engine has it."""
        if self.held.pop(number, None) is not None:
            log.warning("Another engine has this partition now", action="lease-lost", partition=number)
            self._lost(number)

    async def give_up(self) -> None:
        """Frees all at once at the end, so that nobody need wait for them."""
        leases = [*self.held.values(), *([self._member] if self._member else [])]
        if not leases:
            return
        try:
            await asyncio.wait_for(self._store.give_up(leases), 2.0)
        except (TimeoutError, Unavailable):
            log.info("Leases are left to expire: the database does not answer", action="leases-left")


def fair_share(engines: Sequence[str], me: str) -> int:
    """How many partitions are mine: all have the same number, or the first by name one more."""
    names = sorted({*engines, me})
    each, more = divmod(PARTITIONS, len(names))
    return each + (names.index(me) < more)


def _free(present: Sequence[Lease], me: str, held: dict[int, Lease]) -> list[int]:
    """The partitions that nobody has, or whom a former life of this engine had; engines that look at once begin at different ones."""
    others = {lease.name for lease in present if lease.holder != me}
    first = zlib.crc32(me.encode()) % PARTITIONS
    numbers = ((first + step) % PARTITIONS for step in range(PARTITIONS))
    return [number for number in numbers if number not in held and f"{PARTITION}{number}" not in others]

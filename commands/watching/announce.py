"""Announces every committed event on corral.event.<type>.<id>.<event>, in order, from one leased follower, for whoever watches.

Announcements are a convenience, the log is the truth: what happened while NATS or the announcer was away is not sent later;
corral.event.gap then says from which position to which, and a watcher that needs them reads the log.
"""

from __future__ import annotations

import asyncio
import contextlib

import orjson
import structlog

from agents.wire import event_subject
from commands.catalogue.catalogue import Catalogue
from commands.catalogue.secrets import masked, secret_names
from commands.sending.bus import Bus
from eventstore import Lease, Recorded, Store, Unavailable

log = structlog.get_logger("corral.announce")

LEASE = "announcer"
LEASE_SECONDS = 5.0
RENEW_SECONDS = 1.5
GAP = "corral.event.gap"


class Announcer:
    """One of all engines' processes announces at a time."""

    def __init__(self, store: Store, bus: Bus, catalogue: Catalogue, holder: str) -> None:
        self._store, self._bus, self._catalogue, self._holder = store, bus, catalogue, holder
        self._announced: int | None = None
        self._heads: list[tuple[float, int]] = []
        """When the log was how long, while another announced: it died after the first of them at the earliest."""

    async def run(self) -> None:
        """Waits for the lease, announces while it holds it; ends when it is cancelled."""
        while True:
            try:
                leases = await self._store.acquire([LEASE], self._holder, LEASE_SECONDS)
                if not leases:
                    await self._stand_by()
            except Unavailable:
                leases = []
            if leases:
                await self._hold(leases[0])
            await asyncio.sleep(RENEW_SECONDS)

    async def _stand_by(self) -> None:
        """Remembers from where on the other one may have announced nothing, should it be dead."""
        now = asyncio.get_running_loop().time()
        while len(self._heads) > 1 and self._heads[1][0] < now - LEASE_SECONDS - 2 * RENEW_SECONDS:
            del self._heads[0]
        self._heads.append((now, await self._store.head()))
        self._announced = None

    async def _hold(self, lease: Lease) -> None:
        announcing = asyncio.create_task(self._announce())
        try:
            while not announcing.done():
                await asyncio.sleep(RENEW_SECONDS)
                try:
                    if not await self._store.renew([lease], LEASE_SECONDS):
                        return
                except Unavailable:
                    return  # the lease may be another's by the time the database answers again
            log.error("Announcing failed and begins again", action="announce-failed", error=repr(announcing.exception()))
        finally:
            announcing.cancel()
            await asyncio.wait({announcing}, timeout=5)
            with contextlib.suppress(Unavailable):
                await self._store.give_up([lease])

    async def _announce(self) -> None:
        after = await self._store.head()
        if self._announced is None and self._heads:
            self._announced = self._heads[0][1]
        self._heads = []
        if self._announced is not None and self._announced < after:
            await self._gap(self._announced + 1, after)
        away: int | None = None
        async for batch in self._store.follow(after):
            if not self._bus.connected:
                away = away or batch[0].position
                continue
            if away is not None:
                await self._gap(away, batch[0].position - 1)
                away = None
            for event in batch:
                await self._bus.publish(event_subject(event.stream, event.type), payload(event, self._catalogue))
            self._announced = batch[-1].position

    async def _gap(self, first: int, last: int) -> None:
        if last >= first:
            await self._bus.publish(GAP, orjson.dumps({"from": first, "to": last, "read": f"/v1/events?after={first - 1}"}))


def payload(event: Recorded, catalogue: Catalogue) -> bytes:
    """The event as watchers get it; secrets masked."""
    data = masked(event.data, secret_names(catalogue))
    told = {"position": event.position, "stream": event.stream, "version": event.version, "type": event.type, "data": data}
    return orjson.dumps({**told, "metadata": event.metadata, "at": event.at})

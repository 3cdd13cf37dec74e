"""A crowd of simulated hosts: each registers as an agent of its own, with its own connection to NATS; together they are one process.

    registered (HTTP) -> connected -> hears, heartbeats, suffers its faults until it is told to stop
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import structlog

from agents.crowd.faults import Dice, Place, Profile
from agents.crowd.host import CrowdHost
from agents.crowd.ledger import Part
from agents.joining.access import Access, believed, own_seed, public
from agents.joining.credentials import Credentials
from agents.joining.registration import Place as Registered
from agents.joining.registration import ServerAway, register, register_key
from agents.process.lanes import Carried
from agents.process.ledger import Ledger
from agents.simulated import SimulatedDriver, open_boxes
from agents.wire import PRESENCE_SECONDS

log = structlog.get_logger("corral.crowd")

REGISTERING, CONNECTING, STOPPING = 16, 64, 64
"""Hosts that do so at the same time. (All at once none of thousands would be done in the time that its connection has for it.)"""

CONNECT_SECONDS = 10.0
"""For which a host that does not hear yet holds up those behind it; it goes on trying."""

HORIZON = 10.0
"""Seconds for which deaths are looked up ahead."""

RETRY = 2.0

END_SECONDS = 10.0
"""For what was begun when one of many failed: it is cancelled, and waited for so long."""

Given = TypeVar("Given")
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class CrowdOptions:
    """What a crowd is to be. `url` is that of the server."""

    url: str
    folder: Path
    hosts: int
    seed: int = 0
    profile: Profile = field(default_factory=Profile)
    clusters: int = 1
    name: str = "paper"
    nats: str | None = None
    """None: where the server says."""
    credentials: Credentials | None = None
    tls: ssl.SSLContext | None = None
    heartbeat_seconds: float = PRESENCE_SECONDS

    def place(self, host: int) -> Place:
        """Clusters are as large as each other, and side by side."""
        return Place(host, host * self.clusters // self.hosts)


class Crowd:
    """`run` until it is cancelled; meanwhile its numbers may be looked at."""

    def __init__(self, options: CrowdOptions) -> None:
        self.options = options
        self.registered = 0
        self.hosts: list[CrowdHost] = []
        self.faults: Counter[str] = Counter()
        self.carried = Carried()
        self.trouble = ""
        """Why it does not go on just now."""

    @property
    def away(self) -> int:
        return sum(each.away for each in self.hosts)

    @property
    def hearing(self) -> int:
        return sum(each.hears for each in self.hosts)

    async def run(self) -> None:
        """Raises RegistrationRefused, LedgerInUse."""
        numbers = await self._all_registered()
        await self.live(numbers)

    async def live(self, numbers: Iterable[Registered]) -> None:
        """The hosts' life, once they have their places."""
        options = self.options
        ledger = Ledger(options.folder)
        await asyncio.to_thread(ledger.open)
        boxes = open_boxes(options.folder)
        dice = Dice(options.seed, options.profile.rules)

        async def begin(place: tuple[int, Registered]) -> None:
            index, registered = place
            uuid = self.uuid(index)
            driver = SimulatedDriver(uuid, options.folder, owner=uuid, boxes=boxes)
            host = CrowdHost(registered.number, driver, options.place(index), dice, self.faults, uuid)
            self.hosts.append(host)
            nats, access = options.nats or registered.nats, self._access(uuid, registered)
            await host.start(nats, access, Part(ledger, uuid), options.heartbeat_seconds, self.carried)
            await host.heard(CONNECT_SECONDS)

        try:
            await _each(CONNECTING, begin, enumerate(numbers))
            await self._die_by_the_clock(dice)
        finally:
            await _each(STOPPING, _stop, self.hosts)
            boxes.close()
            await asyncio.to_thread(ledger.close)

    def uuid(self, index: int) -> str:
        return f"{self.options.name}-{index}"

    async def _all_registered(self) -> list[Registered]:
        async def one(index: int) -> Registered:
            found = await self._patiently(lambda: self._register(self.uuid(index)))
            self.registered += 1
            return found

        return await _each(REGISTERING, one, range(self.options.hosts))

    async def _patiently(self, what: Callable[[], Registered]) -> Registered:
        while True:
            try:
                found = await asyncio.to_thread(what)
            except ServerAway as error:
                self.trouble = str(error)
                await asyncio.sleep(RETRY)
            else:
                self.trouble = ""
                return found

    def _register(self, uuid: str) -> Registered:
        options = self.options
        found = register(options.url, uuid, uuid, "sim", options.credentials, options.tls)
        if found.told.get("natsKeys"):
            self._give_key(uuid, found.number)
        return found

    def _give_key(self, uuid: str, number: int) -> None:
        options = self.options
        register_key(options.url, number, public(self._seed(uuid)), options.credentials, options.tls)

    def _seed(self, uuid: str) -> str:
        folder = self.options.folder / "keys" / uuid
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return own_seed(folder)

    def _access(self, uuid: str, registered: Registered) -> Access:
        if not registered.told.get("natsKeys"):
            return Access()

        async def again() -> None:
            await asyncio.to_thread(self._give_key, uuid, registered.number)

        return Access(self._seed(uuid), believed(str(registered.told.get("natsCa") or "")), again)

    async def _die_by_the_clock(self, dice: Dice) -> None:
        """For ever. Times are since now, when all have begun."""
        loop = asyncio.get_running_loop()
        began, seen = loop.time(), 0.0
        while True:
            until = seen + HORIZON
            due = [(at, host, seconds) for host in self.hosts for at, seconds in dice.deaths(host.place, seen, until)]
            for at, host, seconds in sorted(due, key=lambda each: each[0]):
                await asyncio.sleep(max(0.0, began + at - loop.time()))
                self.faults["die"] += 1
                host.vanish(seconds)
            await asyncio.sleep(max(0.0, began + until - loop.time()))
            seen = until


async def _stop(host: CrowdHost) -> None:
    try:
        await host.stop()
    except Exception:  # one of many: the others are stopped as well
        log.exception("A simulated host did not stop in order", action="crowd-stop", host=host.uuid)


async def _each(count: int, what: Callable[[Given], Awaitable[Found]], of: Iterable[Given]) -> list[Found]:
    """`count` at the same time, in order. Where one fails, or nobody waits any more, none of the others goes on."""
    slots = asyncio.Semaphore(count)

    async def one(given: Given) -> Found:
        async with slots:
            return await what(given)

    tasks = [asyncio.create_task(one(each)) for each in of]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for each in tasks:
            each.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=END_SECONDS)

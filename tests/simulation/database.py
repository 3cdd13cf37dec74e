"""Postgres as a simulation has it: one log in memory, and each process's way to it, which is slow, cut off, or loses answers.

    append --the writer sends it--> lands (promises are checked) --answer, at once or once it is settled--> caller
                 `- its process was killed before: never sent          `- out of time: Unavailable, though it landed
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from eventstore import Unavailable
from eventstore.clock import LogClock
from eventstore.errors import StoreError
from eventstore.follow import Bell, follow
from eventstore.memory import MemoryStore
from eventstore.types import Appended, CommandKey, Lease, Recorded, Write
from tests.simulation.loop import WORLD, Process, inside
from tests.simulation.weather import Weather

T = TypeVar("T")

TIMEOUT = 10.0
"""Seconds that an append may take, as PostgresStore has it."""

POLL = 1.0


@dataclass(frozen=True, slots=True)
class Landed:
    """An append that is in the log now."""

    recorded: list[Recorded]
    """Empty where a command had nothing to do."""
    last: int
    """The log's last position by then."""
    lease: Lease | None
    command: CommandKey | None
    by: Process


class Database:
    """The log itself, the same for all. `on_landed` is told of every append at the moment at which it is in the log."""

    def __init__(
        self, store: MemoryStore, weather: Weather, on_landed: Callable[[Landed], None], clock: type[LogClock] = LogClock
    ) -> None:
        self.store, self.weather, self.on_landed, self._clock = store, weather, on_landed, clock
        self.up = True
        self._cut: set[str] = set()
        self._ways: list[Way] = []

    def reaches(self, process: Process) -> bool:
        return self.up and process.name not in self._cut

    def cut_off(self, process: Process) -> None:
        self._cut.add(process.name)

    def heal(self) -> None:
        self.up = True
        self._cut.clear()

    def way(self, process: Process, ticks: Callable[[], float]) -> Way:
        """`ticks`: what the process reckons time with."""
        way = Way(self, process, self._clock(self.store.now(), ticks))
        self._ways.append(way)
        return way

    def now(self, call: Coroutine[Any, Any, T]) -> T:
        """What a call of the store gives, without a moment passing: it never waits."""
        try:
            call.send(None)
        except StopIteration as ended:
            result: T = ended.value
            return result
        raise AssertionError("the log in memory waits for something")

    def notify(self, position: int) -> None:
        """Everybody's followers are woken some time after a batch; a lost wake-up is made good by the slow poll."""
        loop = asyncio.get_running_loop()
        self._ways = [each for each in self._ways if each.process.alive]
        for way in self._ways:
            if self.reaches(way.process) and not self.weather.strikes(self.weather.loss):
                with inside(way.process):
                    loop.call_later(self.weather.call_delay(), way.bell.ring, position)


class Way:
    """One process's store."""

    def __init__(self, database: Database, process: Process, clock: LogClock) -> None:
        self.database, self.process, self.clock = database, process, clock
        self.bell = Bell()

    def now(self) -> datetime:
        return self.clock.now()

    async def append(
        self,
        writes: Sequence[Write],
        *,
        lease: Lease | None = None,
        command: CommandKey | None = None,
        **given: Any,
    ) -> Appended:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Appended] = loop.create_future()
        asked = self.clock.ticks()
        given |= {"lease": lease, "command": command}
        with inside(WORLD):  # once it is sent, what becomes of it is the database's affair
            loop.call_later(self._delay(), self._land, answer, writes, given, loop.time() + TIMEOUT)
        try:
            async with asyncio.timeout(TIMEOUT):
                appended = await answer
            self.clock.learn(appended.at, asked)
            return appended
        except TimeoutError:
            raise Unavailable(f"the database did not answer an append within {TIMEOUT:g} s: reload, and try later") from None

    def _land(self, answer: asyncio.Future[Appended], writes: Sequence[Write], given: dict[str, Any], deadline: float) -> None:
        loop, database = asyncio.get_running_loop(), self.database
        if answer.cancelled() or loop.time() >= deadline:
            return  # withdrawn, or out of time, before it was sent
        if not self.process.works and self.database.weather.random.random() < 0.5:
            return  # it had not been sent when its process was killed or paused (and a paused one's is out of time by then)
        if not database.reaches(self.process):
            loop.call_later(0.2, self._land, answer, writes, given, deadline)
            return
        result: Appended | StoreError
        try:
            result = self._carry_out(writes, given)
        except StoreError as error:
            result = error
        else:
            landed = Landed(result.recorded(writes), result.last, given["lease"], given["command"], self.process)
            database.on_landed(landed)
            database.notify(result.last)
        lost = database.weather.strikes(database.weather.lost_answers)
        wait = database.weather.random.random() * 1.5 * TIMEOUT if lost else self._delay()
        with inside(self.process):
            loop.call_later(wait, _tell, answer, result)

    def _carry_out(self, writes: Sequence[Write], given: dict[str, Any]) -> Appended:
        return self.database.now(self.database.store.append(writes, **given))

    async def _ask(self, call: Callable[[MemoryStore], Coroutine[Any, Any, T]]) -> T:
        await asyncio.sleep(self._delay())
        if not self.database.reaches(self.process):
            await asyncio.sleep(0.5)
            raise Unavailable("the database does not answer")
        result = await call(self.database.store)
        await asyncio.sleep(self._delay())
        if self.database.weather.strikes(self.database.weather.lost_answers) or not self.database.reaches(self.process):
            raise Unavailable("the connection was lost")
        return result

    def _delay(self) -> float:
        return self.database.weather.call_delay()

    async def follow(self, after: int = 0) -> AsyncGenerator[list[Recorded], None]:
        async with aclosing(follow(self._read_all, self.bell, after, POLL)) as batches:
            async for events in batches:
                yield events

    async def renew(self, leases: Sequence[Lease], seconds: float) -> list[Lease]:
        async def told(store: MemoryStore) -> tuple[list[Lease], datetime]:
            return await store.renew(leases, seconds), store.now()

        kept, at = await self._ask(told)
        self.clock.reach(at)
        return kept

    async def _read_all(self, after: int, limit: int) -> list[Recorded]:
        return await self._ask(lambda store: store.read_all(after, limit))

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """Every other call of a Store: asked, and answered."""
        if name.startswith("_") or not hasattr(self.database.store, name):
            raise AttributeError(name)

        def call(*given: Any, **named: Any) -> Awaitable[Any]:
            return self._ask(lambda store: getattr(store, name)(*given, **named))

        return call

    async def close(self) -> None:
        self.bell.close()


def _tell(answer: asyncio.Future[Appended], result: Appended | StoreError) -> None:
    if answer.done():
        return
    if isinstance(result, StoreError):
        answer.set_exception(result)
    else:
        answer.set_result(result)

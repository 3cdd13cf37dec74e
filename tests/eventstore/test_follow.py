"""Following needs the bell for speed only: lost, early and false rings change nothing."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime

from eventstore import Recorded, Unavailable
from eventstore.follow import Bell, follow
from eventstore.tail import Tail


class Log:
    def __init__(self) -> None:
        self.events: list[Recorded] = []
        self.reads = 0
        self.away = False

    def grow(self, count: int) -> None:
        for _ in range(count):
            position = len(self.events) + 1
            self.events.append(Recorded(position, "a-1", position, "updated", {}, {}, datetime.now(UTC)))

    async def read(self, after: int, limit: int) -> list[Recorded]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("away")
        return self.events[after : after + limit]


async def take(log: Log, bell: Bell, count: int, poll: float) -> list[int]:
    seen: list[int] = []
    async with aclosing(follow(log.read, bell, 0, poll)) as batches:
        async for batch in batches:
            seen += [event.position for event in batch]
            if len(seen) >= count:
                return seen
    return seen


async def test_without_any_bell_the_poll_finds_what_came() -> None:
    log = Log()
    task = asyncio.create_task(take(log, Bell(), 2500, poll=0.02))
    await asyncio.sleep(0.05)
    log.grow(2500)
    assert await asyncio.wait_for(task, 2) == list(range(1, 2501))


async def test_a_ring_during_a_read_is_not_lost() -> None:
    log, bell = Log(), Bell()

    async def read(after: int, limit: int) -> list[Recorded]:
        found = log.events[after : after + limit]
        if not log.events:
            log.grow(1)  # committed after the read's snapshot, rung before its answer
            bell.ring(1)
        return found

    async with asyncio.timeout(2), aclosing(follow(read, bell, 0, poll=60)) as batches:
        assert [event.position for event in await anext(batches)] == [1]


async def test_a_ring_before_a_read_is_not_lost_where_another_follower_s_older_read_answers_it() -> None:
    log, bell = Log(), Bell()
    log.grow(1)
    tail = Tail(log.read)
    await tail.after(0, 1000)
    log.grow(1)
    bell.ring(2)

    async with asyncio.timeout(2), aclosing(follow(tail.after, bell, 0, poll=60)) as batches:
        assert [event.position for event in await anext(batches)] == [1]
        assert [event.position for event in await anext(batches)] == [2]


async def test_a_ring_for_what_cannot_be_read_yet_does_not_spin() -> None:
    log, bell = Log(), Bell()
    bell.ring(99)
    task = asyncio.create_task(take(log, bell, 1, poll=0.05))
    await asyncio.sleep(0.3)
    assert log.reads < 20
    log.grow(1)
    assert await asyncio.wait_for(task, 1) == [1]


async def test_following_outlasts_a_database_that_is_away() -> None:
    log, bell = Log(), Bell()
    log.away = True
    task = asyncio.create_task(take(log, bell, 3, poll=0.01))
    await asyncio.sleep(0.05)
    log.grow(3)
    log.away = False
    assert await asyncio.wait_for(task, 1) == [1, 2, 3]


async def test_a_closed_bell_ends_followers_and_waits() -> None:
    bell = Bell()
    task = asyncio.create_task(take(Log(), bell, 1, poll=60))
    await asyncio.sleep(0.02)
    bell.close()
    assert await asyncio.wait_for(task, 1) == []
    await asyncio.wait_for(bell.wait(0, 60), 1)

"""The tail of the log: what many follow is read once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from eventstore import Recorded
from eventstore.tail import KEPT, Tail

AT = datetime(2026, 1, 1, tzinfo=UTC)


class Log:
    """A log that counts its reads."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.reads: list[int] = []

    async def read(self, after: int, limit: int) -> list[Recorded]:
        self.reads.append(after)
        await asyncio.sleep(0)
        return [Recorded(each, "instance-1", each, "updated", {}, {}, AT) for each in range(after + 1, min(self.length, after + limit) + 1)]


def positions(events: list[Recorded]) -> list[int]:
    return [event.position for event in events]


async def test_followers_at_the_end_share_one_read() -> None:
    log = Log(7)
    tail = Tail(log.read)
    answers = await asyncio.gather(*(tail.after(4, 1000) for _ in range(4)))
    assert [positions(each) for each in answers] == [[5, 6, 7]] * 4
    assert log.reads == [4]


async def test_what_was_read_is_known_to_those_a_little_behind() -> None:
    log = Log(7)
    tail = Tail(log.read)
    await tail.after(2, 1000)
    assert positions(await tail.after(4, 2)) == [5, 6]
    assert log.reads == [2]


async def test_the_end_is_asked_for_again_and_may_have_moved() -> None:
    log = Log(3)
    tail = Tail(log.read)
    assert positions(await tail.after(0, 1000)) == [1, 2, 3]
    assert await tail.after(3, 1000) == []
    log.length = 5
    assert positions(await tail.after(3, 1000)) == [4, 5]
    assert positions(await tail.after(1, 1000)) == [2, 3, 4, 5]


async def test_one_far_behind_reads_for_itself_alone() -> None:
    log = Log(900)
    tail = Tail(log.read)
    await tail.after(800, 1000)
    assert positions(await tail.after(0, 10)) == list(range(1, 11))
    assert positions(await tail.after(850, 2)) == [851, 852]
    assert log.reads == [800, 0]


async def test_one_ahead_of_all_others_begins_a_new_tail() -> None:
    log = Log(100)
    tail = Tail(log.read)
    await tail.after(0, 10)
    assert positions(await tail.after(90, 1000)) == list(range(91, 101))
    assert positions(await tail.after(10, 5)) == [11, 12, 13, 14, 15]


async def test_a_tail_keeps_only_so_much() -> None:
    log = Log(3 * KEPT)
    tail = Tail(log.read)
    after = 0
    while events := await tail.after(after, 1000):
        assert positions(events) == list(range(after + 1, after + len(events) + 1))
        after = events[-1].position
    assert after == 3 * KEPT
    assert len(tail._events) <= KEPT


async def test_a_read_that_fails_fails_for_its_reader_and_the_next_tries_again() -> None:
    log = Log(3)
    fails = [True]

    async def read(after: int, limit: int) -> list[Recorded]:
        await asyncio.sleep(0)
        if fails.pop() if fails else False:
            raise OSError("gone")
        return await log.read(after, limit)

    tail = Tail(read)
    answers = await asyncio.gather(tail.after(0, 10), tail.after(0, 10), return_exceptions=True)
    assert isinstance(answers[0], OSError)
    assert not isinstance(answers[1], BaseException)
    assert positions(answers[1]) == [1, 2, 3]

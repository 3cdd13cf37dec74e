"""Roots that are wanted at the same time are read in one query."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from commands.engine.loading import MOST, Loading
from eventstore import ArchiveAway, Event, Resumed, Unavailable, Write
from eventstore.memory import MemoryStore


class Counting(MemoryStore):
    """A store that counts what it is asked for, is away as often as told, and can't read some roots."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.away = 0
        self.wrong: dict[str, Exception] = {}

    async def resume_roots(self, roots: Sequence[str], form: str) -> Resumed:
        self.asked.append(len(roots))
        await asyncio.sleep(0)
        if self.away:
            self.away -= 1
            raise Unavailable("away")
        if found := [error for root, error in self.wrong.items() if root in roots]:
            raise found[0]
        return await super().resume_roots(roots, form)


async def a_log(count: int) -> Counting:
    store = Counting()
    for number in range(count):
        event = Event("created", {"number": number})
        await store.append([Write(f"instance-{number}", 0, (event,)), Write(f"volume-{number}", 0, (event,), f"instance-{number}")])
    return store


async def test_many_roots_take_few_queries_and_each_reader_gets_its_own() -> None:
    store = await a_log(1000)
    loading = Loading(store)
    found = await asyncio.gather(*(loading.read(f"instance-{number}") for number in range(1000)))
    assert [[event.stream for event in each.events] for each in found] == [[f"instance-{n}", f"volume-{n}"] for n in range(1000)]
    assert len(store.asked) <= 1000 // MOST + 3
    assert max(store.asked) == MOST


async def test_one_root_is_read_at_once_and_one_that_is_not_there_is_empty() -> None:
    loading = Loading(await a_log(1))
    assert len((await loading.read("instance-0")).events) == 2
    assert await loading.read("instance-9") == Resumed([], [])


async def test_the_same_root_wanted_twice_is_read_once() -> None:
    store = await a_log(1)
    loading = Loading(store)
    first, second = await asyncio.gather(loading.read("instance-0"), loading.read("instance-0"))
    assert first == second
    assert store.asked == [1]


async def test_a_database_that_is_away_is_every_readers_to_know_and_later_ones_are_answered() -> None:
    store = await a_log(2)
    store.away = 1
    loading = Loading(store)
    answers = await asyncio.gather(loading.read("instance-0"), loading.read("instance-1"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable, Unavailable]
    assert len((await loading.read("instance-0")).events) == 2


@pytest.mark.parametrize("error", [ArchiveAway("its file is not there"), ValueError("what no code of today can read")])
async def test_what_is_wrong_with_one_root_is_no_others_to_know(error: Exception) -> None:
    store = await a_log(5)
    store.wrong["instance-3"] = error
    loading = Loading(store)
    answers = await asyncio.gather(*(loading.read(f"instance-{number}") for number in range(5)), return_exceptions=True)
    assert [answer if isinstance(answer, BaseException) else len(answer.events) for answer in answers] == [2, 2, 2, error, 2]


async def test_closing_while_a_batch_is_read_singly_cancels_those_who_wait() -> None:
    store = await a_log(3)
    store.wrong["instance-0"] = ValueError("wrong")
    loading = Loading(store)
    waiting = [asyncio.create_task(loading.read(f"instance-{number}")) for number in range(3)]
    while len(store.asked) < 2:
        await asyncio.sleep(0)
    await loading.close()
    answers = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
    assert {type(answer) for answer in answers} == {asyncio.CancelledError}


async def test_a_reader_that_is_cancelled_takes_nobody_with_it() -> None:
    loading = Loading(await a_log(2))
    leaving = asyncio.create_task(loading.read("instance-0"))
    staying = asyncio.create_task(loading.read("instance-1"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert len((await staying).events) == 2
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_closing_cancels_those_who_wait() -> None:
    loading = Loading(await a_log(1))
    waiting = asyncio.create_task(loading.read("instance-0"))
    await asyncio.sleep(0)
    await loading.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting

"""Several engines share the partitions: fairly, one at a time, and anew when one comes or goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from agents.wire import PARTITIONS
from commands.engine.partitions import LEASE_SECONDS, Partitions, fair_share
from eventstore import Event, LostLease, Store, Write
from eventstore.memory import MemoryStore
from tests.support.waiting import happens


@dataclass
class Member:
    """An engine, as far as its partitions go."""

    partitions: Partitions
    busy: set[int] = field(default_factory=set)
    """Partitions with turns that do not end."""
    lost: list[int] = field(default_factory=list)

    @property
    def held(self) -> set[int]:
        return set(self.partitions.held)


def a_member(store: Store, name: str) -> Member:
    async def gained(number: int) -> None:
        pass

    async def drained(number: int) -> None:
        while number in member.busy:
            await asyncio.sleep(0.005)

    def lost(number: int) -> None:
        member.lost.append(number)

    member = Member(Partitions(store, name, gained=gained, drained=drained, lost=lost))
    return member


@asynccontextmanager
async def at_work(store: Store, name: str, *, farewell: bool = True) -> AsyncIterator[Member]:
    member = a_member(store, name)
    task = asyncio.create_task(member.partitions.run())
    try:
        yield member
    finally:
        task.cancel()
        await asyncio.wait({task})
        if farewell:
            await member.partitions.give_up()


@pytest.mark.parametrize(("engines", "shares"), [(1, [16]), (2, [8, 8]), (3, [6, 5, 5]), (5, [4, 3, 3, 3, 3]), (17, [1] * 16 + [0])])
def test_shares_differ_by_one_at_most_and_are_all_there_is(engines: int, shares: list[int]) -> None:
    names = [f"e{number:02}" for number in range(engines)]
    assert [fair_share(names, name) for name in names] == shares
    assert sum(shares) == PARTITIONS


def test_an_engine_that_does_not_see_itself_yet_counts_itself() -> None:
    assert fair_share(["a"], "b") == 8


async def test_engines_share_alike_as_they_come_and_take_over_as_they_go() -> None:
    store = MemoryStore()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(at_work(store, "first"))
        await happens(lambda: len(first.held) == PARTITIONS)
        second = await stack.enter_async_context(at_work(store, "second"))
        await happens(lambda: len(first.held) == len(second.held) == 8)
        async with at_work(store, "third") as third:
            await happens(lambda: {len(each.held) for each in (first, second, third)} == {5, 6})
            assert first.held | second.held | third.held == set(range(PARTITIONS))
        await happens(lambda: len(first.held) == len(second.held) == 8)
        assert first.held.isdisjoint(second.held)


async def test_a_partition_with_a_turn_under_way_is_handed_over_after_it() -> None:
    store = MemoryStore()
    async with at_work(store, "first") as first:
        await happens(lambda: len(first.held) == PARTITIONS)
        first.busy = {15}
        async with at_work(store, "second") as second:
            await happens(lambda: not first.partitions.serves(15))
            assert 15 in first.held, "no more turns begin, and it is still held for the one under way"
            lease = first.partitions.held[15]
            await store.append([Write("a-1", 0, (Event("created", {}),))], lease=lease)
            first.busy = set()
            await happens(lambda: 15 in second.held)
            with pytest.raises(LostLease):
                await store.append([Write("a-1", 1, (Event("updated", {}),))], lease=lease)


async def test_what_a_dead_engine_held_is_shared_by_the_others_once_its_leases_end() -> None:
    store = MemoryStore()
    async with at_work(store, "first") as first, at_work(store, "second") as second:
        async with at_work(store, "third", farewell=False) as third:
            await happens(lambda: {len(each.held) for each in (first, second, third)} == {5, 6})
        died = asyncio.get_running_loop().time()
        await happens(lambda: len(first.held) == len(second.held) == 8)
        took = asyncio.get_running_loop().time() - died
        assert took > LEASE_SECONDS / 2, "not before its leases ended"


async def test_an_engine_that_starts_again_by_its_name_has_its_partitions_at_once() -> None:
    store = MemoryStore()
    async with at_work(store, "first") as other:
        async with at_work(store, "second", farewell=False) as before:
            await happens(lambda: len(other.held) == len(before.held) == 8)
        async with at_work(store, "second") as after:
            await happens(lambda: len(after.held) == 8, 2)
            assert after.held == before.held
            with pytest.raises(LostLease):
                await store.append([Write("a-1", 0, (Event("created", {}),))], lease=next(iter(before.partitions.held.values())))


async def test_an_engine_is_not_sure_of_leases_that_it_could_not_renew_in_time() -> None:
    async with at_work(MemoryStore(), "first") as member:
        await happens(lambda: len(member.held) == PARTITIONS)
        assert member.partitions.sure
    assert member.held, "it does not know of any other"
    await asyncio.sleep(LEASE_SECONDS)
    stands = member.partitions.sure
    assert not stands

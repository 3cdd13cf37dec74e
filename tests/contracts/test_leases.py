"""Leases, as every store gives them: one holder at a time, and no epoch twice."""

from __future__ import annotations

import asyncio

import pytest

from eventstore import Lease, LostLease, Store
from tests.contracts.writes import write


async def test_a_lease_has_one_holder_until_it_ends(store: Store) -> None:
    [mine] = await store.acquire(["p-1"], "me", 60)
    assert (mine.name, mine.holder, mine.epoch) == ("p-1", "me", 1)
    assert await store.acquire(["p-1"], "you", 60) == []
    [yours] = await store.acquire(["p-1", "p-2"], "you", 60)
    assert yours.name == "p-2"


async def test_an_ended_lease_goes_to_another_with_a_higher_epoch(store: Store) -> None:
    [mine] = await store.acquire(["p-1"], "me", 0.05)
    await asyncio.sleep(0.1)
    [yours] = await store.acquire(["p-1"], "you", 60)
    assert yours.epoch == mine.epoch + 1
    assert await store.renew([mine, yours], 60) == [yours]
    with pytest.raises(LostLease) as caught:
        await store.append([write("a-1")], lease=mine)
    assert (caught.value.name, caught.value.epoch) == ("p-1", mine.epoch)
    await store.append([write("a-1")], lease=yours)


async def test_its_holder_may_take_a_lease_anew_and_older_epochs_are_refused(store: Store) -> None:
    [first] = await store.acquire(["p-1"], "me", 60)
    [second] = await store.acquire(["p-1", "p-1"], "me", 60)
    assert second.epoch == first.epoch + 1
    with pytest.raises(LostLease):
        await store.append([write("a-1")], lease=first)
    await store.append([write("a-1")], lease=second)


async def test_a_renewed_lease_lasts(store: Store) -> None:
    [mine] = await store.acquire(["p-1"], "me", 0.3)
    assert await store.renew([mine], 60) == [mine]
    await asyncio.sleep(0.4)
    assert await store.acquire(["p-1"], "you", 60) == []
    await store.append([write("a-1")], lease=mine)


async def test_a_lease_given_up_is_free_at_once_and_its_epoch_never_returns(store: Store) -> None:
    [mine] = await store.acquire(["p-1"], "me", 60)
    await store.give_up([mine, Lease("p-9", "me", 1)])
    with pytest.raises(LostLease):
        await store.append([write("a-1")], lease=mine)
    assert await store.renew([mine], 60) == []
    [yours] = await store.acquire(["p-1"], "you", 60)
    assert yours.epoch > mine.epoch
    await store.give_up([mine])  # too late: it is another's
    await store.append([write("a-1")], lease=yours)


async def test_the_leases_of_a_prefix_that_are_held_now_are_told(store: Store) -> None:
    [one] = await store.acquire(["engine-a"], "a", 60)
    [two] = await store.acquire(["engine-b"], "b", 60)
    await store.acquire(["engine-c"], "c", 0.05)
    [other] = await store.acquire(["partition-1"], "a", 60)
    await asyncio.sleep(0.1)
    assert await store.leases("engine-") == [one, two]
    await store.give_up([one])
    assert await store.leases() == [two, other]


async def test_a_lease_that_nobody_gave_is_refused(store: Store) -> None:
    with pytest.raises(LostLease):
        await store.append([write("a-1")], lease=Lease("p-1", "me", 1))
    with pytest.raises(ValueError, match="needs a name"):
        await store.acquire(["p-1"], "", 1)


async def test_leases_that_ended_are_forgotten_and_their_epochs_never_return(store: Store) -> None:
    await store.acquire(["engine-a"], "a", 60)
    [high] = await store.acquire(["engine-a"], "a", 60)
    [low] = await store.acquire(["engine-b"], "b", 60)
    [held] = await store.acquire(["partition-1"], "c", 60)
    assert await store.forget_leases(0) == 0
    await store.give_up([high, low])
    assert await store.forget_leases(3600, limit=1) == 1
    assert await store.forget_leases(3600) == 1
    assert await store.leases() == [held]
    assert await store.renew([high, held], 60) == [held]
    with pytest.raises(LostLease):
        await store.append([write("a-1")], lease=high)
    [again] = await store.acquire(["engine-a"], "a", 60)
    [other] = await store.acquire(["engine-d"], "d", 60)
    assert again.epoch == other.epoch == high.epoch + 1
    await store.append([write("a-1")], lease=again)
    await store.append([write("a-2")], lease=held)
    assert await store.forget_leases(0) == 0


async def test_a_lease_is_forgotten_only_so_long_after_its_end(store: Store) -> None:
    [ended] = await store.acquire(["engine-a"], "a", 0.01)
    await asyncio.sleep(0.05)
    assert await store.forget_leases(3600) == 0
    assert await store.renew([ended], 60) == [ended], "nobody took it: it is its holder's still"
    assert await store.forget_leases(0) == 0

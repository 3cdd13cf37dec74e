"""Claims, as every store keeps them: exclusive and counted ones have one holder, whoever asks at the same time."""

from __future__ import annotations

import asyncio

import pytest

from eventstore import Claim, Full, Release, Store, Taken
from tests.contracts.writes import claiming, write


async def test_an_exclusive_claim_belongs_to_one_stream(store: Store) -> None:
    claim = Claim("instance.uuid", "u-1")
    await store.append([write("instance-1", 0, claiming(claim))])
    with pytest.raises(Taken) as caught:
        await store.append([write("instance-2", 0, claiming(claim))])
    assert (caught.value.scope, caught.value.item, caught.value.holder) == ("instance.uuid", "u-1", "instance-1")
    assert await store.holder("instance.uuid", "u-1") == "instance-1"
    assert await store.holder("instance.uuid", "u-2") is None
    assert await store.read("instance-2") == []


async def test_claiming_again_what_one_holds_changes_nothing(store: Store) -> None:
    exclusive, share = Claim("port", "80"), Claim("host-1/compute", "instance-1", 2, limit=3)
    for version in range(3):
        await store.append([write("instance-1", version, claiming(exclusive, share))])
    assert await store.holder("port", "80") == "instance-1"
    assert await store.used("host-1/compute") == 2


async def test_a_counted_scope_takes_no_more_than_its_limit(store: Store) -> None:
    await store.append([write("instance-1", 0, claiming(Claim("host-1/compute", "instance-1", 2, limit=3)))])
    with pytest.raises(Full) as caught:
        await store.append([write("instance-2", 0, claiming(Claim("host-1/compute", "instance-2", 2, limit=3)))])
    full = caught.value
    assert (full.scope, full.item, full.amount, full.used, full.limit) == ("host-1/compute", "instance-2", 2, 2, 3)
    await store.append([write("instance-2", 0, claiming(Claim("host-1/compute", "instance-2", 1, limit=3)))])
    assert await store.used("host-1/compute") == 3
    assert await store.used("host-2/compute") == 0
    assert await store.holder("host-1/compute", "instance-1") is None  # a share is not the scope


async def test_what_is_released_can_be_claimed_by_others(store: Store) -> None:
    claims = (Claim("port", "80"), Claim("host-1/compute", "instance-1", 2, limit=2))
    releases = [Release("port", "80"), Release("host-1/compute", "instance-1")]
    await store.append([write("instance-1", 0, claiming(*claims))])
    await store.append([write("instance-1", 1, claiming(releases=releases))])
    assert await store.used("host-1/compute") == 0
    await store.append([write("instance-2", 0, claiming(Claim("port", "80"), Claim("host-1/compute", "instance-2", 2, limit=2)))])
    assert await store.holder("port", "80") == "instance-2"


async def test_a_late_release_frees_nothing_that_another_took_over(store: Store) -> None:
    await store.append([write("instance-1", 0, claiming(Claim("port", "80")))])
    await store.append([write("instance-1", 1, claiming(releases=[Release("port", "80")]))])
    await store.append([write("instance-2", 0, claiming(Claim("port", "80")))])
    await store.append([write("instance-1", 2, claiming(releases=[Release("port", "80"), Release("port", "81")]))])
    assert await store.holder("port", "80") == "instance-2"


async def test_one_event_can_swap_a_claim_for_another(store: Store) -> None:
    await store.append([write("instance-1", 0, claiming(Claim("host-1/compute", "instance-1", 2, limit=2)))])
    larger = claiming(Claim("host-1/compute", "instance-1", 5, limit=5), releases=[Release("host-1/compute", "instance-1")])
    await store.append([write("instance-1", 1, larger)])
    assert await store.used("host-1/compute") == 5


async def test_an_append_that_loses_one_claim_takes_none(store: Store) -> None:
    await store.append([write("instance-1", 0, claiming(Claim("port", "80")))])
    with pytest.raises(Taken):
        await store.append(
            [
                write("instance-2", 0, claiming(Claim("port", "81"), Claim("host-1/compute", "instance-2", 1, limit=9))),
                write("instance-3", 0, claiming(Claim("port", "80"))),
            ]
        )
    assert await store.holder("port", "81") is None
    assert await store.used("host-1/compute") == 0
    assert await store.head() == 1


async def test_of_five_hundred_that_want_a_hundred_places_exactly_a_hundred_get_one(store: Store) -> None:
    async def place(number: int) -> bool:
        claims = (Claim("instance.uuid", f"u-{number}"), Claim("host-1/compute", f"instance-{number}", 1, limit=100))
        try:
            await store.append([write(f"instance-{number}", 0, claiming(*claims))])
        except Full as full:
            return (full.used, full.limit, full.item) != (100, 100, f"instance-{number}")
        return True

    placed = await asyncio.gather(*(place(number) for number in range(500)))
    assert sum(placed) == 100
    assert await store.used("host-1/compute") == 100
    assert await store.head() == 100
    held = [await store.holder("instance.uuid", f"u-{number}") for number in range(500)]
    assert [holder is not None for holder in held] == placed


async def test_of_many_that_claim_one_thing_together_one_gets_it(store: Store) -> None:
    outcomes = await asyncio.gather(
        *(store.append([write(f"instance-{n}", 0, claiming(Claim("port", "80")))]) for n in range(30)), return_exceptions=True
    )
    winner = await store.holder("port", "80")
    won = [n for n, each in enumerate(outcomes) if not isinstance(each, BaseException)]
    assert [f"instance-{n}" for n in won] == [winner]
    assert all(isinstance(each, Taken) and each.holder == winner for each in outcomes if isinstance(each, BaseException))

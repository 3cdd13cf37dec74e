"""Work that is due, and new numbers for streams, as every store keeps them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from eventstore import Store, Work, WrongVersion
from tests.contracts.writes import write


async def test_work_is_due_when_its_time_has_come_and_until_it_is_done(store: Store) -> None:
    now = datetime.now(UTC)
    await store.append([write("a-1")], work=[Work("a-1", 1, now - timedelta(seconds=5)), Work("a-2", 2, now - timedelta(seconds=9))])
    await store.append([], work=[Work("a-3", 1, now + timedelta(hours=1)), Work("a-4", 7)])
    await store.append([], work=[Work("a-5", 1), Work("a-5", 2)])  # the last one counts
    assert [w.root for w in await store.due_work([1, 2])] == ["a-2", "a-1", "a-5"]
    assert [w.root for w in await store.due_work([1, 2], limit=1)] == ["a-2"]
    await store.append([], work=[Work("a-1", 1, now + timedelta(hours=1))], done=["a-2", "a-9"])
    assert [w.root for w in await store.due_work([1, 2, 7])] == ["a-4", "a-5"]
    [work] = await store.due_work([7])
    assert work.due is not None
    assert abs(work.due - now) < timedelta(minutes=1)


async def test_work_that_waits_for_an_answer_keeps_its_place_among_what_is_due(store: Store) -> None:
    now = datetime.now(UTC)
    await store.append([], work=[Work("a-1", 1, now - timedelta(seconds=9)), Work("a-2", 1, now - timedelta(seconds=5))])
    await store.append([], work=[Work("a-1", 1, waits_for=7), Work("a-3", 1, waits_for=2**40)])
    found = await store.due_work([1])
    assert [(each.root, each.waits_for) for each in found] == [("a-1", 7), ("a-2", None), ("a-3", 2**40)]
    assert [each.root for each in await store.due_work([1], waiting=False)] == ["a-2"]
    await store.append([], work=[Work("a-1", 1)])
    assert [(each.root, each.waits_for) for each in await store.due_work([1], waiting=False)] == [("a-2", None), ("a-1", None)]


async def test_work_that_waits_tells_who_waits_longest(store: Store) -> None:
    for root in ("a-3", "a-1", "a-2"):
        await store.append([write(root)], work=[Work(root, 1, waits_for=7)])
    await asyncio.gather(*(store.append([write(f"b-{number}")], work=[Work(f"b-{number}", 1, waits_for=7)]) for number in range(20)))
    found = sorted(await store.due_work([1]), key=lambda each: each.since)
    assert [each.root for each in found[:3]] == ["a-3", "a-1", "a-2"]
    appended = {event.stream: event.position for event in await store.read_all(0, 100)}
    assert [each.root for each in found[3:]] == sorted((each.root for each in found[3:]), key=lambda root: appended[root])


async def test_work_that_was_for_later_and_waits_for_an_answer_now_is_due_now(store: Store) -> None:
    await store.append([], work=[Work("a-1", 1, datetime.now(UTC) + timedelta(hours=1))])
    await store.append([], work=[Work("a-1", 1, waits_for=7)])
    assert [each.root for each in await store.due_work([1])] == ["a-1"]


async def test_a_refused_append_leaves_work_as_it_is(store: Store) -> None:
    await store.append([write("a-1")], work=[Work("a-1", 1)])
    with pytest.raises(WrongVersion):
        await store.append([write("a-1", 0)], work=[Work("a-2", 1)], done=["a-1"])
    assert [w.root for w in await store.due_work([1])] == ["a-1"]


async def test_work_wins_over_done_in_one_append(store: Store) -> None:
    await store.append([], work=[Work("a-1", 1)], done=["a-1"])
    assert [w.root for w in await store.due_work([1])] == ["a-1"]


async def test_ids_count_from_one_and_are_never_given_twice(store: Store) -> None:
    assert await store.ids("instance") == range(1, 2)
    assert await store.ids("volume") == range(1, 2)
    given = [n for r in await asyncio.gather(*(store.ids("instance", 1 + n % 5) for n in range(40))) for n in r]
    assert len(set(given)) == len(given) == 120
    assert 1 not in given
    three = await store.ids("instance", 3)
    assert len(three) == 3
    assert not set(three) & set(given)
    with pytest.raises(ValueError, match="at least one"):
        await store.ids("instance", 0)

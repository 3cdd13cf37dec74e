"""Ids are dense in quiet use and cheap in a rush."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from eventstore.ids import LARGEST, IdBlocks


class Counter:
    """Stands for the table: gives numbers in order, some of them to others."""

    def __init__(self, others: Sequence[int] = ()) -> None:
        self.next, self.others, self.asked, self.now = 1, list(others), list[int](), 0.0

    async def reserve(self, category: str, count: int) -> int:
        self.next += self.others.pop() if self.others else 0
        first, self.next = self.next, self.next + count
        self.asked.append(count)
        return first


async def test_quiet_use_leaves_no_number_out() -> None:
    counter = Counter()
    blocks = IdBlocks(counter.reserve, lambda: counter.now)
    for n in range(1, 20):
        counter.now += 5
        assert await blocks.take("instance", 1) == range(n, n + 1)
    assert counter.asked == [1] * 19


async def test_a_rush_asks_seldom() -> None:
    counter = Counter()
    blocks = IdBlocks(counter.reserve, lambda: counter.now)
    given = [await blocks.take("instance", 1) for _ in range(1000)]
    assert [each.start for each in given] == list(range(1, 1001))
    assert counter.asked[:8] == [1, 2, 4, 8, 16, 32, 64, 64]
    assert max(counter.asked) == LARGEST
    counter.now += 60
    while len(counter.asked) < 25:
        await blocks.take("instance", 1)
    assert 1 in counter.asked[8:], "after a rest it begins small again"


@given(st.lists(st.integers(1, 90), max_size=40), st.lists(st.integers(0, 3), max_size=40))
async def test_no_number_is_given_twice_and_ranges_have_no_holes(wanted: list[int], others: list[int]) -> None:
    counter = Counter(others)
    blocks = IdBlocks(counter.reserve, lambda: counter.now)
    given = [await blocks.take("instance", count) for count in wanted]
    assert [len(each) for each in given] == wanted
    numbers = [number for each in given for number in each]
    assert numbers == sorted(set(numbers))


async def test_what_was_left_may_be_given_while_more_is_taken() -> None:
    counter = Counter()
    meanwhile: list[range] = []

    async def reserve(category: str, count: int) -> int:
        first = await counter.reserve(category, count)
        if not meanwhile and len(counter.asked) == 3:
            meanwhile.append(await blocks.take(category, 1))
        return first

    blocks = IdBlocks(reserve, lambda: counter.now)
    given = [await blocks.take("instance", count) for count in (1, 1)]  # a block of one, then one of two, of which one is left
    given.append(await blocks.take("instance", 5))
    numbers = sorted(number for each in (*given, *meanwhile) for number in each)
    assert [len(each) for each in (*given, *meanwhile)] == [1, 1, 5, 1]
    assert numbers == sorted(set(numbers))

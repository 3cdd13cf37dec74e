"""Buckets fill with time, hold no more than they may, and are not many."""

from __future__ import annotations

import pytest

from gateway.access.rates import Rates, network_of


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_what_is_in_it_and_fills_with_time() -> None:
    clock = Clock()
    rates = Rates(clock)
    assert [rates.take("a", 2, 3) for _ in range(4)] == [0, 0, 0, 0.5]
    assert rates.take("b", 2, 3) == 0, "each has its own"
    clock.now += 0.5
    assert [rates.take("a", 2, 3) for _ in range(2)] == [0, 0.5]
    clock.now += 1000
    assert [rates.take("a", 2, 3) for _ in range(4)] == [0, 0, 0, 0.5], "no more than the burst"


def test_what_is_given_back_can_be_taken() -> None:
    rates = Rates(Clock())
    assert rates.take("a", 1, 1) == 0
    rates.give_back("a")
    rates.give_back("nobody")
    assert [rates.take("a", 1, 1), rates.take("a", 1, 1)] == [0, 1]


def test_those_not_seen_for_longest_are_forgotten() -> None:
    rates = Rates(Clock(), most=3)
    for who in range(1000):
        rates.take(who, 1, 1)
        rates.take("busy", 1, 1)
    assert len(rates) == 3
    assert rates.take("busy", 1, 1) > 0


@pytest.mark.parametrize(("address", "network"), [
    ("10.0.0.1", "10.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ("fe80::1%eth0", "fe80::/64"), ("testclient", "testclient"), ("x" * 500, "x" * 100), ("", ""),
])  # fmt: skip
def test_an_address_stands_for_what_its_bearer_can_choose_from(address: str, network: str) -> None:
    assert network_of(address) == network

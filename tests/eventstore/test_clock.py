"""The log's time is the database's, whatever this server's own clock shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from eventstore import Event, Write
from eventstore.clock import LogClock
from eventstore.postgres import PostgresStore

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOON = timedelta(seconds=30)
TEN_MINUTES = timedelta(minutes=10)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


class Ticks:
    """A server's own clock, as a test sets it."""

    def __init__(self, shown: float = 0.0) -> None:
        self.shown = shown

    def __call__(self) -> float:
        return self.shown


@pytest.mark.parametrize("shown", [-600.0, 0.0, 1e9])
def test_it_goes_on_by_the_ticks_wherever_they_began(shown: float) -> None:
    ticks = Ticks(shown)
    clock = LogClock(NOON, ticks)
    ticks.shown += 2.5
    assert clock.now() == NOON + seconds(2.5)


def test_an_append_says_how_late_it_is_at_least_and_at_most() -> None:
    ticks = Ticks()
    clock = LogClock(NOON, ticks)
    ticks.shown = 10.0
    clock.learn(NOON + seconds(600), asked=9.0)
    assert clock.now() == NOON + seconds(600)
    ticks.shown = 20.0
    clock.learn(NOON + seconds(609.5), asked=19.0)  # it is between 609.5 and 610.5: as was reckoned
    assert clock.now() == NOON + seconds(610)


def test_where_it_was_ahead_it_stands_still_until_the_log_has_caught_up() -> None:
    ticks = Ticks()
    clock = LogClock(NOON, ticks)
    ticks.shown = 10.0
    assert clock.now() == NOON + seconds(10)
    clock.learn(NOON + seconds(4), asked=9.0)  # at most five seconds past noon
    for shown, expected in ((12.0, 10.0), (15.0, 10.0), (16.0, 11.0)):
        ticks.shown = shown
        assert clock.now() == NOON + seconds(expected)


def test_a_clock_that_was_set_back_stops_no_wait() -> None:
    """The database's clock is behind the log's last event: appends get that one's time, and leases tell of an earlier one."""
    ticks = Ticks()
    clock = LogClock(NOON, ticks)
    ticks.shown = 1.0
    clock.learn(NOON, asked=0.9)
    clock.reach(NOON - TEN_MINUTES)
    ticks.shown = 2.0
    assert clock.now() >= NOON + seconds(1)


async def set_clock(dsn: str, off: timedelta) -> None:
    """The database's clock, as its next connections see it."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute("create schema if not exists wrong")
        await connection.execute(
            "create or replace function wrong.clock_timestamp() returns timestamptz language sql volatile as"
            f" $$ select pg_catalog.clock_timestamp() + interval '{off.total_seconds()} seconds' $$"
        )
        database = await connection.fetchval("select current_database()")
        await connection.execute(f'alter database "{database}" set search_path to wrong, pg_catalog, public')
    finally:
        await connection.close(timeout=5)


@pytest.mark.parametrize("off", [TEN_MINUTES, -TEN_MINUTES])
async def test_a_store_tells_the_time_of_its_database(database: str, off: timedelta) -> None:
    await set_clock(database, off)
    store = await PostgresStore.open(database)
    try:
        assert abs(store.now() - off - datetime.now(UTC)) < SOON
        appended = await store.append([Write("a-1", 0, (Event("created", {}),))])
        assert appended.at <= store.now() <= appended.at + SOON
    finally:
        await store.close()


async def test_a_store_that_only_renews_leases_learns_that_the_clock_was_set(database: str) -> None:
    await set_clock(database, timedelta())
    store = await PostgresStore.open(database)
    try:
        [lease] = await store.acquire(["lease"], "me", 3.0)
        await set_clock(database, TEN_MINUTES)
        assert await store.renew([lease], 3.0) == [lease]
        assert abs(store.now() - TEN_MINUTES - datetime.now(UTC)) < SOON
    finally:
        await store.close()


async def test_the_log_is_not_earlier_than_its_last_event(database: str) -> None:
    store = await PostgresStore.open(database)
    last = await store.append([Write("a-1", 0, (Event("created", {}),))])
    await store.close()
    await set_clock(database, -TEN_MINUTES)
    store = await PostgresStore.open(database)
    try:
        assert store.now() >= last.at
    finally:
        await store.close()

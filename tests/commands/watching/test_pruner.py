"""What is kept for a time only is forgotten in the background, batch by batch, by whatever servers; what is younger stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from asyncpg.connection import Connection

from commands.accepting.service import Actor, Commands, Outcome
from commands.catalogue.builtin import CATALOGUE
from commands.settings.settings import DEFAULTS
from commands.watching.pruner import KEPT_DAYS, Pruner
from eventstore import CommandKey, Event, Repeated, Unavailable, Write
from eventstore.memory import MemoryStore
from eventstore.postgres import PostgresStore


@pytest.fixture
async def log(database: str, store: PostgresStore) -> AsyncIterator[Connection]:
    opened = await asyncpg.connect(database)
    yield opened
    await opened.close()


def key(number: int) -> CommandKey:
    return CommandKey("1", f"k-{number}", "hash")


async def carry_out(store: PostgresStore, number: int) -> bool:
    """-> whether it was new."""
    version = len(await store.read(f"a-{number}"))
    try:
        await store.append([Write(f"a-{number}", version, (Event("created", {}),))], command=key(number))
    except Repeated:
        return False
    return True


async def age(log: Connection, days: float) -> None:
    await log.execute("UPDATE log.commands SET at = at - make_interval(secs => $1)", days * 86400)


async def test_a_request_is_known_for_the_days_that_the_setting_names(store: PostgresStore, log: Connection) -> None:
    commands, pruner = Commands(store, CATALOGUE, DEFAULTS), Pruner(store, DEFAULTS)

    async def ask() -> Outcome:
        return await commands.create("account", {"name": "once", "kind": "user"}, Actor(account=1), CommandKey("1", "k", "hash"))

    first = await ask()
    await age(log, 6.9)
    assert await pruner.look() == (0, 0)
    assert (await ask()).resource == first.resource
    await age(log, 0.2)
    assert await pruner.look() == (1, 0)
    assert (await ask()).resource.id != first.resource.id


async def test_with_the_setting_at_none_commands_are_kept_for_ever(store: PostgresStore, log: Connection) -> None:
    await carry_out(store, 1)
    await age(log, 4000)
    assert await Pruner(store, {KEPT_DAYS: 0}).look() == (0, 0)
    assert not await carry_out(store, 1)


async def test_several_servers_forget_while_others_append_and_repeat(store: PostgresStore, log: Connection, database: str) -> None:
    other = await PostgresStore.open(database)
    old, young = range(100), range(100, 200)
    for number in old:
        await carry_out(store, number)
    await age(log, 8)
    assert all(await asyncio.gather(*(carry_out(store, number) for number in young)))
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        pruned = [group.create_task(Pruner(each, DEFAULTS, at_once=7).look()) for each in (store, other)]
        repeated = [group.create_task(carry_out(each, number)) for number in young for each in (store, other)]
    assert sum(each.result()[0] for each in pruned) == len(old)
    assert not any(each.result() for each in repeated), "none of the young ones was carried out twice"
    assert await log.fetchval("SELECT count(*) FROM log.commands") == len(young)
    await other.close()


async def test_what_another_transaction_forgets_is_waited_for_by_nobody(store: PostgresStore, log: Connection) -> None:
    await carry_out(store, 1)
    await carry_out(store, 2)
    await age(log, 8)
    async with log.transaction():
        await log.execute("DELETE FROM log.commands WHERE key = 'k-1'")
        assert await asyncio.wait_for(Pruner(store, DEFAULTS).look(), 5) == (1, 0)
        assert not await asyncio.wait_for(carry_out(store, 1), 5), "until it is gone it is known"


async def test_the_leases_of_engines_that_are_gone_for_a_day_are_forgotten(store: PostgresStore, log: Connection) -> None:
    for name in ("engine-here", "engine-gone-1", "engine-gone-2", "partition-3"):
        await store.acquire([name], name, 60)
    await log.execute("UPDATE log.leases SET until = until - interval '25 hours' WHERE name LIKE 'engine-gone-%'")
    await log.execute("UPDATE log.leases SET until = until - interval '23 hours' WHERE name = 'partition-3'")
    assert await Pruner(store, DEFAULTS, at_once=1).look() == (0, 2)
    assert [row["name"] for row in await log.fetch("SELECT name FROM log.leases ORDER BY name")] == ["", "engine-here", "partition-3"]


async def test_a_renewal_at_the_same_moment_keeps_its_lease(store: PostgresStore, log: Connection) -> None:
    """Nobody took it from its holder, who was away for a day."""
    [lease] = await store.acquire(["engine-a"], "a", 60)
    await log.execute("UPDATE log.leases SET until = until - interval '2 days'")
    async with log.transaction():  # the renewal is on its way
        await log.execute("UPDATE log.leases SET until = clock_timestamp() + interval '3 seconds' WHERE name = 'engine-a'")
        assert await asyncio.wait_for(store.forget_leases(86400), 5) == 0
    assert await store.renew([lease], 60) == [lease]


async def test_a_database_that_is_away_is_asked_again_later() -> None:
    class Away(MemoryStore):
        asked = 0

        async def forget_leases(self, ended: float, limit: int = 1000) -> int:
            self.asked += 1
            raise Unavailable("the database is away")

    store = Away()
    running = asyncio.create_task(Pruner(store, {}, pause=0.01).run())
    async with asyncio.timeout(10):
        while store.asked < 3:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait({running}, timeout=5)
    assert running.cancelled()

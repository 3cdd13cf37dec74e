"""Streams and claims are only a shortcut: the log alone gives them again."""

from __future__ import annotations

import asyncio
import random

import asyncpg

from eventstore import Claim, Event, Full, Release, Taken, Write, WrongVersion
from eventstore.postgres import PostgresStore
from eventstore.rebuild import rebuild_beside


async def test_what_is_rebuilt_from_the_log_equals_what_appends_kept(database: str) -> None:
    store = await PostgresStore.open(database)
    chance = random.Random(54)

    def event() -> Event:
        items, scopes = [f"i-{n}" for n in range(12)], ["port", "host-1/compute", "host-2/compute"]

        def claim() -> Claim:
            scope = chance.choice(scopes)
            return Claim(scope, chance.choice(items), chance.randint(0, 3), None if scope == "port" else 9)

        claims = tuple(claim() for _ in range(chance.choice([0, 0, 1, 2])))
        releases = tuple(Release(chance.choice(scopes), chance.choice(items)) for _ in range(chance.choice([0, 1, 3])))
        return Event("updated", {}, {"closed": True} if chance.random() < 0.1 else {}, claims, releases)

    async def caller(number: int) -> int:
        version, refused, stream = 0, 0, f"a-{number}"
        for _ in range(25):
            events = tuple(event() for _ in range(chance.randint(1, 3)))
            try:
                await store.append([Write(stream, version, events, root=f"root-{number % 3}" if number % 2 else "")])
                version += len(events)
            except (Taken, Full, WrongVersion):
                refused += 1
        return refused

    refused = await asyncio.gather(*(caller(number) for number in range(20)))
    assert 0 < sum(refused) < 500, "the test wants winners and losers"
    assert await rebuild_beside(database) == []

    connection = await asyncpg.connect(database)
    try:
        kept = await connection.fetch("SELECT * FROM log.claims ORDER BY scope, item")
        assert kept
        assert kept == await connection.fetch("SELECT * FROM log_rebuilt.claims ORDER BY scope, item")
        assert await connection.fetchval("SELECT count(*) FROM log_rebuilt.streams WHERE closed") > 0
        # and it tells what is wrong
        await connection.execute("UPDATE log.streams SET version = 99 WHERE stream = 'a-1'")
        await connection.execute("DELETE FROM log.claims WHERE (scope, item) = ($1, $2)", kept[0]["scope"], kept[0]["item"])
    finally:
        await connection.close()
    differences = await rebuild_beside(database)
    assert {(each.what, each.name) for each in differences} == {("stream", "a-1"), ("claim", f"{kept[0]['scope']} {kept[0]['item']}")}
    await store.close()

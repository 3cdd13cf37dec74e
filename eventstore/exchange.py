"""archiving -> here: partitions are copied without what leaves, and the copies take their place in one transaction.

What leaves is in the connection's table `leaving`: streams, each up to a position.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import asyncpg
from asyncpg.connection import Connection

from eventstore.errors import CantArchive
from eventstore.queries import sql

QUIET_TIMEOUT = 10.0
"""Seconds the exchange waits for vacuum to leave the partitions; that holds up nobody."""
LOCK_TIMEOUT = 1.0
"""Seconds the exchange waits for running queries, with the log's lock in hand, until it lets everybody go on and tries again."""
SWAP_TRIES = 30
STATEMENT = 3600.0
"""Seconds for one statement: copying a partition of a long log takes what it takes."""

Told = Callable[[str, int, int], None]
"""(what is being done, so much of it, of so much in all); a step that is finished is told as ("chosen", 0, 0)."""

STAYS = "NOT EXISTS (SELECT FROM leaving l WHERE l.stream = e.stream AND e.position <= l.position)"


@dataclass(frozen=True, slots=True)
class Part:
    """A partition as it stands. `end`: the last position that is looked at (the head, in the one being written)."""

    name: str
    first: int
    until: int
    end: int
    kept: int
    leaving: int


async def parts_of(connection: Connection, head: int, told: Told) -> list[Part]:
    """The partitions up to the head, with how many events stay in them and how many leave."""
    parts: list[Part] = []
    rows = await connection.fetch("SELECT name, first, until FROM log.partitions WHERE first <= $1 ORDER BY first", head)
    for number, (name, first, until) in enumerate(rows, start=1):
        end = min(until - 1, head)
        query = f'SELECT count(*) FILTER (WHERE {STAYS}) AS kept, count(*) AS all FROM log."{name}" e WHERE e.position <= $1'
        row = await connection.fetchrow(query, end, timeout=STATEMENT)
        assert row is not None
        parts.append(Part(name, first, until, end, row["kept"], row["all"] - row["kept"]))
        told("counting", number, len(rows))
    return parts


def to_rewrite(parts: Sequence[Part], size: int) -> list[list[Part]]:
    """The partitions to be written anew, those of a group as one: neighbours that something leaves, or that are small anyhow."""
    groups: list[list[Part]] = [[]]
    for part in parts:
        if not part.leaving and part.kept > size // 4:
            groups.append([])
            continue
        if sum(each.kept for each in groups[-1]) + part.kept > size:
            groups.append([])
        groups[-1].append(part)
    return [group for group in groups if len(group) > 1 or any(part.leaving for part in group)]


async def copy_groups(connection: Connection, groups: Sequence[Sequence[Part]], run: int, told: Told) -> list[str]:
    """Each group as one new table, without what leaves. -> their names. Raises CantArchive where the count is not what it should be."""
    names: list[str] = []
    for done, group in enumerate(groups, start=1):
        name = f"events_{group[0].first}_{run}"
        async with connection.transaction():
            await connection.execute("SELECT log.make_partition($1, $2, $3)", name, group[0].first, group[-1].end + 1)
            for part in group:
                copy = f'INSERT INTO log."{name}" SELECT e.* FROM log."{part.name}" e WHERE position <= $1 AND {STAYS} ORDER BY position'
                status = await connection.execute(copy, part.end, timeout=STATEMENT)
                if status != f"INSERT 0 {part.kept}":
                    raise CantArchive(f"{part.kept} events of {part.name} were to stay, and the copy says {status}: the log is unchanged")
            await connection.execute("SELECT log.finish_partition($1)", name, timeout=STATEMENT)
        await connection.execute(f'ANALYZE log."{name}"', timeout=STATEMENT)
        names.append(name)
        told("copying", done, len(groups))
    return names


async def swap(
    connection: Connection, groups: Sequence[Sequence[Part]], fresh: Sequence[str], also: Callable[[], Awaitable[None]]
) -> None:
    """The copies take the groups' place, and `also` is done, all or nothing. Raises CantArchive where no moment is found for it."""
    for attempt in range(SWAP_TRIES):
        try:
            async with connection.transaction(isolation="read_committed"):
                await _exchange(connection, groups, fresh)
                await also()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(0.1 * (attempt + 1))
        else:
            return
    raise CantArchive("long queries are at work on the log all the time: partitions can't be exchanged. The log is unchanged; try again")


async def _exchange(connection: Connection, groups: Sequence[Sequence[Part]], fresh: Sequence[str]) -> None:
    await connection.execute(f"SET LOCAL lock_timeout = '{int(QUIET_TIMEOUT * 1000)}ms'")
    for part in (part for group in groups for part in group):
        await connection.execute(f'LOCK TABLE log."{part.name}" IN SHARE UPDATE EXCLUSIVE MODE')
    await connection.execute(f"SET LOCAL lock_timeout = '{int(LOCK_TIMEOUT * 1000)}ms'")
    await connection.execute(sql("lock"))
    for group, name in zip(groups, fresh, strict=True):
        last = group[-1]
        for part in group:
            await connection.execute(f'ALTER TABLE log.events DETACH PARTITION log."{part.name}"')
            await connection.execute("DELETE FROM log.partitions WHERE name = $1", part.name)
        await _attach(connection, name, group[0].first, last.end + 1)
        if last.end + 1 < last.until:  # the one being written: what came after the head that was looked at goes on in a table of its own
            tail = f"{name}_tail"
            await connection.execute("SELECT log.make_partition($1, $2, $3)", tail, last.end + 1, last.until)
            rest = f'INSERT INTO log."{tail}" SELECT * FROM log."{last.name}" WHERE position > $1 ORDER BY position'
            await connection.execute(rest, last.end, timeout=STATEMENT)
            await connection.execute("SELECT log.finish_partition($1)", tail)
            await _attach(connection, tail, last.end + 1, last.until)
        for part in group:
            await connection.execute(f'DROP TABLE log."{part.name}"')


async def _attach(connection: Connection, name: str, first: int, until: int) -> None:
    await connection.execute(f'ALTER TABLE log.events ATTACH PARTITION log."{name}" FOR VALUES FROM ({first}) TO ({until})')
    await connection.execute("INSERT INTO log.partitions (first, until, name) VALUES ($1, $2, $3)", first, until, name)

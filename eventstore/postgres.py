"""The log in Postgres: appends go through the writer, reads through a pool, followers are woken by the bell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import asyncpg
import orjson
from asyncpg.connection import Connection
from asyncpg.pool import Pool, PoolConnectionProxy

from eventstore.archive import Archive
from eventstore.clock import LogClock
from eventstore.connect import connect, is_away, no_reset, prepare, settings
from eventstore.counts import Appends, Connections
from eventstore.encode import encode_append
from eventstore.errors import KeyReused, Repeated, Unavailable
from eventstore.follow import Bell, Listener, follow
from eventstore.history import History, is_whole
from eventstore.ids import IdBlocks
from eventstore.migrations import migrate
from eventstore.pulse import Pulse
from eventstore.queries import sql
from eventstore.tail import Tail
from eventstore.types import (
    Appended,
    Claim,
    CommandKey,
    Held,
    Json,
    Lease,
    Loaded,
    Recorded,
    Resumed,
    Snapshot,
    Upcast,
    Work,
    Write,
)
from eventstore.writer import Writer

T = TypeVar("T")
Pooled = Connection | PoolConnectionProxy

EVERYTHING = 2**63 - 1
PARTITION_SIZE = 4_000_000
MIGRATION = 3600  # seconds


class PostgresStore:
    """The Store over a Postgres database. Made by `await PostgresStore.open(dsn)`, within the event loop that uses it."""

    def __init__(
        self,
        dsn: str,
        pool: Pool,
        *,
        timeout: float,
        patience: float,
        poll: float,
        partition_size: int,
        archive: Path | None,
        upcast: Upcast | None,
        clock: LogClock,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._pool, self._timeout, self._patience, self._poll = pool, timeout, patience, poll
        self._bell, self._clock = Bell(), clock
        self.pulse = Pulse()
        """For whoever else reads this database."""
        if patience < timeout:
            self.pulse.start(lambda: connect(dsn, timeout), patience, timeout, clock.reach)
        self._listener = Listener(lambda: connect(dsn, timeout), self._bell)
        self._writer = Writer(
            lambda: connect(dsn, timeout, statement_timeout=timeout), self._bell, clock, self.pulse, timeout=timeout,
            patience=patience, partition_size=partition_size,
        )  # fmt: skip
        self._tail = Tail(self.read_all)
        self._blocks = IdBlocks(self._reserve, loop.time)
        self._history = History(self._rows, Archive(archive), upcast)
        self._closed = False

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        timeout: float = 10.0,
        patience: float | None = None,
        connections: int = 8,
        poll: float = 1.0,
        partition_size: int = PARTITION_SIZE,
        archive: Path | None = None,
        upcast: Upcast | None = None,
    ) -> Self:
        """Connects, waiting up to `timeout` seconds for the server, and migrates the schema.

        `timeout`: seconds for any call. `patience`: for one that finds the database away (as long, if not given): it may be a restart of
        a moment, and who waits for an answer is to be told soon. Given, it also counts for a database that hangs (eventstore.pulse).
        `connections`: for reads, at most; the writer and, once somebody follows, the listener have one each besides.
        `poll`: seconds after which a follower looks by itself. `archive`: the folder of archived events, where it is not the one
        in which they were written. `upcast`: see types.Upcast. Raises Unavailable, NewerSchema.
        """
        connection = await _again_until(timeout, lambda: connect(dsn, timeout))
        try:
            async with asyncio.timeout(MIGRATION):  # of its own: a migration of a long log takes what it takes
                await migrate(connection)
                await connection.execute(sql("forget_writers"))
                clock = LogClock(await connection.fetchval(sql("now")))
        except Exception as error:
            if is_away(error):
                raise Unavailable(f"the database went away, or took over {MIGRATION} s, while its schema was migrated: {error}") from error
            raise
        finally:
            connection.terminate()

        async def make_pool() -> Pool:
            return await asyncpg.create_pool(
                dsn, min_size=1, max_size=connections, init=prepare, reset=no_reset, timeout=timeout, server_settings=settings(timeout)
            )

        pool = await _again_until(timeout, make_pool)
        patient = timeout if patience is None else patience
        return cls(
            dsn, pool, timeout=timeout, patience=patient, poll=poll, partition_size=partition_size, archive=archive, upcast=upcast,
            clock=clock,
        )  # fmt: skip

    @property
    def counts(self) -> Appends:
        return self._writer.counts

    @property
    def connections(self) -> Connections:
        """Of the pool that reads go through."""
        return Connections.of(self._pool)

    async def append(
        self,
        writes: Sequence[Write],
        *,
        unchanged: Mapping[str, int] | None = None,
        whole: Sequence[str] = (),
        lease: Lease | None = None,
        command: CommandKey | None = None,
        work: Sequence[Work] = (),
        done: Sequence[str] = (),
    ) -> Appended:
        return await self._writer.append(encode_append(writes, unchanged, lease, command, work, done, whole))

    async def read(self, stream: str, after: int = 0, to_position: int | None = None) -> list[Recorded]:
        to = EVERYTHING if to_position is None else to_position
        return await self._history.stream(await self._rows("read", stream, after, to), after, to)

    async def read_root(self, root: str, to_position: int | None = None) -> list[Recorded]:
        to = EVERYTHING if to_position is None else to_position
        return await self._history.stream(await self._rows("read_root", root, to), 0, to)

    async def read_all(
        self,
        after: int = 0,
        limit: int = 1000,
        to_position: int | None = None,
        types: Sequence[str] | None = None,
        correlation: str | None = None,
    ) -> list[Recorded]:
        last = EVERYTHING if to_position is None else to_position
        if types is None and correlation is None:
            found = await self._events(after, limit, last)
            if is_whole(found, after, limit, to_position):
                return found
            head = await self.head()  # read again after it, so that what was appended meanwhile is not taken for archived
            found = await self._events(after, limit, min(last, after + limit))
            return await self._history.filled(found, after, limit, last, head)
        chosen = None if types is None else list(types)
        if correlation is None:
            rows = await self._rows("read_types", after, limit, last, chosen)
        else:
            rows = await self._rows("read_correlated", after, limit, last, correlation, chosen)
        return await self._history.chosen(self._history.recorded(rows), after, limit, last, chosen, correlation)

    async def read_having(self, category: str, part: Json, to_position: int | None = None) -> list[Recorded]:
        last = EVERYTHING if to_position is None else to_position
        data, metadata = (orjson.dumps(part.get(each, {})).decode() for each in ("data", "metadata"))
        rows = await self._rows("read_having", f"{category}-", f"{category}.", last, data, metadata)  # "." comes right after "-"
        return await self._history.having(self._history.recorded(rows), f"{category}-", part, last)

    async def resume(self, stream: str, form: str) -> Resumed:
        return await self._history.resumed(await self._rows("resume", stream, form), form)

    async def resume_root(self, root: str, form: str) -> Resumed:
        return await self.resume_roots([root], form)

    async def resume_roots(self, roots: Sequence[str], form: str) -> Resumed:
        return await self._history.resumed(await self._rows("resume_roots", list(roots), form), form)

    async def snapshot(self, snapshots: Sequence[Snapshot]) -> None:
        latest = {each.stream: each for each in snapshots}
        rows = [(each.stream, each.form, each.version, each.position, orjson.dumps(each.state).decode()) for each in latest.values()]
        if rows:
            columns = [list(column) for column in zip(*sorted(rows), strict=True)]
            await self._with_connection(lambda c: c.execute(sql("write_snapshots"), *columns))

    async def grown(self, by: int, form: str, after: int = 0, limit: int = 1000) -> list[str]:
        query, arguments = ("grown_since", (by, form, limit, after)) if after else ("grown", (by, form, limit))
        return [row["stream"] for row in await self._rows(query, *arguments)]

    async def follow(self, after: int = 0) -> AsyncGenerator[list[Recorded], None]:
        if not self._closed:
            self._listener.start()
        async with aclosing(follow(self._tail.after, self._bell, after, self._poll)) as batches:
            async for events in batches:
                yield events

    async def load(self, categories: Sequence[str], claim_prefixes: Sequence[str] = (), form: str = "") -> Loaded:
        low, high = [f"{each}-" for each in categories], [f"{each}." for each in categories]  # "." comes right after "-"

        async def picture(connection: Pooled) -> tuple[int, list[Any], list[Held]]:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                position: int = await connection.fetchval(sql("head")) or 0
                rows = await connection.fetch(sql("load_events"), low, high, form)
                held = await connection.fetch(sql("load_claims"), list(claim_prefixes))
                claims = [Held(row["holder"], Claim(row["scope"], row["item"], row["amount"], row["at_most"])) for row in held]
                return position, rows, claims

        position, rows, claims = await self._with_connection(picture)
        resumed = await self._history.resumed(rows, form)
        return Loaded(position, resumed.events, claims, resumed.snapshots)

    async def head(self) -> int:
        return await self._value("head") or 0

    async def writable(self) -> bool:
        return bool(await self._value("writable"))

    def now(self) -> datetime:
        return self._clock.now()

    async def ids(self, category: str, count: int = 1) -> range:
        return await self._blocks.take(category, count)

    async def holder(self, scope: str, item: str) -> str | None:
        found: str | None = await self._value("holder", scope, item)
        return found

    async def used(self, scope: str) -> int:
        return await self._value("used", scope) or 0

    async def done_before(self, command: CommandKey) -> Repeated | None:
        row = await self._with_connection(lambda c: c.fetchrow(sql("done_before"), command.account, command.key))
        if row is None:
            return None
        if row["request_hash"] != command.request_hash:
            raise KeyReused(command.key)
        return Repeated(command.key, row["status"], row["first"], row["last"], row["at"])

    async def due_work(self, partitions: Sequence[int], limit: int = 1000, *, waiting: bool = True) -> list[Work]:
        rows = await self._with_connection(lambda c: c.fetch(sql("due_work"), list(partitions), limit, waiting))
        return [Work(*row) for row in rows]

    async def acquire(self, names: Sequence[str], holder: str, seconds: float) -> list[Lease]:
        if not holder:
            raise ValueError("a lease's holder needs a name")

        async def take(connection: Pooled) -> list[Lease]:
            async with connection.transaction():
                await connection.execute(sql("lock"))
                rows = await connection.fetch(sql("acquire"), sorted(set(names)), holder, seconds)
            return [Lease(row["name"], holder, row["epoch"]) for row in rows]

        return await self._with_connection(take)

    async def renew(self, leases: Sequence[Lease], seconds: float) -> list[Lease]:
        rows = await self._with_connection(lambda c: c.fetch(sql("renew"), *_columns(leases), seconds))
        kept = {Lease(row["name"], row["holder"], row["epoch"]) for row in rows}
        for row in rows[:1]:
            self._clock.reach(row["now"])
        return [lease for lease in leases if lease in kept]

    async def leases(self, prefix: str = "") -> list[Lease]:
        return [Lease(*row) for row in await self._with_connection(lambda c: c.fetch(sql("leases"), prefix))]

    async def give_up(self, leases: Sequence[Lease]) -> None:
        await self._with_connection(lambda c: c.execute(sql("give_up"), *_columns(leases)))

    async def forget_commands(self, older: float, limit: int = 1000) -> int:
        return await self._value("forget_commands", older, limit) or 0

    async def forget_leases(self, ended: float, limit: int = 1000) -> int:
        async def forget(connection: Pooled) -> int:
            async with connection.transaction():
                await connection.execute(sql("lock"))
                return await connection.fetchval(sql("forget_leases"), ended, limit) or 0

        return await self._with_connection(forget)

    async def keys(self, streams: Sequence[str]) -> dict[str, bytes]:
        return await self._keys("keys", list(streams))

    async def add_keys(self, keys: Mapping[str, bytes]) -> dict[str, bytes]:
        return await self._keys("add_keys", list(keys), list(keys.values()))

    async def keys_after(self, stream: str, limit: int = 1000) -> dict[str, bytes]:
        return await self._keys("keys_after", stream, limit)

    async def change_keys(self, changes: Mapping[str, tuple[bytes, bytes]]) -> None:
        old, new = [each[0] for each in changes.values()], [each[1] for each in changes.values()]
        await self._with_connection(lambda c: c.execute(sql("change_keys"), list(changes), old, new))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self.pulse.close()
        await self._writer.close()
        self._bell.close()
        await self._listener.close()
        try:
            await asyncio.wait_for(self._pool.close(), self._timeout)
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            self._pool.terminate()

    async def _reserve(self, category: str, count: int) -> int:
        first: int = await self._value("ids", category, count)
        return first

    async def _events(self, after: int, limit: int, last: int) -> list[Recorded]:
        return self._history.recorded(await self._rows("read_all", after, limit, last))

    async def _keys(self, query: str, *arguments: Any) -> dict[str, bytes]:
        return {row["stream"]: row["key"] for row in await self._rows(query, *arguments)}

    async def _rows(self, query: str, *arguments: Any) -> list[Any]:
        return await self._with_connection(lambda c: c.fetch(sql(query), *arguments))

    async def _value(self, query: str, *arguments: Any) -> Any:
        return await self._with_connection(lambda c: c.fetchval(sql(query), *arguments))

    async def _with_connection(self, use: Callable[[Pooled], Awaitable[T]]) -> T:
        """Runs what may be run twice (reads, leases, ids, keys) until it succeeds or the time is over."""

        async def attempt() -> T:
            if self._closed:
                raise Unavailable("the store is closed")
            async with self.pulse.lent(self._pool) as connection:
                return await use(connection)

        return await _again_until(self._timeout, attempt, self._patience, self.pulse)


async def _again_until(
    timeout: float, attempt: Callable[[], Awaitable[T]], patience: float = EVERYTHING, pulse: Pulse | None = None
) -> T:
    """Tries until it works, pausing while the database is away; Unavailable when `timeout` seconds are over, or `patience` seconds since
    it was first found to be away, or once it is silent."""
    loop = asyncio.get_running_loop()
    pause, last, give_up = 0.02, "no answer", 0.0
    pulse = pulse or Pulse()
    try:
        async with pulse.within(timeout):
            while True:
                try:
                    return await attempt()
                except Exception as error:
                    if not is_away(error):
                        raise
                    last = f"{type(error).__name__}: {error}"
                give_up = give_up or loop.time() + patience
                if loop.time() + pause > give_up:
                    raise Unavailable(f"the database is away ({last}): try later")
                await asyncio.sleep(pause)
                pause = min(pause * 2, 0.5)
    except TimeoutError as error:
        if pulse.silent:
            raise Unavailable(f"{pulse.told}: try later") from error
        raise Unavailable(f"the database did not answer within {timeout:g} s ({last}): try later") from error


def _columns(leases: Sequence[Lease]) -> tuple[list[str], list[str], list[int]]:
    return [each.name for each in leases], [each.holder for each in leases], [each.epoch for each in leases]

"""The queries over the views: what the gateway and the CLI read. Rows come as folded resources, so newer events can be folded over them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import asyncpg
from asyncpg.pool import Pool

from commands.catalogue.catalogue import Catalogue
from commands.catalogue.model import Link, ResourceType
from eventstore.counts import Connections
from eventstore.pulse import Pulse
from projections import generations
from projections.errors import DATABASE_ERRORS, Behind, TooSlow, ViewsUnavailable
from projections.generations import generation
from projections.process_list import ProcessQuery, select_processes
from projections.processes import PROCESS_COLUMNS, ProcessRow
from projections.progress import Progress
from projections.query import SHOW_REMOVED, Query, Statement, not_hidden, select, visible
from projections.rows import Seen, from_record, refers, refers_to_engine

COLUMNS = "t.type, t.id, t.version, t.position, t.row::text as row, t.open::text as open, t.root, t.claimed"

MOST_LINKED = 20_000
"""Rows that links lead to for one answer, which has all of them: they are held in memory at once."""

POLL = 0.02
"""Seconds between two looks at the checkpoint while somebody waits and no projector of this process tells."""


@dataclass(frozen=True, slots=True)
class Status:
    """`head` is the log's; `poisoned`: stream -> why it is parked."""

    schema: str
    position: int
    poisoned: dict[str, str]


class Views:
    """Made by `await Views.open(...)`. Every query ends within `timeout` seconds, or raises TooSlow or ViewsUnavailable."""

    def __init__(self, pool: Pool, catalogue: Catalogue, progress: Progress, schema: str, timeout: float, pulse: Pulse) -> None:
        self._pool, self._catalogue, self._timeout, self._pulse = pool, catalogue, timeout, pulse
        self.progress, self.schema = progress, schema
        self._looked = 0.0
        self._looking = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        dsn: str,
        catalogue: Catalogue,
        progress: Progress | None = None,
        *,
        schema: str | None = None,
        timeout: float = 5.0,
        connections: int = 8,
        pulse: Pulse | None = None,
    ) -> Self:
        """`progress`: that of this process's projector, where there is one; `pulse`: that of its store on the same database. Makes the
        views, empty, if they are not there yet."""
        chosen = schema or generation()
        with _translated():
            connection = await generations.connect(dsn, chosen, timeout=timeout)
            try:
                await generations.ensure(connection, chosen)
            finally:
                await connection.close(timeout=timeout)
            pool: Pool = await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=connections,
                reset=_no_reset,
                timeout=timeout,
                command_timeout=timeout + 1,
                server_settings=generations.server_settings(chosen, timeout),
            )
        return cls(pool, catalogue, progress or Progress(), chosen, timeout, pulse or Pulse())

    async def close(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._pool.close()
        except DATABASE_ERRORS:
            self._pool.terminate()

    @property
    def connections(self) -> Connections:
        return Connections.of(self._pool)

    # --- rows ---

    async def get(self, type_name: str, number: int) -> Seen | None:
        """By the root type's name and number; removed ones too."""
        found = await self._fetch(f"select {COLUMNS} from resources t where type = $1 and id = $2", type_name, number)
        return from_record(found[0]) if found else None

    async def get_many(self, type_name: str, numbers: Sequence[int]) -> dict[int, Seen]:
        text = f"select {COLUMNS} from resources t where type = $1 and id = any ($2::bigint[])"
        found = await self._fetch(text, type_name, list(numbers))
        return {record["id"]: from_record(record) for record in found}

    async def rows(self, query: Query) -> list[Seen]:
        text, values = select(query, COLUMNS)
        return [from_record(record) for record in await self._fetch(text, *values)]

    async def having(self, root: ResourceType, field: str, value: Any, *, account: int | None = None) -> list[int]:
        """The numbers of live resources whose column or field holds the value."""
        statement = Statement()
        name, given = statement.add(field), statement.add(value if isinstance(value, str) else str(value).lower())
        where = f"coalesce(row ->> {name}, row -> 'data' -> 'fields' ->> {name}) = {given}"
        where += f" and type = {statement.add(root.name)} and removed is null"
        if account is not None:
            where += f" and {visible('t', root, account, statement)}"
        return [record["id"] for record in await self._fetch(f"select id from resources t where {where} order by id", *statement.values)]

    async def with_engine_id(self, begin: str, *, account: int | None = None, limit: int = 5) -> list[Seen]:
        """Live instances whose container engine's id begins so: ENGINE_LETTERS at least."""
        statement = Statement()
        where = f"refs @> array[{statement.add(refers_to_engine(begin))}] and type = 'instance' and removed is null"
        where += f" and row #>> '{{data,dockerContainer,Id}}' ^@ {statement.add(begin)}"
        if account is not None:
            where += f" and {visible('t', self._catalogue.type('instance'), account, statement)}"
        text = f"select {COLUMNS} from resources t where {where} order by id limit {limit}"
        return [from_record(record) for record in await self._fetch(text, *statement.values)]

    # --- links ---

    async def linked(
        self, link: Link, numbers: Sequence[int], *, account: int | None = None, removed: bool = False,
        show_removed: float = SHOW_REMOVED,
    ) -> dict[int, list[Seen]]:
        """What a many or map link of these resources leads to, by their number, in order of id. One query for all of them.

        many: `removed` shows those that lists hide (`show_removed` seconds after their removal).
        map: through rows that are not removed; removed targets are always shown.
        TooSlow for more than MOST_LINKED: nothing pages them.
        """
        target = self._catalogue.root_type(link.to)
        statement = Statement()
        where = [f"t.type = {statement.add(target.name)}"]
        if target.name != link.to:
            where.append(f"kind = {statement.add(link.to)}")
        if account is not None:
            where.append(visible("t", target, account, statement))
        if link.cardinality != "map" and not removed:
            where.append(not_hidden("t", statement, show_removed))
        source, via = "resources t", f"(row ->> {statement.add(link.via)})::bigint"
        referring = statement.add([refers(link.via, number) for number in numbers], "text[]")
        if link.cardinality == "map":
            other = f"(row ->> {statement.add(link.other_via)})::bigint"
            source = f"""(
                select distinct {via} as via, {other} as other from resources
                where type = {statement.add(link.through)} and refs && {referring} and removed is null
            ) m join resources t on t.id = m.other"""
            via = "m.via"
        else:
            where.append(f"refs && {referring}")
        text = f"select {via} as via, {COLUMNS} from {source} where {' and '.join(where)} order by t.id limit {MOST_LINKED + 1}"
        result: dict[int, list[Seen]] = {number: [] for number in numbers}
        records = await self._fetch(text, *statement.values)
        if len(records) > MOST_LINKED:
            raise TooSlow(
                f"{link.name} leads to more than {MOST_LINKED} rows, too many for one answer, as links have no pages: ask for the list of"
                f" {self._catalogue.type(link.to).plural}, filtered and page by page, and include {link.name} in fewer at once"
            )
        for record in records:
            result.setdefault(record["via"], []).append(from_record(record))
        return result

    # --- processes ---

    async def processes(self, type_name: str, number: int, limit: int = 100) -> list[ProcessRow]:
        """Of a resource, oldest first; the latest `limit`."""
        found = await self._fetch(
            f"select * from (select {', '.join(PROCESS_COLUMNS)} from processes where type = $1 and id = $2"
            " order by position desc limit $3) latest order by started_at, position",
            type_name,
            number,
            limit,
        )
        return [ProcessRow(**dict(record)) for record in found]

    async def process(self, pid: str) -> ProcessRow | None:
        found = await self._fetch(f"select {', '.join(PROCESS_COLUMNS)} from processes where pid = $1", pid)
        return ProcessRow(**dict(found[0])) if found else None

    async def under_way(self, limit: int = 100) -> list[ProcessRow]:
        """The processes that have not ended, oldest first."""
        found = await self._fetch(
            f"select {', '.join(PROCESS_COLUMNS)} from processes where ended_at is null order by position limit $1", limit
        )
        return [ProcessRow(**dict(record)) for record in found]

    async def list_processes(self, query: ProcessQuery) -> list[ProcessRow]:
        """As the API's process instances."""
        text, values = select_processes(query)
        return [ProcessRow(**dict(record)) for record in await self._fetch(text, *values)]

    # --- how far ---

    async def wait_for(self, position: int, timeout: float) -> bool:
        """True once the views hold this position; False when they don't within `timeout` seconds. Never raises for a database away."""
        deadline = time.monotonic() + timeout
        while self.progress.position < position:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if not await self.progress.wait(position, min(POLL, left)):
                await self._look(deadline)
        return True

    async def require(self, position: int, timeout: float) -> None:
        """wait_for(), or Behind."""
        if not await self.wait_for(position, timeout):
            raise Behind(position, self.progress.position)

    async def status(self) -> Status:
        position = await self._fetch("select position from checkpoint")
        bad = await self._fetch("select stream, error from poisoned order by stream")
        self.progress.reached(position[0]["position"])
        return Status(self.schema, position[0]["position"], {record["stream"]: record["error"] for record in bad})

    async def _look(self, deadline: float) -> None:
        """Reads the checkpoint; many who wait look once."""
        try:
            async with self._pulse.within(max(0.0, deadline - time.monotonic())), self._looking:
                if time.monotonic() - self._looked < POLL:
                    return
                async with self._pulse.lent(self._pool) as connection:
                    self.progress.reached(await connection.fetchval("select position from checkpoint"))
                self._looked = time.monotonic()
        except DATABASE_ERRORS:
            await asyncio.sleep(min(POLL, max(0.0, deadline - time.monotonic())))

    async def _fetch(self, text: str, *values: Any) -> list[asyncpg.Record]:
        with _translated():
            async with self._pulse.within(self._timeout + 2), self._pulse.lent(self._pool) as connection:
                return await connection.fetch(text, *values)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except asyncpg.QueryCanceledError as error:
        raise TooSlow(
            "this query takes too long: filter by what has an index, too, or ask for no other order. There is one for id, uuid,"
            " name (as it is, or its beginning by name_prefix), state, kind, accountId, and any other reference by its id"
        ) from error
    except DATABASE_ERRORS as error:
        raise ViewsUnavailable(f"the views can't be read now: {str(error) or type(error).__name__}. Try again in a moment") from error


async def _no_reset(connection: object) -> None:
    """These connections keep no session state, and asyncpg's reset query would cost a quarter of the reads."""

"""One batch of events into the views: what it touches is read in one query a view, folded, and written once, with the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
from asyncpg.connection import Connection

from commands.resource import split_stream
from eventstore import Recorded
from projections import leases
from projections.errors import Superseded
from projections.fold import Picture, Poison
from projections.known import Known
from projections.processes import PROCESS_COLUMNS, ProcessRow
from projections.rows import COLUMNS, from_record

REFS = COLUMNS.index("refs")


@cache
def sql(name: str) -> str:
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_text(encoding="utf-8")


async def apply_all(connection: Connection, batch: Sequence[Recorded], expected: int, known: Known | None = None) -> list[Poison]:
    """apply(), and where the database refuses the batch's data, event by event, so that only the refused one's stream is parked."""
    try:
        return await apply(connection, batch, expected, known)
    except asyncpg.DataError:
        poison: list[Poison] = []
        for event in batch:
            try:
                poison += await apply(connection, [event], expected, known)
            except asyncpg.DataError as error:
                poison.append(await park(connection, event, expected, error, known))
            expected = event.position
        return poison


async def checkpoint(connection: Connection) -> int:
    return int(await connection.fetchval("select position from checkpoint"))


async def apply(connection: Connection, batch: Sequence[Recorded], expected: int, known: Known | None = None) -> list[Poison]:
    """Folds `batch` in, in one transaction, if the checkpoint stands at `expected`; raises Superseded if it doesn't.

    `known`: what the caller's batches before this one left behind; whoever has it writes these views alone.
    -> the streams that this batch poisoned. Database errors are raised as they are, and leave everything as it was.
    """
    known = known or Known()
    async with connection.transaction():
        known.of(await _advance(connection, expected, batch[-1].position))
        picture = await _picture(connection, batch, known)
        picture.fold(batch)
        await _write(connection, picture)
    known.keep(picture)
    return picture.new_poison


async def park(connection: Connection, event: Recorded, expected: int, error: Exception, known: Known | None = None) -> Poison:
    """Passes over an event whose rows the database refuses, and parks its stream."""
    picture = Picture()
    picture.poison(event, error)
    async with connection.transaction():
        await _advance(connection, expected, event.position)
        await _write(connection, picture)
    if known is not None:
        known.of(0)
    return picture.new_poison[0]


async def _advance(connection: Connection, expected: int, position: int) -> int:
    """-> which table the checkpoint is in (a rebuild puts another in its place). Raises Superseded."""
    moved = "update checkpoint set position = $2 where position = $1 returning tableoid::bigint"
    table: int | None = await connection.fetchval(moved, expected, position)
    if table is None:
        raise Superseded(f"the views' checkpoint is no longer at {expected}: another projector is at work")
    return table


async def _picture(connection: Connection, batch: Sequence[Recorded], known: Known) -> Picture:
    picture, missing = known.begin(batch)
    if missing.streams:
        keys = [split_stream(stream) for stream in missing.streams]
        for record in await connection.fetch(sql("load_rows"), [key[0] for key in keys], [key[1] for key in keys]):
            seen = from_record(record)
            picture.rows[seen.resource.stream] = seen
    if missing.pids:
        for record in await connection.fetch(sql("load_processes"), list(missing.pids)):
            row = ProcessRow(**dict(record))
            picture.processes[row.pid] = row
    if missing.claims:
        scopes, items = zip(*missing.claims, strict=True)
        for record in await connection.fetch(sql("load_claims"), list(scopes), list(items)):
            picture.claims[record["scope"], record["item"]] = (record["holder"], record["amount"])
    if missing.poisoned:
        for record in await connection.fetch("select * from poisoned"):
            picture.poisoned[record["stream"]] = Poison(**dict(record))
    return picture


async def _write(connection: Connection, picture: Picture) -> None:
    rows = []
    for stream in sorted(picture.changed_rows):  # in one order everywhere, so that nobody deadlocks
        record = list(picture.record(stream))
        record[REFS] = " ".join(record[REFS])
        rows.append(record)
    if rows:
        await connection.execute(sql("write_rows"), *_columns(rows))
    if picture.gone_rows:
        gone = sorted(split_stream(stream)[1] for stream in picture.gone_rows)
        for view in ("resources", "listed"):
            await connection.execute(f"delete from {view} where type = $1 and id = any ($2::bigint[])", leases.TYPE, gone)
    if picture.changed_processes:
        processes = [picture.processes[pid] for pid in sorted(picture.changed_processes)]
        await connection.execute(sql("write_processes"), *_columns([[getattr(p, name) for name in PROCESS_COLUMNS] for p in processes]))
    if picture.changed_claims:
        await _write_claims(connection, picture)
    if picture.new_poison:
        await connection.executemany(
            "insert into poisoned (stream, version, position, error) values ($1, $2, $3, $4) on conflict do nothing",
            [(each.stream, each.version, each.position, each.error) for each in picture.new_poison],
        )


async def _write_claims(connection: Connection, picture: Picture) -> None:
    changed = sorted(picture.changed_claims)
    gone = [key for key in changed if key not in picture.claims]
    held = [(*key, *picture.claims[key]) for key in changed if key in picture.claims]
    await connection.execute(
        "delete from claims c using unnest($1::text[], $2::text[]) as gone (scope, item) where c.scope = gone.scope and c.item = gone.item",
        *(_columns(gone) or ([], [])),
    )
    if held:
        await connection.execute(
            "insert into claims (scope, item, holder, amount) select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[])"
            " on conflict (scope, item) do update set holder = excluded.holder, amount = excluded.amount",
            *_columns(held),
        )


def _columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]

"""corral replay --to without a stream: everything as it was at a moment, built from the log into memory or into a schema, and asked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from asyncpg.connection import Connection
from rich.text import Text

from commands.catalogue.ids import api_id
from commands.catalogue.secrets import masked, secret_names
from commands.resource import Resource
from deploy.cli.catalogue import catalogue, fields_of, near
from deploy.cli.database import advance, archive_folder, database_of, opened, progress
from deploy.cli.errors import Failed, WrongUse
from deploy.cli.moments import position_at
from deploy.cli.references import told
from deploy.cli.show import Format, hint, out, print_json, state_text, table, written
from deploy.cli.things import ids_meant, images_give_way, stream_meant
from eventstore import Store
from projections import generations
from projections.apply import apply_all
from projections.errors import DATABASE_ERRORS
from projections.fold import Picture
from projections.history import counts, flat, read_to, resource_at, rows_of, state_at
from projections.rows import Seen

Json = dict[str, Any]

SCHEMA = re.compile(r"[a-z][a-z0-9_]{0,50}")
OURS = "made by corral replay --into"
"""The comment on a scratch schema: only what has it is ever dropped."""


HEADED = frozenset({"id", "stream", "state", "position"})
"""What the heading of one thing says, and the lines below it need not."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the state. `where`: name=value, all of which must hold."""

    type: str | None = None
    where: tuple[str, ...] = ()
    show: str | None = None
    removed: bool = False


def replay_all(home: Path | None, postgres: str | None, moment: str, question: Question, into: str | None, output: Format) -> None:
    asyncio.run(_replay_all(home, database_of(home, postgres), moment, question, into, output))


def drop(home: Path | None, postgres: str | None, schema: str) -> None:
    asyncio.run(_drop(database_of(home, postgres), checked(schema)))
    hint(f"Schema {schema} is dropped.")


async def _replay_all(home: Path | None, where: str, moment: str, question: Question, into: str | None, output: Format) -> None:
    check(question)
    if into is not None:
        checked(into)
    async with opened(where, archive_folder(home)) as store:
        position = await position_at(store, moment)
        if into is not None:
            await _build(store, where, into, position, output)
        elif question.show is not None:
            await _show_one(store, question.show, position, output)
        else:
            with progress("replaying") as bar:
                picture = await state_at(store, position, lambda done, all: advance(bar, done, all))
            (_show_list if question.type or question.where else _show_counts)(picture, position, question, output)


def check(question: Question) -> None:
    """Raises WrongUse for a type that is not, or a filter that is none."""
    if question.type is not None and question.type not in catalogue().types:
        raise WrongUse(f"there is no type {question.type}{near(question.type, catalogue().types)}")
    for each in question.where:
        if "=" not in each:
            raise WrongUse(f"--where {each}: name=value is expected, e.g. state=running")


def check_fields(question: Question, there: Iterable[Seen]) -> None:
    """Raises WrongUse for a filter by a field that nothing of the type can have: it would only find nothing. What is in `data` is free."""
    known = fields_of(question.type).union(*(flat(seen.shown) for seen in there))
    for name in (each.partition("=")[0] for each in question.where):
        if name not in known and not name.startswith("data."):
            where = f"of {question.type}" if question.type is not None else "of any type"
            shown = "`corral replay --to 0s --show THING` shows those of a thing"
            raise WrongUse(f"--where {name}: there is no such field {where}{near(name, known, shown)}")


def fits(seen: Seen, where: Iterable[str]) -> bool:
    values = flat(seen.shown)
    wanted = (each.partition("=") for each in where)
    return all(_text(values.get(name)) == value for name, _, value in wanted)


def document_at(seen: Seen) -> Json:
    """For programs: what is known of a resource, secrets masked."""
    resource = seen.shown
    told = {**flat(resource), "stream": resource.stream, "version": resource.version, "position": resource.position}
    if resource.open:
        told["underWay"] = [each.process for each in resource.open.values()]
    return dict(masked(told, secret_names(catalogue())))


def _show_list(picture: Picture, position: int, question: Question, output: Format) -> None:
    rows_there = list(rows_of(picture, question.type, removed=question.removed))
    check_fields(question, rows_there)
    found = [seen for seen in rows_there if fits(seen, question.where)]
    if output is Format.JSON:
        print_json([document_at(seen) for seen in found])
        return
    named = [each.partition("=")[0] for each in question.where if not each.startswith(("state=", "name=", "kind="))]
    rows: list[Sequence[str | Text]] = []
    for seen in found:
        resource = seen.shown
        under_way = ", ".join(each.process for each in resource.open.values())
        values = [told(resource.stream, resource.kind, name, flat(resource).get(name)) for name in named]
        state = state_text({"state": resource.state, "transitioning": "yes" if resource.open else "no"})
        number, name = api_id(shown_type(resource), resource.id, catalogue()), str(resource.row.get("name") or "")
        rows.append([resource.stream, number, state, name, *values, under_way])
    table(["STREAM", "ID", "STATE", "NAME", *(name.upper() for name in named), "UNDER WAY"], rows)
    hint(f"{len(rows)} at position {position}" + ("" if question.removed else "; removed ones too: --all"))


def shown_type(resource: Resource) -> str:
    """What --type takes: container for an instance of that kind, host for one of kind sim."""
    return resource.kind if resource.kind in catalogue().types else resource.type


def _show_counts(picture: Picture, position: int, question: Question, output: Format) -> None:
    found = counts(picture, shown_type)
    poisoned = sorted(picture.poisoned)
    if output is Format.JSON:
        print_json({"position": position, "types": found, "processes": len(_under_way(picture)), "poisoned": poisoned})
        return
    each = {kind: ", ".join(f"{number} {state or '-'}" for state, number in states.items()) for kind, states in found.items()}
    table(["TYPE", "ALL", "STATES"], [(kind, str(sum(found[kind].values())), each[kind]) for kind in found])
    hint(f"At position {position}; {len(_under_way(picture))} processes under way. A list: --type container")
    for stream in poisoned:
        hint(f"{stream} has an event that can't be folded: corral events --stream {stream}")


def _under_way(picture: Picture) -> list[str]:
    return [bracket.pid for seen in picture.rows.values() for bracket in seen.resource.open.values()]


async def _show_one(store: Store, thing: str, position: int, output: Format) -> None:
    show_then((await _found(store, thing, position)).resource, output)


def show_then(resource: Resource, output: Format) -> None:
    """One resource as it was: as inspect shows it, but by streams, as the log does."""
    document = document_at(Seen(resource))
    if output is Format.JSON:
        print_json(document)
        return
    state = state_text({"state": resource.state, "transitioning": "yes" if resource.open else "no"})
    heading = f"{resource.stream} ({resource.name})" if resource.row.get("name") else resource.stream
    out().print(Text.assemble((heading, "bold"), f"  {shown_type(resource)}, as of position {resource.position}, ", state))
    width = max(map(len, document))
    for name in sorted(document.keys() - HEADED, key=lambda each: (each.startswith("data."), each)):
        out().print(Text.assemble((f"  {name:<{width}}  ", "dim"), told(resource.stream, resource.kind, name, document[name])))


async def _found(store: Store, thing: str, position: int) -> Seen:
    """By stream or id, or by the name or uuid that it had then."""
    stream = stream_meant(thing)
    meant = [stream] if stream else ids_meant(thing)
    for kind, number in meant:
        if (resource := await resource_at(store, f"{kind}-{number}", position)) is not None:
            return Seen(resource)
    found = []
    if not meant:
        with progress("replaying") as bar:
            picture = await state_at(store, position, lambda done, all: advance(bar, done, all))
        found = [seen for seen in rows_of(picture, removed=True) if thing in (seen.resource.row.get("name"), seen.resource.row.get("uuid"))]
        found = images_give_way(found, lambda seen: seen.resource.type)
        found = [seen for seen in found if not seen.resource.removed] or found
    if len(found) > 1:
        raise Failed(f"{thing} is the name of several: give one of {', '.join(seen.resource.stream for seen in found)}")
    if not found:
        raise Failed(f"there is no {thing} at position {position}: it comes later, if ever")
    return found[0]


# --- into a schema ---


def checked(schema: str) -> str:
    """Raises WrongUse for a name that is none, or that is Corral's own."""
    if not SCHEMA.fullmatch(schema) or schema in ("log", "public", "information_schema") or schema.startswith(("views_", "log_", "pg_")):
        raise WrongUse(f"{schema!r} can't be a scratch schema's name: small letters, digits and _, and none that Corral or Postgres uses")
    return schema


async def _build(store: Store, where: str, schema: str, position: int, output: Format) -> None:
    try:
        connection = await generations.connect(where, schema, statement_timeout=3600)
    except DATABASE_ERRORS as error:
        raise Failed(f"the database does not answer ({error})") from None
    try:
        if await connection.fetchval("select to_regnamespace($1) is not null", schema):
            again = " (corral replay --drop)" if await _is_ours(connection, schema) else ""
            raise Failed(f"there is a schema {schema} already{again}: drop it, or choose another name")
        async with connection.transaction():
            await generations.ensure(connection, schema)
            await connection.execute(f"comment on schema \"{schema}\" is '{OURS}'")
        before = 0
        with progress("replaying") as bar:
            async for batch in read_to(store, position):
                await apply_all(connection, batch, before)
                before = batch[-1].position
                advance(bar, before, position)
        rows = await connection.fetchval("select count(*) from resources")
    finally:
        await connection.close(timeout=10)
    if output is Format.JSON:
        print_json({"schema": schema, "position": position, "resources": rows})
        return
    out().print(f"Schema {schema} holds the views as of position {position}: {rows} resources.")
    hint(f"psql: select kind, row ->> 'state' as state, count(*) from {schema}.resources group by 1, 2")
    hint(f"and then: corral replay --drop {schema}")


async def _drop(where: str, schema: str) -> None:
    try:
        connection = await asyncpg.connect(where, timeout=10)
    except DATABASE_ERRORS as error:
        raise Failed(f"the database does not answer ({error})") from None
    try:
        if not await _is_ours(connection, schema):
            raise Failed(f"{schema} is no schema that corral replay --into made: it stays")
        await connection.execute(f'drop schema "{schema}" cascade', timeout=60)
    finally:
        await connection.close(timeout=10)


async def _is_ours(connection: Connection, schema: str) -> bool:
    comment = await connection.fetchval("select obj_description(to_regnamespace($1)::oid, 'pg_namespace')", schema)
    return bool(comment == OURS)


def _text(value: Any) -> str:
    return "" if value is None else written(value)

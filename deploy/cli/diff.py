"""corral diff: what changed between two moments, grouped by who asked for it and by which request, secrets masked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from commands.catalogue.secrets import masked, secret_names
from deploy.cli import moments
from deploy.cli.catalogue import catalogue, near
from deploy.cli.database import Home, Postgres, advance, archive_folder, database_of, opened, progress
from deploy.cli.errors import WrongUse
from deploy.cli.options import HISTORY, Command, Output, command
from deploy.cli.references import told
from deploy.cli.show import Format, now, out, print_json
from deploy.cli.telling import clock, duration
from deploy.cli.things import ids_meant, stream_meant
from eventstore import Store
from projections.history import Change, Deed, deeds_between, resource_at, resources_touched

Json = dict[str, Any]

MARKS = {"created": ("+", "green"), "changed": ("~", "yellow"), "removed": ("-", "red")}

QUIET = frozenset({"id", "uuid", "created", "kind", "name"})
"""Fields of a new thing that its heading tells, or that nobody wants to read."""

FEW = 3
"""Processes that a heading names; the things below it tell the rest."""


class OfMoments(Command):
    """Its arguments are moments: one before the log's begin would be taken for an option of that name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for each in args[: args.index("--")] if "--" in args else args:
            if re.fullmatch(r"-[0-9]+[a-z]?", each):
                raise WrongUse(f"{each!r} is no moment: give {moments.HELP}")
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @command(app, "diff", HISTORY, [
        "corral diff 100 200                     (what happened after position 100, up to 200)",
        "corral diff 12h 1h                      (between 12 hours ago and an hour ago)",
        "corral diff 2026-11-20 --type container (since then, of containers only)",
        "corral diff 1d --thing 1i5 -o json",
    ], cls=OfMoments)  # fmt: skip
    def diff(
        a: Annotated[str, typer.Argument(metavar="A", help=f"From here: {moments.HELP}.", show_default=False)],
        b: Annotated[str | None, typer.Argument(metavar="[B]", help="Up to here; now, if it is left out.", show_default=False)] = None,
        kind: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only things of this type.")] = None,
        thing: Annotated[str | None, typer.Option("--thing", metavar="THING", help="Only this one: its id or stream.")] = None,
        home_folder: Home = None,
        postgres: Postgres = None,
        output: Output = Format.TEXT,
    ) -> None:
        """Say what changed between two moments: what was created, changed and removed, by whom, by which request."""
        if kind is not None and kind not in catalogue().types:
            raise WrongUse(f"there is no type {kind}{near(kind, catalogue().types)}")
        asyncio.run(_diff(home_folder, database_of(home_folder, postgres), a, b, kind, thing, output))


async def _diff(
    home: Path | None, where: str, a: str, b: str | None, kind: str | None, thing: str | None, output: Format
) -> None:
    async with opened(where, archive_folder(home)) as store:
        first = await moments.position_at(store, a)
        last = await moments.position_at(store, b) if b is not None else await store.head()
        if first > last:
            raise WrongUse(f"{a} (position {first}) comes after {b} (position {last}): the earlier one goes first")
        with progress("comparing") as bar:
            found = await deeds_between(store, first, last, wanted(kind, thing), lambda done, all: advance(bar, done, all))
        if kind is not None:
            found = [_only(deed, kind) for deed in found]
        found = [deed for deed in found if deed.changes]
        people = {deed.actor: await _called(store, deed.actor, last) for deed in found}
    if output is Format.JSON:
        print_json({"from": first, "to": last, "deeds": [document_of(deed, people) for deed in found]})
    else:
        _print(first, last, found, people)


def wanted(kind: str | None, thing: str | None) -> Callable[[str], bool]:
    """Which streams are looked at."""
    if thing is not None:
        stream = stream_meant(thing)
        meant = {f"{name}-{number}" for name, number in ([stream] if stream else ids_meant(thing))}
        if not meant:
            raise WrongUse(f"{thing}: an id (1i54) or a stream (instance-54) is expected; names may have changed in between")
        return lambda stream: stream in meant
    if kind is not None:
        root = catalogue().root_type(kind).name
        return lambda stream: stream.rpartition("-")[0] == root
    return lambda stream: True


def _only(deed: Deed, kind: str) -> Deed:
    """Of a child type (container), only the root type's things of that kind."""
    if catalogue().type(kind).parent is not None:
        deed.changes = [change for change in deed.changes if change.kind == kind]
    return deed


async def _called(store: Store, actor: int | None, position: int) -> str:
    if actor is None:
        return "Corral by itself"
    account = await resource_at(store, f"account-{actor}", position)
    name = account.row.get("name") if account else None
    return f"{name} (account-{actor})" if name else f"account-{actor}"


def document_of(deed: Deed, people: Mapping[int | None, str]) -> Json:
    """For programs."""
    return {
        "actor": deed.actor, "by": people[deed.actor], "request": deed.correlation, "processes": deed.processes,
        "from": deed.first.position, "to": deed.last.position, "at": deed.first.at.isoformat(), "events": deed.events,
        "changes": [
            {"stream": change.stream, "what": change.what, "kind": change.kind, "name": change.name, "fields": fields_of(change)}
            for change in deed.changes
        ],
    }  # fmt: skip


def fields_of(change: Change) -> dict[str, Json]:
    """name -> {from, to}, secrets masked."""
    names = secret_names(catalogue())
    before = masked({name: old for name, (old, _) in change.fields.items()}, names)
    after = masked({name: new for name, (_, new) in change.fields.items()}, names)
    return {name: {"from": before[name], "to": after[name]} for name in change.fields}


def asked_for(deed: Deed) -> str:
    """The processes that a request asked for: the first few, and how many more."""
    shown, more = deed.processes[:FEW], len(deed.processes) - FEW
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "") or "changes"


def _many(number: int, what: str) -> str:
    return f"{number} {what}" + ("s" if number != 1 else "")


def _print(first: int, last: int, found: Sequence[Deed], people: Mapping[int | None, str]) -> None:
    console, today = out(), now()
    summary = f"{_many(len(found), 'request')}, {_many(len(resources_touched(found)), 'thing')} changed"
    console.print(Text(f"After position {first}, up to {last}: {summary}", style="bold"))
    for deed in found:
        console.print()
        console.print(Text.assemble((f"{clock(deed.first.at, today)}  ", "dim"), (people[deed.actor], "bold"), f": {asked_for(deed)}"))
        request = f"request {deed.correlation}, " if deed.correlation else ""
        took = duration((deed.last.at - deed.first.at).total_seconds())
        console.print(Text(f"  {request}{_many(deed.events, 'event')} in {took}", style="dim"))
        for change in deed.changes:
            mark, colour = MARKS[change.what]
            name = f" ({change.name})" if change.name != change.stream else ""
            kind = f"  {change.kind}" if change.what == "created" else ""
            console.print(Text(f"  {mark} {change.stream}{name}{kind}", style=colour))
            for field, pair in fields_of(change).items():
                if change.what == "created" and field in QUIET:
                    continue
                old, new = (told(change.stream, change.kind, field, pair[each]) for each in ("from", "to"))
                text = new if pair["from"] is None else f"{old} -> {'nothing' if pair['to'] is None else new}"
                console.print(Text.assemble((f"      {field}: ", "dim"), text))

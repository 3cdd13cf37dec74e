"""corral replay: a stream's events, what each changed, and the state after it, by the very fold that everything else uses.

Without a stream it is about everything at a moment: state.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from commands.resource import Resource, empty, evolve
from deploy.cli import moments, state
from deploy.cli.database import Home, Postgres
from deploy.cli.errors import Failed, WrongUse
from deploy.cli.options import HISTORY, Output, Url, command, connect
from deploy.cli.reading import of_stream, stream_of
from deploy.cli.references import told
from deploy.cli.show import EVENT_COLOURS, Format, now, out, print_json
from deploy.cli.telling import clock, document, gist
from eventstore import Recorded
from projections.history import differences, flat

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class After:
    """One event, and the resource after it. `changed`: name -> (old, new)."""

    event: Recorded
    resource: Resource
    state: Json
    changed: dict[str, tuple[Any, Any]]

    def document(self) -> Json:
        """For programs."""
        changed = {name: {"from": old, "to": new} for name, (old, new) in self.changed.items()}
        return {"event": document(self.event), "changed": changed, "state": self.state}


def after_each(events: Iterable[Recorded]) -> Iterator[After]:
    resource: Resource | None = None
    before: Json = {}
    for event in events:
        resource = evolve(resource or empty(event.stream), event)
        after = flat(resource)
        yield After(event, resource, after, differences(before, after))
        before = after


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @command(app, "replay", HISTORY, [
        "corral replay instance-1",
        "corral replay web --to 40               (up to position 40 of the log; also: 2026-11-20T14:05, 90m ago as 90m)",
        "corral replay web --full                (everything after each event, not only what changed)",
        "corral replay --to 12h                  (all of Corral as it was 12 hours ago: how many of what, in which state)",
        "corral replay --to 1234 --type container --where state=running --where imageId=2",
        "corral replay --to 1234 --show 1i5      (one thing as it was)",
        "corral replay --to 1234 --into monday   (a schema to ask with SQL; corral replay --drop monday)",
    ])  # fmt: skip
    def replay(
        thing: Annotated[
            str | None, typer.Argument(metavar="[STREAM]", help="A stream (instance-54), or another name.", show_default=False)
        ] = None,
        to: Annotated[str | None, typer.Option("--to", "--at", metavar="MOMENT", help=f"Stop there: {moments.HELP}.")] = None,
        full: Annotated[bool, typer.Option("--full", help="Of a stream: show all of the state after each event.")] = False,
        kind: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Of everything: a list of this type.")] = None,
        where: Annotated[
            list[str] | None, typer.Option("--where", metavar="NAME=VALUE", help="Only those with this value; may be repeated.")
        ] = None,
        show: Annotated[str | None, typer.Option("--show", metavar="THING", help="Of everything: this one.")] = None,
        removed: Annotated[bool, typer.Option("--all", "-a", help="Removed ones, too.")] = False,
        into: Annotated[str | None, typer.Option("--into", metavar="SCHEMA", help="Build it in a schema of the database.")] = None,
        drop: Annotated[str | None, typer.Option("--drop", metavar="SCHEMA", help="Drop such a schema.")] = None,
        url: Url = None,
        home_folder: Home = None,
        postgres: Postgres = None,
        output: Output = Format.TEXT,
    ) -> None:
        """Show how a thing came to be, event by event; or, with --to alone, everything as it was. It only reads: nothing is done again."""
        whole = kind is not None or bool(where) or show is not None or removed or into is not None
        if drop is not None:
            if thing or to or whole:
                raise WrongUse("--drop goes alone")
            state.drop(home_folder, postgres, drop)
        elif thing is None:
            if to is None:
                raise WrongUse(f"name a stream, or say with --to up to where everything is to be replayed: {moments.HELP}")
            question = state.Question(kind, tuple(where or ()), show, removed)
            state.replay_all(home_folder, postgres, to, question, into, output)
        elif whole:
            raise WrongUse("--type, --where, --show, --all and --into are about everything at a moment: leave the stream out, and say --to")
        else:
            _replay_one(url, thing, to, full, output)


def _replay_one(url: str | None, thing: str, to: str | None, full: bool, output: Format) -> None:
    with connect(url) as client:
        stream = stream_of(client, thing)
        at = moments.position_over_http(client, to) if to is not None else None
        steps = list(after_each(of_stream(client, stream, at)))
    if not steps:
        raise Failed(f"{stream} does not exist" + (f" at position {at}: it comes later, if ever" if at is not None else ""))
    if output is Format.JSON:
        print_json([step.document() for step in steps])
    else:
        _print(stream, steps, full, at)


def _print(stream: str, steps: Sequence[After], full: bool, at: int | None) -> None:
    console, today = out(), now()
    for step in steps:
        event = step.event
        place = (event.id, "bold"), (f"  position {event.position}  {clock(event.at, today)}  ", "dim")
        console.print(Text.assemble(*place, (event.type, EVENT_COLOURS.get(event.type, "")), f"  {gist(event)}"))
        _print_state(console, step, full)
    end = steps[-1].resource
    under_way = f"; under way: {', '.join(each.process for each in end.open.values())}" if end.open else ""
    console.print(Text(f"{'Now' if at is None else f'At position {at}'} {stream} is {end.state}{under_way}", style="bold"))


def _print_state(console: Console, step: After, full: bool) -> None:
    """The fields that changed (+ new, - gone, ~ old -> new); with `full` the others too, dimmed."""
    names = sorted({*step.state, *step.changed}) if full else list(step.changed)
    width = max((len(name) for name in names), default=0)
    resource = step.resource
    for name in names:
        if name not in step.changed:
            console.print(Text(f"      {name:<{width}}  {told(resource.stream, resource.kind, name, step.state[name])}", style="dim"))
            continue
        before, after = step.changed[name]
        old, new = (told(resource.stream, resource.kind, name, each) for each in (before, after))
        mark, change, colour = "~", f"{old} -> {new}", "yellow"
        if before is None:
            mark, change, colour = "+", new, "green"
        elif after is None:
            mark, change, colour = "-", old, "red"
        console.print(Text(f"    {mark} {name:<{width}}  {change}", style=colour))

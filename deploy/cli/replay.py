"""corral replay: a stream's events, what each changed, and the state after it, by the very fold that everything else uses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from commands.resource import Resource, empty, evolve
from deploy.cli.errors import Failed
from deploy.cli.options import HISTORY, Output, Url, command, connect
from deploy.cli.reading import of_stream, stream_of
from deploy.cli.show import EVENT_COLOURS, Format, now, out, print_json
from deploy.cli.telling import clock, document, gist
from eventstore import Recorded

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
        state = flat(resource)
        yield After(event, resource, state, differences(before, state))
        before = state


def flat(resource: Resource) -> Json:
    """The row as people know it: columns, the fields without a column beside them, other data as data.<key>; nulls left out."""
    row = {name: value for name, value in resource.row.items() if name != "data"}
    data = resource.row.get("data") or {}
    row.update({f"data.{name}": value for name, value in data.items() if name != "fields"})
    row.update(resource.fields)
    return {name: value for name, value in row.items() if value is not None}


def differences(before: Json, after: Json) -> dict[str, tuple[Any, Any]]:
    return {name: (before.get(name), after.get(name)) for name in sorted({*before, *after}) if before.get(name) != after.get(name)}


def written(value: Any, longest: int = 100) -> str:
    """On one line; long values are cut."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @command(app, "replay", HISTORY, [
        "corral replay instance-1",
        "corral replay web --at 40               (as it was at position 40 of the log)",
        "corral replay web --full                (everything after each event, not only what changed)",
    ])  # fmt: skip
    def replay(
        thing: Annotated[str, typer.Argument(metavar="STREAM", help="A stream (instance-54), or another name.", show_default=False)],
        at: Annotated[int | None, typer.Option("--at", metavar="POSITION", min=0, help="Stop at this position of the log.")] = None,
        full: Annotated[bool, typer.Option("--full", help="Show all of the state after each event.")] = False,
        url: Url = None,
        output: Output = Format.TEXT,
    ) -> None:
        """Show how a thing came to be: event by event, with its state after each. Replaying only reads: nothing is done again."""
        with connect(url) as client:
            stream = stream_of(client, thing)
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
    for name in names:
        if name not in step.changed:
            console.print(Text(f"      {name:<{width}}  {written(step.state[name])}", style="dim"))
            continue
        old, new = step.changed[name]
        mark, change, colour = "~", f"{written(old)} -> {written(new)}", "yellow"
        if old is None:
            mark, change, colour = "+", written(new), "green"
        elif new is None:
            mark, change, colour = "-", written(old), "red"
        console.print(Text(f"    {mark} {name:<{width}}  {change}", style=colour))

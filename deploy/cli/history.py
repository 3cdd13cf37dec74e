"""corral events, logs: the log as it is, and a thing's history in sentences."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Any

import typer
from rich.text import Text

from deploy.cli.errors import Failed, WrongUse
from deploy.cli.live import print_written
from deploy.cli.options import HISTORY, Output, Thing, Url, command, connect
from deploy.cli.reading import names, of_root, stream_of
from deploy.cli.show import EVENT_COLOURS, Format, hint, now, out, print_json, print_line
from deploy.cli.telling import Teller, clock, document, gist, recorded

Json = dict[str, Any]


def register(app: typer.Typer) -> None:
    """Adds these commands to the CLI."""

    @command(app, "events", HISTORY, [
        "corral events --last 20",
        "corral events --follow",
        "corral events --stream instance-1 --type process-failed",
        "corral events -o json | jq .type        (one document a line)",
    ])  # fmt: skip
    def events(
        follow: Annotated[bool, typer.Option("--follow", "-f", help="Then wait for more, until Ctrl-C.")] = False,
        last: Annotated[int | None, typer.Option("--last", "-n", min=0, help="Only the last so many positions, and what follows.")] = None,
        after: Annotated[int | None, typer.Option("--after", min=0, help="Only what comes after this position.")] = None,
        stream: Annotated[str | None, typer.Option("--stream", metavar="THING", help="Only those of one thing.")] = None,
        types: Annotated[list[str] | None, typer.Option("--type", metavar="TYPE", help="Only of this type; may be repeated.")] = None,
        url: Url = None,
        output: Output = Format.TEXT,
    ) -> None:
        """Show the log: every event, in the one order in which all of them happened."""
        if last is not None and after is not None:
            raise WrongUse("--last and --after both say where to begin: give one of them")
        with connect(url) as client, suppress(KeyboardInterrupt):
            begin = max(0, client.head() - last) if last is not None else after or 0
            given: Json = {"stream": stream_of(client, stream) if stream else None, "type": types or None}
            print_events(client.follow(begin, hint, **given) if follow else client.events(begin, **given), output)

    @command(app, "logs", HISTORY, [
        "corral logs web                         (what Corral did with it)",
        "corral logs -c web --tail 100           (what it wrote itself, wherever it runs)",
        "corral logs -f web --since 10m          (and what it writes from now on)",
        "corral logs -ft web -o json | jq .text",
        "corral logs host-1",
    ])  # fmt: skip
    def logs(
        thing: Thing,
        container: Annotated[bool, typer.Option("--container", "-c", help="What the container itself wrote, on whichever host.")] = False,
        follow: Annotated[bool, typer.Option("--follow", "-f", help="The same, and what it writes further, until Ctrl-C.")] = False,
        tail: Annotated[int | None, typer.Option("--tail", min=1, help="Only so many lines from the end.")] = None,
        since: Annotated[
            str | None, typer.Option("--since", metavar="TIME", help="Of the container, from then on: 10m, 2026-11-20T14:05.")
        ] = None,
        timestamps: Annotated[bool, typer.Option("--timestamps", "-t", help="Of the container, each line behind its time.")] = False,
        url: Url = None,
        output: Output = Format.TEXT,
    ) -> None:
        """Tell a thing's history, a sentence an event; or (-c, -f, --since, -t) what a container writes."""
        with connect(url) as client:
            if container or follow or since is not None or timestamps:
                with suppress(KeyboardInterrupt):
                    print_written(client, thing, output, timestamps, follow=follow or None, tail=tail, since=since)
                return
            stream = stream_of(client, thing)
            teller = Teller(names(client))
            told = [(event, teller.heard(event)) for event in of_root(client, stream)]
        if not told:
            raise Failed(f"{stream} does not exist: nothing ever happened to it")
        told = told[-tail:] if tail else told
        if output is Format.JSON:
            print_json([{**document(event), "told": sentence} for event, sentence in told])
            return
        console, today = out(), now()
        for event, sentence in told:
            subject = "" if event.stream == stream else f"{event.stream}: "
            console.print(Text.assemble((f"{clock(event.at, today)}  ", "dim"), subject, (sentence, EVENT_COLOURS.get(event.type, ""))))
        if stream.startswith("instance-"):
            hint(f"This is what Corral did. What the container itself writes: corral logs -f {thing}")


def print_events(found: Iterable[Json], output: Format) -> None:
    """One line an event, each as soon as it is known."""
    console, today = out(), now()
    header = f"{'POSITION':>8}  {'TIME':<12}  {'STREAM':<24} {'TYPE':<18} WHAT"
    for each in found:
        if output is Format.JSON:
            print_line(each)
            continue
        if header:
            console.print(Text(header, style="bold"))
            header = ""
        event = recorded(each)
        when, what = f"{clock(event.at, today):<12}", f"{event.type:<18} "
        place = f"{event.position:>8}  ", (when, "dim"), f"  {event.stream:<24} "
        console.print(Text.assemble(*place, (what, EVENT_COLOURS.get(event.type, "")), gist(event)))

"""corral why: the present state of a thing, and the chain of its causes, told (found by projections/causes.py)."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from rich.text import Text

from commands.resource import Resource
from deploy.cli.errors import Failed
from deploy.cli.options import HISTORY, Output, Thing, Url, command, connect
from deploy.cli.pending import hear_requests, waits
from deploy.cli.reading import Roots, names, stream_of
from deploy.cli.show import EVENT_COLOURS, Format, hint, now, out, print_json, state_text
from deploy.cli.telling import Teller, clock, document, duration
from eventstore import Recorded
from projections import causes


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @command(app, "why", HISTORY, ["corral why web", "corral why 1i5", "corral why host-1 -o json"])
    def why(thing: Thing, url: Url = None, output: Output = Format.TEXT) -> None:
        """Say why a thing is in its present state: the chain of causes, back to the command that began it."""
        with connect(url) as client:
            stream = stream_of(client, thing)
            roots = Roots(client)
            own = [event for event in roots.load(stream) if event.stream == stream]
            deciding = causes.deciding(own)
            if deciding is None:
                raise Failed(f"{stream} does not exist: nothing ever happened to it")
            chain = causes.chain(deciding, roots.load)
            teller = Teller(names(client))
            teller.hear_all(roots.all())
            now_is = teller.resource(stream)
            hear_requests(client, now_is, teller)
        if output is Format.JSON:
            told = [{**document(each), "told": teller.tell(each)} for each in chain]
            print_json({"stream": stream, "state": now_is.state, "waits": waits(now_is, teller), "chain": told})
        else:
            _print(now_is, chain, teller)


def began(first: Recorded, teller: Teller) -> str:
    """How the first event of a chain came about."""
    actor, request = first.metadata.get("actor"), first.metadata.get("correlation")
    if actor is not None:
        by = f"with a command for {teller.named(f'account-{actor}')}"
    elif request and not str(request).startswith("corral:"):
        by = "with a command"  # for whom is not told to everybody
    else:
        by = "with what Corral did by itself"
    return f"It began {by}" + (f", request {request}" if request else "")


def _print(now_is: Resource, chain: Sequence[Recorded], teller: Teller) -> None:
    console, today = out(), now()
    failed = now_is.fields.get("transitioning") == "error"
    state = state_text({"state": now_is.state, "transitioning": "yes" if now_is.open else "error" if failed else "no"})
    since = duration((today - chain[0].at).total_seconds())
    console.print(Text.assemble((f"{teller.named(now_is.stream)} is ", "bold"), state, (f", since {since}", "bold")))
    if failed:
        console.print(Text(f"  {now_is.fields.get('transitioningMessage')}", style="red"))
    for waited in waits(now_is, teller):
        console.print(Text(f"  under way: {waited}", style="cyan"))
    width = max(len(each.id) for each in chain)
    for each in chain:
        place = ("  because  ", "dim"), f"{each.id:<{width}}  ", (f"{clock(each.at, today)}  ", "dim")
        console.print(Text.assemble(*place, (teller.tell(each), EVENT_COLOURS.get(each.type, ""))))
    console.print(Text(f"  {began(chain[-1], teller)}", style="bold"))
    if request := chain[-1].metadata.get("correlation"):
        hint(f"  All hops of that request: corral trace {request}")

"""corral trace: every hop of one request (made by hops.py), found by its correlation id or by anything it did."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.text import Text

from deploy.cli.client import Client
from deploy.cli.errors import Failed
from deploy.cli.hops import Hop, hops, total
from deploy.cli.options import HISTORY, Output, Url, command, connect
from deploy.cli.reading import names, stream_of
from deploy.cli.show import Format, now, out, print_json, waiting
from deploy.cli.telling import Teller, clock, recorded
from deploy.cli.things import Unknown
from eventstore import Recorded

Json = dict[str, Any]

COLOURS = {"gateway": "bold", "wire": "cyan", "agent": "cyan", "commands": "green"}


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @command(app, "trace", HISTORY, [
        "corral trace 5f0c2c...                  (a correlation id, the answer's header X-Correlation-Id, or a trace's)",
        "corral trace web                        (the request that created it)",
        "corral trace 120                        (the request of the event at that position)",
    ])  # fmt: skip
    def trace(
        request: Annotated[
            str, typer.Argument(metavar="ID", help="Of a request, a trace, an event (instance-1@3, 42), a thing.", show_default=False)
        ],
        url: Url = None,
        output: Output = Format.TEXT,
    ) -> None:
        """Follow one request through Corral: accepted, appended, sent to agents, answered, done; with times."""
        with connect(url) as client, waiting("looking through the log"):
            correlation = correlation_of(client, request)
            heard = [recorded(each) for each in client.events(correlation=correlation)]
            if not heard:
                raise Failed(f"no event belongs to a request {correlation!r}: give an answer's X-Correlation-Id, a thing, or a position")
            found = hops(heard, Teller(names(client)))
        if output is Format.JSON:
            print_json({"correlation": correlation, "hops": [asdict(each) for each in found]})
        else:
            _print(correlation, heard, found)


def correlation_of(client: Client, text: str) -> str:
    """The request that is meant: by itself, or by an event or a thing of it."""
    stream, at, version = text.rpartition("@")
    event: Json | None = None
    if text.isdigit():
        event = _at(client, int(text))
    elif at and version.isdigit():
        event = next((each for each in client.events(stream=stream) if each["version"] == int(version)), None)
        if event is None:
            raise Failed(f"there is no event {text}")
    elif re.fullmatch(r"[0-9a-f]{32}", text):
        return text  # of a request, or of a trace: the log finds both
    else:
        with suppress(Unknown):  # no thing: then it is a correlation id that a client chose
            event = next(iter(client.get("/v1/events", stream=stream_of(client, text), limit=1)["data"]), None)
        if event is None:
            return text
    assert event is not None, "each way that finds none has ended"
    correlation = event["metadata"].get("correlation")
    if not correlation:
        raise Failed(f"event {event['id']} belongs to no request: Corral did it by itself")
    return str(correlation)


def _at(client: Client, position: int) -> Json:
    page = client.get("/v1/events", after=max(0, position - 1), limit=1)
    if not page["data"] or page["data"][0]["position"] != position:
        raise Failed(f"there is no event at position {position}: the log goes from 1 to {page['head']}")
    return dict(page["data"][0])


def _print(correlation: str, heard: Sequence[Recorded], found: Sequence[Hop]) -> None:
    console = out()
    summary = f"  {clock(heard[0].at, now())}, {len(heard)} events in {total(heard)}"
    console.print(Text.assemble((f"request {correlation}", "bold"), summary))
    for each in found:
        first, last = each.positions
        where = f"  {each.stream}" if each.hop in ("wire", "agent", "commands") else ""
        place = f"{where}  #{first}" + (f"-{last}" if last != first else "")
        console.print(
            Text.assemble((f"  {each.ms:9.1f} ms  ", "dim"), (f"{each.hop:<10}  ", COLOURS.get(each.hop, "dim")), each.what, (place, "dim"))
        )

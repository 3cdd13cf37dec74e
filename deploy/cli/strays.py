"""corral strays: instances on hosts where they have no place by the log, and what becomes of them."""

from __future__ import annotations

from typing import Any

import typer

from deploy.cli.options import INSTANCES, Output, Url, command, connect
from deploy.cli.show import Format, hint, print_json, table

Json = dict[str, Any]

MEANINGS = {
    "left": "it lives on elsewhere, or has no place: stopped",
    "removed": "it is removed",
    "unknown": "the log has no such instance",
    "unlabelled": "it does not say whose it is: left alone",
}


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @command(app, "strays", INSTANCES, ["corral strays", "corral strays -o json"])
    def strays(url: Url = None, output: Output = Format.TEXT) -> None:
        """List what is on hosts and has no place there: left by a host that was away, or of before a backup was restored."""
        with connect(url) as client:
            told = client.get("/corral/strays")
        found = told["strays"]
        if output is Format.JSON:
            print_json(found)
            return
        table(("AGENT", "UUID", "STATE", "INSTANCE", "WHAT"), map(_row, found))
        if not told["engines"]:
            hint("No engine has told of itself within the last 20 seconds: nobody looks")
        elif not found:
            hint("Nothing: all that runs on hosts under this cloud's label has its place there")
        else:
            hint("With the setting host.strays.remove, all but what is left alone is removed from its host")


def _row(stray: Json) -> tuple[str, ...]:
    what = str(stray["what"])
    return str(stray["agent"]), str(stray["uuid"]), str(stray["state"]), stray["stream"] or "", MEANINGS.get(what, what)

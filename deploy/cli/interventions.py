"""corral retry, cancel, force-remove, declare-dead: for what does not go on by itself. The log keeps who did it, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from deploy.cli.client import Client
from deploy.cli.errors import ServerRefused
from deploy.cli.options import INTERVENTIONS, Output, Things, Url, command, connect
from deploy.cli.show import Format, hint, out, print_json
from deploy.cli.things import resolve

Reason = Annotated[str, typer.Option("--reason", "-m", metavar="TEXT", help="Why; it is kept in the log.")]

NOTHING = {"retry": "nothing was under way or had failed", "cancel": "nothing was under way", "dead": "it was declared dead before"}
"""What the server accepts all the same: the thing's stream has no event of it."""


def register(app: typer.Typer) -> None:
    """Adds these commands to the CLI."""

    @command(app, "retry", INTERVENTIONS, ["corral retry web", "corral retry 1i5 -m 'the disk was full'"])
    def retry(things: Things, reason: Reason = "", url: Url = None, output: Output = Format.TEXT) -> None:
        """Ask again at once what failed or was not answered; where nothing is under way, begin what failed last again."""
        _each("retry", things, reason, url, output)

    @command(app, "cancel", INTERVENTIONS, ["corral cancel web -m 'wrong image'", "corral cancel imageStoragePoolMap-3"])
    def cancel(things: Things, reason: Reason = "", url: Url = None, output: Output = Format.TEXT) -> None:
        """End what is under way as if it had failed: a start is undone, a stop leaves the instance running."""
        _each("cancel", things, reason, url, output)

    @command(app, "force-remove", INTERVENTIONS, ["corral force-remove web -m 'its host burnt down'", "corral force-remove host-2"])
    def force_remove(things: Things, reason: Reason = "", url: Url = None, output: Output = Format.TEXT) -> None:
        """Remove things at once, whatever is under way and whoever does not answer.

        What an instance took on its host stays taken until the host's agent says that it is gone, or the host is removed:
        to remove a host or an agent is to say that nothing runs there any more.
        """
        _each("force-remove", things, reason, url, output)

    @command(app, "declare-dead", INTERVENTIONS, ["corral declare-dead rack-3 -m 'it burnt down'", "corral declare-dead host-2"])
    def declare_dead(things: Things, reason: Reason = "", url: Url = None, output: Output = Format.TEXT) -> None:
        """Say of hosts that nothing runs there any more, where their agents can't say it.

        Their instances end, and start elsewhere if their instanceTriggeredStop is restart. If a host comes back after all, what it
        still runs of them is stopped and removed; activated, it is a host like any other again.
        """
        _each("dead", things, reason, url, output, ("host",))


def _each(what: str, things: list[str], reason: str, url: str | None, output: Format, types: tuple[str, ...] | None = None) -> None:
    with connect(url) as client:
        done, streams = [], []
        for found in [resolve(client, text, types) for text in things]:
            before = _head(client)
            document = client.post(f"{found.path}/{what}", {"reason": reason} if reason else {}).document
            done.append(document)
            if output is Format.TEXT:
                out().print(f"{document['id']} {document['state']}")
            if what in NOTHING and before is not None and not any(client.events(stream=found.stream, after=before)):
                hint(f"{found.title}: {NOTHING[what]}, so nothing was done.")
            else:
                streams.append(found.stream)
    if output is Format.JSON:
        print_json(done)
    elif streams:
        hint(_next(what, streams))


def _next(what: str, streams: Sequence[str]) -> str:
    """Where to look on. By stream: what is removed by force leaves the lists at once, and so has no other name."""
    if what == "dead":
        return f"Should it come back: POST its ?action=activate. What follows from it: corral why {streams[0]}"
    if what != "force-remove":
        return f"What follows from it: corral why {streams[0]}"
    told = f"Lists show it no more, the log does: corral why {streams[0]}"
    if any(each.startswith(("host-", "agent-")) for each in streams):
        told += "\nA removed host stays removed: start its agent again, and it comes back as a new one"
    return told


def _head(client: Client) -> int | None:
    """The last position of the log; None for those who may not see the log, but may do this to what is theirs."""
    try:
        return client.head()
    except ServerRefused:
        return None

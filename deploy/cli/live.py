"""corral exec, stats, top, and what logs and inspect show of a running instance: asked of its host's agent, over HTTP."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.text import Text

from deploy.cli.client import Client
from deploy.cli.errors import Failed, WrongUse
from deploy.cli.options import INSTANCES, Output, Thing, Url, command, connect
from deploy.cli.show import Format, err, out, print_json, print_line, table
from deploy.cli.things import INSTANCES as ONLY_INSTANCES
from deploy.cli.things import resolve

Json = dict[str, Any]

MEGABYTE = 1024 * 1024
HEADING = f"{'TIME':<8}  {'CPU':>8}  {'MEMORY':>20}  {'NET IN / OUT':>20}  {'DISK IN / OUT':>20}  PROCESSES"


def register(app: typer.Typer) -> None:
    """Adds these commands to the CLI."""

    @command(app, "exec", INSTANCES, [
        "corral exec web -- ls -l /etc",
        "corral exec -it web -- sh               (a shell, as on a terminal of its own)",
        "corral exec -i web -- sh -c 'cat > /tmp/x' < file",
        "corral exec web --user nobody --env A=1 -- env",
    ])  # fmt: skip
    def exec_(
        thing: Thing,
        words: Annotated[list[str], typer.Argument(metavar="COMMAND", help="What is run in it.", show_default=False)],
        interactive: Annotated[bool, typer.Option("--interactive", "-i", help="It gets this command's standard input.")] = False,
        tty: Annotated[bool, typer.Option("--tty", "-t", help="It gets a terminal: this one.")] = False,
        user: Annotated[str | None, typer.Option("--user", "-u", metavar="NAME", help="As whom it runs there.")] = None,
        env: Annotated[list[str] | None, typer.Option("--env", "-e", metavar="K=V", help="A variable; may be repeated.")] = None,
        directory: Annotated[str | None, typer.Option("--workdir", "-w", metavar="PATH", help="Where it runs there.")] = None,
        url: Url = None,
    ) -> None:
        """Run a command in a running instance; ends with the command's own status."""
        from deploy.cli.terminal import converse  # only this command needs WebSockets

        if tty and not sys.stdin.isatty():
            raise WrongUse("-t needs a terminal, and standard input is none: leave it out")
        with connect(url) as client:
            path = f"{resolve(client, thing, ONLY_INSTANCES).path}/exec"
            options: Json = {"command": words, "tty": str(tty).lower(), "user": user, "env": env or None, "directory": directory}
            status = converse(client, path, options, interactive=interactive, tty=tty)
        raise typer.Exit(status)

    @command(app, "stats", INSTANCES, ["corral stats web", "corral stats -f web", "corral stats -f web -o json | jq .cpuPercent"])
    def stats(
        thing: Thing,
        follow: Annotated[bool, typer.Option("--follow", "-f", help="Once a second, until Ctrl-C.")] = False,
        url: Url = None,
        output: Output = Format.TEXT,
    ) -> None:
        """Show what a running instance uses: processor, memory, network, disk."""
        with connect(url) as client:
            path = f"{resolve(client, thing, ONLY_INSTANCES).path}/stats"
            samples = client.stream(path, follow="true") if follow else iter([client.now(path).document])
            try:
                if output is Format.TEXT:
                    out().print(Text(HEADING, style="bold"))
                for sample in samples:
                    if output is Format.JSON:
                        print_line(sample)
                    else:
                        out().print(Text(stats_line(sample)))
            except KeyboardInterrupt:
                return

    @command(app, "top", INSTANCES, ["corral top web", "corral top web --ps aux"])
    def top(
        thing: Thing,
        ps: Annotated[str | None, typer.Option("--ps", metavar="OPTIONS", help="Those of ps on its host.")] = None,
        url: Url = None,
        output: Output = Format.TEXT,
    ) -> None:
        """List the processes of a running instance."""
        with connect(url) as client:
            found = client.now(f"{resolve(client, thing, ONLY_INSTANCES).path}/top", ps=ps).document
        if output is Format.JSON:
            print_json(found)
            return
        table(tuple(found["titles"]), [tuple(row) for row in found["processes"]])


def print_written(client: Client, thing: str, output: Format, timestamps: bool, **options: Any) -> None:
    """What a container writes: each line on the stream of its own, as it was written there."""
    found = resolve(client, thing, ONLY_INSTANCES)
    for line in client.stream(f"{found.path}/logs", **options):
        if output is Format.JSON:
            print_line(line)
            continue
        time = f"{line['time']} " if timestamps and line["time"] else ""
        to = sys.stderr if line["stream"] == "stderr" else sys.stdout
        to.write(f"{time}{line['text']}{'' if line.get('partial') else chr(10)}")
        to.flush()


def print_engines(client: Client, path: str, title: str) -> None:
    """What the container engine knows of an instance, as it says it."""
    answer = client.now(f"{path}/inspect")
    if answer.headers.get("x-corral-live") == "false":
        err().print(Text(f"the agent of {title} is away: this is what it told last", style="yellow"))
    if not answer.document:
        raise Failed(f"nothing is known of {title} at its engine")
    print_json(answer.document)


def stats_line(sample: Json) -> str:
    cpu = sample.get("cpuPercent")
    used, limit = sample.get("memoryBytes"), sample.get("memoryLimitBytes")
    memory = f"{_mega(used)} / {_mega(limit)}" if used is not None else "-"
    net = f"{_mega(sample.get('receivedBytes'))} / {_mega(sample.get('sentBytes'))}"
    disk = f"{_mega(sample.get('readBytes'))} / {_mega(sample.get('writtenBytes'))}"
    percent = f"{cpu:.1f} %" if cpu is not None else "-"
    return f"{str(sample.get('time') or '')[11:19]:<8}  {percent:>8}  {memory:>20}  {net:>20}  {disk:>20}  {sample.get('processes') or '-'}"


def _mega(value: Any) -> str:
    if not isinstance(value, int):
        return "-"
    return f"{value / MEGABYTE:.1f} MB" if value < 1024 * MEGABYTE else f"{value / 1024 / MEGABYTE:.1f} GB"

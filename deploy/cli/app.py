"""The `corral` command: all its sub-commands put together, and how it ends."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from deploy.cli import (
    agent,
    archive,
    diff,
    dot,
    history,
    hosts,
    images,
    instances,
    interventions,
    keys,
    live,
    machine_image,
    nats,
    replay,
    servers,
    sim,
    strays,
    trace,
    watch,
    why,
)
from deploy.cli.errors import Failed
from deploy.cli.options import Commands

ABOUT = """Corral runs containers and virtual machines on many hosts. Every step is an event in a log: what you see is folded from it.

Start with `corral up`, and `corral ps` in another terminal. Things are named by API id (1i54), stream (instance-54), name, uuid, or the
beginning of a container engine's id. Every command that prints data has -o json."""

PARTS = (
    servers, archive, agent, machine_image, sim, instances, live, hosts, images, strays, interventions, history, replay, diff,
    why, trace, watch, nats, dot,
)  # fmt: skip


def build() -> typer.Typer:
    app = typer.Typer(
        name="corral", cls=Commands, help=ABOUT, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )  # fmt: skip
    app.callback()(_root)
    for part in PARTS:
        part.register(app)
    return app


def main() -> None:
    """Exit status: 0 done, 1 refused or failed, 2 used in a wrong way."""
    try:
        build()(prog_name="corral")
    except Failed as failure:
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(str(failure), style="red"))
        sys.exit(failure.status)


def _say_version(given: bool) -> None:
    if given:
        from importlib.metadata import version

        sys.stdout.write(f"corral {version('corral')}\n")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", help="Say which version this is.", is_eager=True, callback=_say_version)]


def _use_key(given: str | None) -> None:
    if given:
        keys.use(given)


GivenKey = Annotated[
    str | None,
    typer.Option(
        "--key", metavar="ACCESS:SECRET", callback=_use_key, is_eager=True, show_default="CORRAL_ACCESS_KEY and CORRAL_SECRET_KEY",
        help="The API key, where the server asks for one.",
    ),
]  # fmt: skip


def _root(version: Version = False, key: GivenKey = None) -> None: ...

"""The options that several commands share, and the help that all have: examples under each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from deploy.cli.client import Client, base_url
from deploy.cli.show import Format
from deploy.settings import LogLevel

INSTANCES, INTERVENTIONS = "Instances and hosts", "Where something does not go on"
HISTORY, SERVER = "History: what happened, and why", "Servers"
"""The panels of `corral --help`."""

Output = Annotated[Format, typer.Option("--output", "-o", help="text for people, json for programs.")]

Url = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", envvar="CORRAL_URL", help="Where Corral answers.", show_default="what its home remembers, or 127.0.0.1:8080"
    ),
]

NatsUrl = Annotated[
    str | None, typer.Option("--nats", metavar="URL", envvar="CORRAL_NATS", help="Where NATS is.", show_default="what the server says")
]

Logged = Annotated[
    LogLevel,
    typer.Option(
        "--log-level", metavar="LEVEL", envvar="CORRAL_LOG_LEVEL", case_sensitive=False,
        help=f"What is logged, and all above: {', '.join(LogLevel)}.",
    ),
]

THING_HELP = "An API id (1i54), a stream (instance-54), a name, a uuid, or the beginning of a container engine's id."

Thing = Annotated[str, typer.Argument(metavar="THING", help=THING_HELP, show_default=False)]

Things = Annotated[list[str], typer.Argument(metavar="THING...", help=THING_HELP, show_default=False)]

Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait.", min=0.0)]

Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")]

F = TypeVar("F", bound=Callable[..., None])


def is_from_variable(context: typer.Context, option: str) -> bool:
    """Whether nobody wrote it: it gives way to what was written."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "ENVIRONMENT"


def without_value(parameters: list[Any]) -> list[Any]:
    """Flags take no value: help that shows <bool> after them would say otherwise."""
    for each in parameters:
        if isinstance(each, TyperOption) and each.is_flag:
            each.metavar = ""
    return parameters


class Command(TyperCommand):
    """A command whose help shows flags as flags."""

    def get_params(self, ctx: Any) -> list[Any]:
        return without_value(super().get_params(ctx))


class Commands(TyperGroup):
    """The same of `corral` itself."""

    def get_params(self, ctx: Any) -> list[Any]:
        return without_value(super().get_params(ctx))


def command(
    app: typer.Typer, name: str, panel: str, examples: Sequence[str], cls: type[TyperCommand] = Command
) -> Callable[[F], F]:
    """Registers a function as `corral <name>`, with its docstring as help and the examples below."""
    # Blank lines: rich's help would run the examples together.
    epilog = "[bold]Examples[/bold]\n\n" + "\n\n".join(f"  {each}" for each in examples)
    return app.command(name, rich_help_panel=panel, epilog=epilog, cls=cls)


def connect(url: str | None) -> Client:
    return Client(base_url(url))

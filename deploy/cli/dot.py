"""corral dot: the state machines of the catalogue as Graphviz text, this home's extensions included. Needs no server."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from commands.catalogue.dot import process_dot, resource_dot
from commands.catalogue.model import Catalogue
from deploy.cli.catalogue import catalogue
from deploy.cli.errors import Failed
from deploy.cli.options import SERVER, command

What = Annotated[
    str, typer.Argument(metavar="PROCESS|TYPE", help="A process (instance.start) or a resource type (volume).", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Adds this command to the CLI."""

    @command(app, "dot", SERVER, [
        "corral dot instance                         (the whole state machine of instances)",
        "corral dot instance.start                   (one process: its states, and its steps in their order)",
        "corral dot volume | dot -Tsvg > volume.svg  (as a picture, with Graphviz)",
    ])  # fmt: skip
    def dot(what: What) -> None:
        """Draw a resource's state machine, or one process with its steps, as Graphviz text."""
        sys.stdout.write(drawn(catalogue(), what))


def drawn(known: Catalogue, what: str) -> str:
    """Raises Failed, naming what comes near."""
    if "." in what:
        name = what.lower()
        if name in known.processes:
            return process_dot(known, name)
        kind = known.by_path(name.partition(".")[0])
        of_it = [each.name for each in known.processes.values() if kind and each.type == known.root_type(kind.name).name]
        raise Failed(f"there is no process {what}" + (f"; {kind.name} has {', '.join(of_it)}" if kind and of_it else ""))
    kind = known.by_path(what)
    if kind is None:
        raise Failed(f"there is no resource type {what}; there are {', '.join(sorted(known.types))}")
    if not any(each.type == known.root_type(kind.name).name for each in known.processes.values()):
        raise Failed(f"a {kind.name} has no processes: nothing to draw")
    return resource_dot(known, kind.name)

"""corral dot: the state machines of the catalogue as Graphviz text, this home's extensions included. Needs no server."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from commands.catalogue.catalogue import Catalogue
from commands.catalogue.dot import process_dot, resource_dot
from commands.errors import a
from deploy.cli.catalogue import catalogue, near
from deploy.cli.errors import Failed, WrongUse
from deploy.cli.options import SERVER, command

What = Annotated[
    str | None,
    typer.Argument(metavar="[PROCESS|TYPE]", help="A process (instance.start) or a resource type (volume).", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Adds this command to the CLI."""

    @command(app, "dot", SERVER, [
        "corral dot                                  (which types there are to draw, with their processes)",
        "corral dot instance                         (the whole state machine of instances)",
        "corral dot instance.start                   (one process: its states, and its steps in their order)",
        "corral dot volume | dot -Tsvg > volume.svg  (as a picture, with Graphviz)",
    ])  # fmt: skip
    def dot(what: What = None) -> None:
        """Draw a resource's state machine, or one process with its steps, as Graphviz text."""
        sys.stdout.write(listed(catalogue()) if what is None else drawn(catalogue(), what))


def drawn(known: Catalogue, what: str) -> str:
    """Raises Failed, naming what comes near."""
    if not what.strip(". "):
        raise WrongUse(f"{what!r} names nothing to draw: `corral dot` lists the types and their processes")
    if "." in what:
        name = what.lower()
        if name in known.processes:
            return process_dot(known, name)
        word = name.partition(".")[0]
        kind = known.by_path(word)
        if kind is None:
            raise Failed(f"there is no process {what}, and no resource type {word}{near(name, known.processes)}")
        of_it = [each.name for each in known.processes.values() if each.type == known.root_type(kind.name).name]
        raise Failed(f"there is no process {what}" + (f"; {kind.name} has {', '.join(of_it)}" if of_it else f": {a(kind.name)} has none"))
    kind = known.by_path(what)
    drawable = {each.name for each in known.types.values() if _has_processes(known, each.name)}
    if kind is None:
        raise Failed(f"there is no resource type {what}{near(what, drawable)}")
    if kind.name not in drawable:
        raise Failed(f"{a(kind.name)} has no processes: nothing to draw")
    return resource_dot(known, kind.name)


def listed(known: Catalogue) -> str:
    """A line for each type that can be drawn, with its own processes."""
    processes: dict[str, list[str]] = {}
    for each in known.processes.values():
        processes.setdefault(each.type, []).append(each.name.partition(".")[2])
    width = max(map(len, processes))
    return "".join(f"{kind:<{width}}  {', '.join(names)}\n" for kind, names in sorted(processes.items()))


def _has_processes(known: Catalogue, kind: str) -> bool:
    return any(each.type == known.root_type(kind).name for each in known.processes.values())

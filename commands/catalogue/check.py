"""What must hold for a catalogue to be one: every name leads somewhere, every state is its type's. Called when it is built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from commands.catalogue.model import Ask, CatalogueError, Child, Join, Own, Process, ResourceType, Step
from commands.catalogue.shapes import wrong_with_fields

if TYPE_CHECKING:
    from commands.catalogue.catalogue import Catalogue


def check(catalogue: Catalogue) -> None:
    """Raises CatalogueError for the first contradiction."""
    for kind in catalogue.types.values():
        with about(kind.name):
            _check_type(catalogue, kind)
    for process in catalogue.processes.values():
        with about(process.name):
            _check_process(catalogue, process)
            for step in process.steps:
                _check_step(catalogue, process, step)


@contextmanager
def about(name: str) -> Iterator[None]:
    """What is found to be wrong is about this type or process."""
    try:
        yield
    except CatalogueError as error:
        error.about = name
        raise


def _check_type(catalogue: Catalogue, kind: ResourceType) -> None:
    for link in kind.links.values():
        for name in _unknown(catalogue, (link.to, link.through)):
            raise CatalogueError(f"link {kind.name}.{link.name} goes to {name}, which is not a type")
    for action in kind.actions.values():
        for name in _unknown(catalogue, (action.input, action.output)):
            raise CatalogueError(f"action {kind.name}.{action.name} has the unknown type {name}")
    for why in wrong_with_fields(kind.fields, catalogue.types):
        raise CatalogueError(f"type {kind.name}: {why}")
    keys = [*kind.unique, *kind.single, *([(kind.owner,)] if kind.owner else [])]
    for through in [name for key in keys for name in key if name not in kind.fields]:
        raise CatalogueError(f"{kind.name} is owned or made unique through {through}, which is not one of its fields")
    for name in _unknown(catalogue, (kind.parent,)):
        raise CatalogueError(f"{kind.name} is a child of {name}, which is not a type")


def _check_process(catalogue: Catalogue, process: Process) -> None:
    kind = catalogue.types.get(process.type)
    if kind is None:
        raise CatalogueError(f"process {process.name} is of {process.type}, which is not a type")
    if kind.parent or process.name.partition(".")[0] != kind.name.lower():
        raise CatalogueError(f"process {process.name} is not named after a root type, in lower case: {kind.parent or kind.name} is one")
    if process.field not in kind.fields:
        raise CatalogueError(f"process {process.name} is on {process.field}, which is not a field of {kind.name}")
    if process.delegate and process.delegate not in catalogue.processes:
        raise CatalogueError(f"process {process.name} delegates to {process.delegate}, which is not a process")
    for start in process.start:
        via = None if not isinstance(process.via, str) and start not in process.via else process.via_of(start)
        if via is None or not (isinstance(process.done, str) or via in process.done):
            raise CatalogueError(f"process {process.name} does not say where it leads from {start}")
    states = {*process.start, *process.vias, *process.dones}
    if any(start == "requested" or catalogue.transitional(process.type, start, process.field) for start in process.start):
        states.add(process.failed)  # it can't go back to where it came from
    if (options := set(kind.fields[process.field].options)) and (unknown := states - options):
        raise CatalogueError(f"process {process.name} names {', '.join(sorted(unknown))}, no state of {kind.name}.{process.field}")


def _check_step(catalogue: Catalogue, process: Process, step: Step) -> None:
    if isinstance(step, Child | Own | Join) and step.process not in catalogue.processes:
        raise CatalogueError(f"process {process.name} has a step {step.process}, which is not a process")
    if isinstance(step, Child):
        fields = catalogue.types[step.type].fields if step.type in catalogue.types else {}
        if not fields or not (callable(step.via) or step.via in fields):
            raise CatalogueError(f"process {process.name} has a step for each {step.type} by {step.via}, which is no field of it")
    if isinstance(step, Ask):
        _check_ask(catalogue, process, step)


def _check_ask(catalogue: Catalogue, process: Process, ask: Ask) -> None:
    if ask.seconds <= 0:
        raise CatalogueError(f"process {process.name} asks {ask.command} without a timeout")
    for undo in ask.undoes:
        if catalogue.asks(process.type, undo) is None:
            raise CatalogueError(f"process {process.name} undoes {ask.command} by {undo}, which no process of {process.type} asks")


def _unknown(catalogue: Catalogue, names: Iterable[str | None]) -> list[str]:
    return [name for name in names if name and name not in catalogue.types]

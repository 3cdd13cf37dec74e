"""The catalogue that Corral ships: its types and its processes, checked against each other when this is imported."""

from __future__ import annotations

from commands.catalogue.catalogue import Catalogue
from commands.catalogue.model import Ask, Child, Join, Own
from commands.catalogue.processes import PROCESSES
from commands.catalogue.types import TYPES

CATALOGUE = Catalogue(TYPES, PROCESSES)


def commands_of(catalogue: Catalogue, process: str) -> list[str]:
    """Every command that a process sends on its usual way, its nested, joined and delegated ones included, in order of the steps."""
    found: list[str] = []
    seen: set[str] = set()

    def walk(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        described = catalogue.process(name)
        for step in described.steps:
            if isinstance(step, Ask | Child | Own) and step.mends:
                continue
            if isinstance(step, Ask) and step.command not in found:
                found.append(step.command)
            elif isinstance(step, Child | Own | Join):
                walk(step.process)
        if described.delegate:
            walk(described.delegate)

    walk(process)
    return found

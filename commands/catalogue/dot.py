"""The catalogue's state machines as Graphviz text: what processDot and resourceDot show, and `corral dot` prints. Pure.

One node a state; a dotted edge into the state while a process runs, labelled with its name; an orange edge to the state it ends in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, assert_never

from commands.catalogue.catalogue import Catalogue
from commands.catalogue.model import PHASES, Ask, Await, Checkpoint, Child, Decide, Join, Own, Process, Step


@dataclass(frozen=True, slots=True)
class Transition:
    """One step of a state machine: into the state while a process runs, or out of it to the one that it ends in."""

    process: str
    from_state: str
    to_state: str
    field: str
    type: Literal["transitioning", "done"]


def transitions(process: Process) -> list[Transition]:
    """A process's, in the order of its start states; the way through the delegate is the delegate's own."""
    into = [Transition(process.name, start, process.via_of(start), process.field, "transitioning") for start in process.start]
    vias = dict.fromkeys(each.to_state for each in into)
    out = [Transition(process.name, via, process.done_of(via), process.field, "done") for via in vias]
    return into + out


def process_dot(catalogue: Catalogue, name: str) -> str:
    """One process: its states, and beside them its phases' steps in their order. KeyError: there is no such process."""
    process = catalogue.process(name)
    return _digraph(process.name, [*_machine(transitions(process)), *_steps(process)])


def resource_dot(catalogue: Catalogue, type_name: str) -> str:
    """The whole state machine of a type (a child's is its parent's), all processes; one cluster a state field. KeyError: no such type."""
    root = catalogue.root_type(type_name)
    processes = [each for each in catalogue.processes.values() if each.type == root.name]
    lines: list[str] = []
    for field in dict.fromkeys(each.field for each in processes):
        machine = _machine([each for process in processes if process.field == field for each in transitions(process)], field)
        lines += [f"subgraph {_quoted(f'cluster {field}')} {{", f"  label={_quoted(field)};", *(f"  {line}" for line in machine), "}"]
    return _digraph(root.name, lines)


def told(step: Step) -> str:
    """A step in a few words."""
    match step:
        case Decide():
            return f"decide {step.decide.__name__}"
        case Child():
            return f"each {step.type}: {step.process}"
        case Own():
            return f"own {step.process}{' (if needed)' if step.when else ''}"
        case Join():
            return f"join {step.process}"
        case Ask():
            limits = f"{step.seconds:.0f} s" + (f", undone by {step.undo}" if step.undo else "") + (", nothing waits" if step.aside else "")
            return f"ask {step.command} ({limits})"
        case Await():
            return f"wait until {step.until.__name__}"
        case Checkpoint():
            return f"from here on: {step.name} ({step.weight}%)"
        case _:
            assert_never(step)


def _machine(edges: Iterable[Transition], field: str = "") -> Iterator[str]:
    """`field`: of which of a type's machines, where there are several: two may have states of one name."""
    known = list(dict.fromkeys(edges))

    def node(state: str) -> str:
        return _quoted(f"{field}: {state}" if field else state)

    for state in dict.fromkeys(state for each in known for state in (each.from_state, each.to_state)):
        yield f"{node(state)} [label={_quoted(state)}];"
    drawn: set[str] = set()
    for each in known:
        way = f"{node(each.from_state)} -> {node(each.to_state)}"
        line = f"{way} [style=dotted, label={_quoted(each.process)}];" if each.type == "transitioning" else f"{way} [color=orange];"
        if line not in drawn:
            drawn.add(line)
            yield line


def _steps(process: Process) -> Iterator[str]:
    """The steps as boxes, each phase in a frame, tied together in the order in which they run."""
    before = ""
    for phase in PHASES:
        steps = [step for logic in process.logic[phase] for step in logic.steps]
        if not steps:
            continue
        yield f"subgraph {_quoted(f'cluster {phase}')} {{"
        yield f"  label={_quoted(phase)};"
        names = [_quoted(f"{phase} {number}") for number in range(1, len(steps) + 1)]
        for name, step in zip(names, steps, strict=True):
            yield f"  {name} [shape=box, label={_quoted(told(step))}];"
        yield "}"
        for name in names:
            if before:
                yield f"{before} -> {name} [style=bold];"
            before = name
    if process.delegate:
        yield f'"delegate" [shape=plaintext, label={_quoted(f"then, if a step says so: {process.delegate}")}];'
        if before:
            yield f'{before} -> "delegate" [style=dashed];'


def _digraph(name: str, lines: Iterable[str]) -> str:
    return "\n".join([f"digraph {_quoted(name)} {{", *(f"  {line}" for line in lines), "}", ""])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

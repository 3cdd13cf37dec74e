"""The drawings of the catalogue: every process and every type, as Graphviz text."""

from __future__ import annotations

import re
import subprocess
from typing import get_args

import pytest

from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.dot import process_dot, resource_dot, told, transitions
from commands.catalogue.model import Step
from tests.support.programs import GRAPHVIZ

PROCESSES = sorted(CATALOGUE.processes)
TYPES = sorted({each.type for each in CATALOGUE.processes.values()})
STRING = r'"((?:[^"\\]|\\.)*)"'
LINE = re.compile(
    rf"digraph {STRING} {{|subgraph {STRING} {{|}}|label={STRING};|{STRING} \[[^\]]*\];|{STRING} -> {STRING} \[[^\]]*\];"
)


def edges(text: str, style: str) -> set[tuple[str, str]]:
    return {(found[0], found[1]) for found in re.findall(rf"{STRING} -> {STRING} \[{style}", text)}


DRAWINGS = [*(process_dot(CATALOGUE, name) for name in PROCESSES), *(resource_dot(CATALOGUE, name) for name in TYPES)]


@pytest.mark.parametrize("text", DRAWINGS, ids=[*PROCESSES, *TYPES])
def test_every_drawing_is_balanced_and_draws_no_edge_to_what_is_not_there(text: str) -> None:
    depth = 0
    for line in text.splitlines():
        assert LINE.fullmatch(line.strip()), line
        depth += line.count(" {") - (line.strip() == "}")
    assert depth == 0
    nodes = set(re.findall(rf"^\s*{STRING} \[", text, re.MULTILINE))
    assert {end for edge in edges(text, "") for end in edge} <= nodes


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_is_drawn_with_its_states_and_its_steps_in_their_order(name: str) -> None:
    process, text = CATALOGUE.process(name), process_dot(CATALOGUE, name)
    assert edges(text, "style=dotted") == {(start, process.via_of(start)) for start in process.start}
    assert edges(text, "color=orange") == {(via, process.done_of(via)) for via in process.vias}
    boxes = re.findall(rf"shape=box, label={STRING}", text)
    assert boxes == [told(step) for step in process.steps]
    assert len(edges(text, "style=bold")) == max(0, len(boxes) - 1)


@pytest.mark.parametrize("name", TYPES)
def test_a_type_is_drawn_with_all_its_processes(name: str) -> None:
    text = resource_dot(CATALOGUE, name)
    drawn = set(re.findall(rf"style=dotted, label={STRING}", text))
    assert drawn == {each.name for each in CATALOGUE.processes.values() if each.type == name}


def test_two_state_fields_of_a_type_are_two_machines() -> None:
    text = resource_dot(CATALOGUE, "container")
    assert text.startswith('digraph "instance" {')
    assert ("state: starting", "state: running") in edges(text, "color=orange")
    assert ("allocationState: activating", "allocationState: active") in edges(text, "color=orange")


def test_what_a_step_does_can_be_read_off_its_box() -> None:
    text = process_dot(CATALOGUE, "instancehostmap.activate")
    assert "ask compute.instance.activate (60 s, undone by compute.instance.deactivate)" in text
    assert "nothing waits" in process_dot(CATALOGUE, "imagestoragepoolmap.remove")
    assert "each volume: volume.activate" in process_dot(CATALOGUE, "instance.start")
    kinds = {type(step) for process in CATALOGUE.processes.values() for step in process.steps}
    assert kinds == set(get_args(Step)), "each kind of step is told in some drawing"


def test_transitions_of_an_update_lead_back_to_where_it_began() -> None:
    found = [(each.from_state, each.to_state, each.type) for each in transitions(CATALOGUE.process("image.update"))]
    assert found == [
        ("inactive", "updating-inactive", "transitioning"), ("active", "updating-active", "transitioning"),
        ("updating-inactive", "inactive", "done"), ("updating-active", "active", "done"),
    ]  # fmt: skip


@GRAPHVIZ
@pytest.mark.parametrize("text", [process_dot(CATALOGUE, "instance.start"), resource_dot(CATALOGUE, "instance")], ids=["process", "type"])
def test_graphviz_draws_it(text: str) -> None:
    run = subprocess.run(["dot", "-Tsvg"], input=text, capture_output=True, text=True, timeout=50, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert "</svg>" in run.stdout

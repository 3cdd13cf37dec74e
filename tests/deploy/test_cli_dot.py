"""corral dot, without a server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from commands.catalogue.builtin import CATALOGUE
from deploy.cli.dot import drawn, listed
from deploy.cli.errors import Failed
from deploy.cli.things import named_types, root_types
from tests.support.server import CHECKOUT


@pytest.mark.parametrize("what", ["volume", "volumes", "Volume"])
def test_a_type_is_drawn_by_any_of_its_names(what: str) -> None:
    assert drawn(CATALOGUE, what).startswith('digraph "volume" {')


def test_a_process_is_drawn_in_any_letter_case() -> None:
    assert drawn(CATALOGUE, "instanceHostMap.activate").startswith('digraph "instancehostmap.activate" {')


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("instance.fly", r"there is no process instance\.fly; instance has instance\.create, instance\.start"),
        ("instance.strat", r"there is no process instance\.strat; instance has instance\.create, instance\.start"),
        ("instanse.start", r"no process instanse\.start, and no resource type instanse; near it: instance\.start"),
        ("xyzzy.fly", r"no resource type xyzzy, nor any like it: `corral dot` lists"),
        ("volum", "there is no resource type volum; near it: volume"),
        ("pool", r"there is no resource type pool; near it: ipPool, .*storagePool"),
        ("xyzzy", "there is no resource type xyzzy, nor any like it: `corral dot` lists"),
        ("setting", "a setting has no processes"),
        ("", "'' names nothing to draw: `corral dot` lists"),
        (" . ", r"' \. ' names nothing to draw"),
    ],
)
def test_what_can_not_be_drawn_is_refused_with_what_can(what: str, why: str) -> None:
    with pytest.raises(Failed, match=why):
        drawn(CATALOGUE, what)


def test_without_a_name_it_lists_what_there_is_to_draw() -> None:
    lines = dict(line.split(None, 1) for line in listed(CATALOGUE).splitlines())
    assert "create, start, stop" in lines["instance"]
    assert all(drawn(CATALOGUE, kind) for kind in lines)


def test_the_command_knows_the_homes_extensions(tmp_path: Path) -> None:
    (tmp_path / "extensions").mkdir()
    file = tmp_path / "extensions" / "own.py"
    file.write_text(
        "from commands.catalogue.model import Decide\n\n\ndef note_it(turn, image):\n    pass\n\n\n"
        "def extend(catalogue):\n    catalogue.add_step('image.remove', 'pre', Decide(note_it))\n"
    )
    assert "decide note_it" in ran(tmp_path, 0).stdout
    file.write_text("x = \n")
    failed = ran(tmp_path, 1)
    assert f"{file}, line 1: it is no Python" in failed.stderr.replace("\n", "")
    assert failed.stdout == ""


def ran(home: Path, status: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CORRAL_HOME": str(home)}
    arguments = [sys.executable, "-m", "deploy.cli", "dot", "image.remove"]
    run = subprocess.run(arguments, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=50, check=False)
    assert run.returncode == status, run.stderr
    return run


def test_names_are_looked_up_only_in_types_whose_things_have_names_and_lists() -> None:
    names = {each.name for each in named_types()}
    assert {"instance", "image", "host", "agentGroup"} <= names
    assert not names & {"setting", "task", "configItem", "zone", "offering", "processInstance"}
    assert names < {each.name for each in root_types()}

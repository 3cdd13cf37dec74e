"""What holds for every type and process of the catalogue, whoever adds one: each has a way out, an end, and lets go of what it took."""

from __future__ import annotations

import pytest

from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.kept import kept_of
from commands.catalogue.model import Ask, Process
from commands.catalogue.shapes import check_process
from commands.turns.claimed import KINDS
from commands.turns.fleet import CATEGORIES
from tests.catalogue import promises

PROCESSES = sorted(CATALOGUE.processes.values(), key=lambda each: each.name)
LIVING = sorted({each.type for each in PROCESSES})
ASKS = [
    pytest.param(process, step, id=f"{process.name}: {step.command}")
    for process in PROCESSES
    for step in process.steps
    if isinstance(step, Ask)
]


def named(process: Process) -> str:
    return process.name


@pytest.mark.parametrize(("type_name", "field"), promises.machines(CATALOGUE))
def test_every_state_can_be_reached_and_from_each_there_is_a_way_to_the_end(type_name: str, field: str) -> None:
    assert promises.dead_ends(CATALOGUE, type_name, field) == []


@pytest.mark.parametrize("process", PROCESSES, ids=named)
def test_no_process_waits_for_itself_and_no_delegate_comes_back(process: Process) -> None:
    assert promises.circles(CATALOGUE, process) == []


@pytest.mark.parametrize("process", PROCESSES, ids=named)
def test_whatever_ends_a_row_or_brings_it_back_says_so_on_it(process: Process) -> None:
    assert promises.unnoted(process) == []


@pytest.mark.parametrize(("process", "step"), ASKS)
def test_every_asking_step_has_a_timeout_and_an_undo_or_a_reason(process: Process, step: Ask) -> None:
    assert promises.unbounded(CATALOGUE, process, step) == []


def test_what_may_live_only_once_is_seen_by_whoever_restores_it() -> None:
    for kind in CATALOGUE.types.values():
        assert not kind.single or kind.owner or kind.name in CATEGORIES, f"{kind.name} is in neither its root nor the fleet"


@pytest.mark.parametrize("type_name", LIVING)
def test_a_bare_row_lives_dies_and_lets_go_of_everything(type_name: str) -> None:
    assert promises.left_of_a_bare_row(CATALOGUE, type_name) == []


@pytest.mark.parametrize("process", PROCESSES, ids=named)
def test_every_process_ends_from_each_of_its_start_states(process: Process) -> None:
    assert promises.endless(CATALOGUE, process) == []


def test_whatever_is_claimed_is_given_back_by_what_is_purged() -> None:
    story = promises.a_busy_cloud(CATALOGUE)
    before = {each.type for each in story.resources().values()}
    promises.end(story)
    assert promises.kinds_claimed(story) >= KINDS | {"vnet-map", "subnet-map", "address-map"}, "the story takes one of each"
    assert promises.under_way(story) == []
    alive = {each.type for each in story.resources().values() if each.state != "purged"}
    assert alive <= {"configItemStatus", "data"}, f"of {before}"
    assert promises.kept(story) == []


def test_what_is_noted_in_free_data_is_kept_from_whoever_is_not_to_set_it() -> None:
    story = promises.a_busy_cloud(CATALOGUE)
    promises.end(story)
    for stream, noted in promises.noted(story):
        kind = CATALOGUE.type(stream.rpartition("-")[0])
        assert noted <= kept_of(kind, answer=True), f"{stream}: a name of its own belongs into commands/catalogue/kept.py"


@pytest.mark.parametrize("process", PROCESSES, ids=named)
def test_every_step_is_one_and_can_be_called_as_it_will_be(process: Process) -> None:
    check_process(process)

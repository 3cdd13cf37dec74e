"""What holds for every type and process of the catalogue, whoever adds one: each has a way out, an end, and lets go of what it took."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.model import Ask, Child, Join, Own, Process, ResourceType
from commands.catalogue.processes.common import PURGED, REMOVED, RESTORED
from commands.decide import Delete, Run
from commands.errors import Refused
from commands.events import CREATED
from commands.fleet import CATEGORIES
from tests.support.story import Story

PROCESSES = sorted(CATALOGUE.processes.values(), key=lambda each: each.name)
MACHINES = sorted({(each.type, each.field) for each in PROCESSES})
LIVING = sorted({each.type for each in PROCESSES})
ASKS = [
    pytest.param(process, step, id=f"{process.name}: {step.command}")
    for process in PROCESSES
    for step in process.steps
    if isinstance(step, Ask)
]


def named(process: Process) -> str:
    return process.name


def arrows(process: Process) -> Iterator[tuple[str, str]]:
    """Every step from one state to the next that the process may take, the ways back included."""
    for start in process.start:
        via = process.via_of(start)
        yield start, via
        yield via, process.done_of(via)
        passing = start == "requested" or CATALOGUE.transitional(process.type, start, process.field)
        yield via, process.failed if passing else start


def reachable(type_name: str, field: str, state: str) -> set[str]:
    found = {state}
    steps = [arrow for each in PROCESSES if (each.type, each.field) == (type_name, field) for arrow in arrows(each)]
    while more := {to for frm, to in steps if frm in found} - found:
        found |= more
    return found


@pytest.mark.parametrize(("type_name", "field"), MACHINES)
def test_from_every_state_that_can_be_reached_there_is_a_way_to_the_end(type_name: str, field: str) -> None:
    first, last = ("requested", "purged") if field == "state" else ("inactive", "inactive")
    for state in reachable(type_name, field, first):
        assert last in reachable(type_name, field, state), f"{type_name} that is {state} can never be {last}"


@pytest.mark.parametrize(("type_name", "field"), MACHINES)
def test_every_state_of_a_type_can_be_reached(type_name: str, field: str) -> None:
    found = reachable(type_name, field, "requested" if field == "state" else "inactive")
    mine = [each for each in PROCESSES if (each.type, each.field) == (type_name, field)]
    assert found >= {state for each in mine for arrow in arrows(each) for state in arrow}


@pytest.mark.parametrize("process", PROCESSES, ids=named)
def test_no_process_waits_for_itself(process: Process) -> None:
    """What it nests, joins or owns ends before it does: in a circle none of them ever would."""

    def nested(each: Process) -> set[str]:
        return {step.process for step in each.steps if isinstance(step, Child | Own | Join)}

    seen: set[str] = set()
    todo = nested(process)
    while todo:
        assert process.name not in todo
        seen |= todo
        todo = {name for each in todo for name in nested(CATALOGUE.process(each))} - seen


@pytest.mark.parametrize("process", PROCESSES, ids=named)
def test_delegates_never_come_back(process: Process) -> None:
    seen = [process.name]
    while (following := CATALOGUE.process(seen[-1]).delegate) is not None:
        assert following not in seen
        assert CATALOGUE.process(following).type == process.type
        seen.append(following)


@pytest.mark.parametrize("process", PROCESSES, ids=named)
def test_whatever_ends_a_row_or_brings_it_back_says_so_on_it(process: Process) -> None:
    """And so frees, or takes again, what it alone may have."""
    logic = process.logic["post"]
    for done, noting in (("removed", REMOVED), ("purged", PURGED)):
        assert done not in process.dones or noting in logic
    assert "removed" not in process.start or "purged" in process.dones or RESTORED in logic


@pytest.mark.parametrize(("process", "step"), ASKS)
def test_every_asking_step_has_a_timeout_and_an_undo_or_a_reason(process: Process, step: Ask) -> None:
    assert 0 < step.seconds <= 3600
    for undo in step.undoes:
        undoes = [each for each in PROCESSES for other in each.steps if isinstance(other, Ask) and other.command == undo]
        assert undo != step.command
        assert any(each.type == process.type for each in undoes), f"no process of {process.type} asks {undo}"
    if step.undo is None:
        borne = step.tries == 0 or step.aside  # it is asked until it is done, or nothing depends on it
        assert borne or step.no_undo, f"{process.name} asks {step.command}, and neither undoes it nor says why not"


def test_what_may_live_only_once_is_seen_by_whoever_restores_it() -> None:
    for kind in CATALOGUE.types.values():
        assert not kind.single or kind.owner or kind.name in CATEGORIES, f"{kind.name} is in neither its root nor the fleet"


@pytest.mark.parametrize("type_name", LIVING)
def test_a_bare_row_lives_dies_and_lets_go_of_everything(type_name: str) -> None:
    """Whatever it lacks: each process ends, in success or in an error, and nothing stays claimed."""
    kind = CATALOGUE.type(type_name)
    story = Story()
    made = story.create(type_name, **least(kind)).stream
    story.answer_all()
    for command in (Run("deactivate"), Delete(), Run("restore"), Run("deactivate"), Delete(), Run("purge")):
        with suppress(Refused):  # as where a restored instance is stopped already
            story.command(made, command)
        story.answer_all()
        assert_at_rest(story)
    assert story.resource(made).state == "purged"
    for each in [each for each in story.resources().values() if each.root == made or each.stream == made]:
        assert each.stream not in {holder for (scope, _), holder in story.claims().items() if scope.startswith(f"{type_name}.")}


@pytest.mark.parametrize("type_name", LIVING)
def test_what_a_removal_gives_back_whatever_stands_in_for_the_rest_the_purge_gives_back_too(type_name: str) -> None:
    """A removal by force skips the first, and leaves all to the second."""
    name = type_name.lower()
    logic = {verb: CATALOGUE.processes[f"{name}.{verb}"].logic["handlers"] for verb in ("remove", "purge")}
    assert {each.name for each in logic["remove"] if each.always} <= {each.name for each in logic["purge"]}


@pytest.mark.parametrize("process", PROCESSES, ids=named)
def test_every_process_ends_from_each_of_its_start_states(process: Process) -> None:
    """On a row that was put into the state by hand."""
    kind = CATALOGUE.type(process.type)
    for start in process.start:
        story = Story()
        row = {"uuid": "by hand", "kind": kind.name, "state": "inactive", **least(kind), process.field: start}
        stream = f"{kind.name}-1"
        turn = story.turn(stream, {})
        turn.emit(stream, CREATED, {"changes": row})
        story._append(turn)
        story.command(stream, Run(process.verb))
        story.answer_all()
        assert_at_rest(story)
        assert story.resource(stream).row[process.field] not in process.vias


def least(kind: ResourceType) -> dict[str, int]:
    return {kind.owner: 1} if kind.owner else {}


def assert_at_rest(story: Story) -> None:
    for each in story.resources().values():
        assert not each.open, f"{each.stream} is {each.state} for ever: {list(each.open.values())}"



"""External handlers that come, go, fail and fall silent in the midst of whatever else happens: everything still comes to rest, and each
process asks those that it began with, once."""

from __future__ import annotations

from collections import Counter
from itertools import chain, zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.catalogue.builtin import CATALOGUE
from commands.turns.decide import Command, Delete, Run, Update
from eventstore import Recorded
from tests.commands.turns.test_any_order import STEPS, Step, a_checked_cloud, attempt, bounded, check_rest, come_to_rest, of_type, take
from tests.support.story import Ask, Story

NAMES = [f"{phase}.{name}" for phase in ("pre", "post") for name in CATALOGUE.processes if not name.startswith("externalhandler")]
CHANGES: tuple[Command, ...] = (Run("deactivate"), Run("activate"), Delete(), Update({"priority": 1}), Update({"name": "renamed"}))

handler_steps = st.one_of(
    st.tuples(st.just("register"), st.integers(0, len(NAMES) - 1), st.integers(1, 40)),
    st.tuples(st.just("change"), st.integers(0, 3), st.integers(0, len(CHANGES) - 1)),
)
CHANGED = st.lists(handler_steps, min_size=2, max_size=12)


def began_with(log: list[Recorded]) -> dict[str, int]:
    """pid -> the position at which the tree of processes began that it is part of."""
    begun: dict[str, int] = {}
    for event in log:
        if event.type == "process-started" and event.data["pid"] not in begun:
            begun[event.data["pid"]] = begun.get(event.data.get("parent", ""), event.position)
    return begun


def check_handlers(story: Story) -> None:
    began = began_with(story.log)
    asked = [event for event in story.log if event.type == "step-requested" and event.data.get("handler")]
    times = Counter((event.data["pid"], event.data["command"], event.data["handler"]) for event in asked)
    assert set(times.values()) <= {1}, times
    for event in asked:
        handler = f"externalHandler-{event.data['handler']}"
        activated = [
            each.position for each in story.log
            if each.stream == handler and each.data.get("to") == "active" and each.position < event.position
        ]
        assert activated[-1] < began[event.data["pid"]], f"{event.id} asks a handler that came after its process began"


@pytest.mark.timeout(180)
@bounded(100)
@given(STEPS, CHANGED)
def test_whatever_becomes_of_handlers_everything_comes_to_rest_and_each_is_asked_once_by_what_began_with_it(
    steps: list[Step], changed: list[Step]
) -> None:
    story = a_checked_cloud()
    seen: list[Ask] = []
    interleaved = chain.from_iterable(zip_longest(changed, steps))
    for what, first, second in (each for each in interleaved if each is not None):
        if what == "register":
            names = [NAMES[(first + 7 * number) % len(NAMES)] for number in range(second)]
            story.create("externalHandler", name="demo", processNames=names, data={"onError": "continue"} if second % 3 == 0 else None)
        elif what == "change":
            attempt(story, of_type(story, "externalHandler"), first, CHANGES[second])
        else:
            take(story, (what, first, second), seen)
    come_to_rest(story)
    check_handlers(story)
    check_rest(story)

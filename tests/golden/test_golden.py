"""Whatever was ever written is read as it was meant: every recorded log still gives the state that it gave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from commands import events
from commands.upcast import newest_form
from tests.golden import corpus
from tests.golden.record import record
from tests.golden.stories import STORIES

ADVICE = "Was that meant? Then it is a new form of the event: see `An event's form` in docs/adding.md"


@pytest.mark.parametrize("path", corpus.logs(), ids=lambda path: path.stem)
def test_a_recorded_log_gives_the_state_that_it_gave(path: Path) -> None:
    different = corpus.differences(corpus.read_state(path), corpus.state_of(corpus.read_log(path)))
    assert not different, "\n".join([f"{path.name}: today's code reads what was written otherwise.", *different[:20], ADVICE])


def test_all_that_an_event_may_say_is_recorded() -> None:
    known = {word for path in corpus.logs() for word in corpus.vocabulary(corpus.read_log(path))}
    wanted = {(kind, newest_form(kind), key) for kind, keys in events.KEYS.items() for key in ("", *keys)}
    told = {word for story in STORIES for word in corpus.vocabulary(story().log)}
    missing = sorted((wanted | told) - known)
    assert not missing, (
        f"no recorded log says {missing} (type, form, key): give it a story in tests/golden/stories.py, then python -m tests.golden.record"
    )


def test_what_is_recorded_was_told_with_the_words_of_its_time() -> None:
    """A type that nobody writes any more is still read: it may not leave the vocabulary while a log has it."""
    known = {kind for path in corpus.logs() for kind, _, _ in corpus.vocabulary(corpus.read_log(path))}
    assert known <= set(events.ALL)


def test_recording_adds_what_is_missing_and_leaves_what_is_there(tmp_path: Path) -> None:
    first = record(tmp_path)
    assert [path.name for path in first] == [f"{story.__name__}.1.ndjson" for story in STORIES]
    whole = tmp_path / "whole_life.1.ndjson"
    old = [event for event in corpus.read_log(whole) if event.type != events.PROCESS_SUCCEEDED]
    for path in first:
        path.unlink()
        path.with_suffix(".json").unlink()
    corpus.write(whole, old[:1])
    before = whole.read_bytes()
    added = {path.name for path in record(tmp_path)}
    assert "whole_life.2.ndjson" in added, "it says more than the one that is there"
    assert whole.read_bytes() == before
    assert record(tmp_path) == []
    with pytest.raises(FileExistsError):
        corpus.write(whole, old)


def test_a_fold_that_changed_is_noticed() -> None:
    [path] = [path for path in corpus.logs() if path.stem == "whole_life.1"]
    state, log = corpus.read_state(path), corpus.read_log(path)
    assert corpus.differences(state, corpus.state_of(log)) == []
    for index, event in enumerate(log):
        if event.type == events.UPDATED and "name" in event.data["changes"]:
            log[index] = replace(event, data={"changes": {**event.data["changes"], "name": "other", "more": 1}})
    assert sorted(corpus.differences(state, corpus.state_of(log))) == [
        "/resources/instance-1/row/more is new", "/resources/instance-1/row/name is 'other', and was 'web'",
    ]  # fmt: skip


def test_that_a_resource_tells_more_than_it_did_is_no_change_of_the_past() -> None:
    recorded = {"resources": {"a-1": {"version": 1, "row": {"a": 1}}}, "processes": {}}
    assert corpus.differences(recorded, {"resources": {"a-1": {"version": 1, "row": {"a": 1}, "fresh": 1}}, "processes": {}}) == []
    assert corpus.differences(recorded, {"resources": {"a-1": {"row": {"a": 1}}}, "processes": {}}) == ["/resources/a-1/version is gone"]
    assert corpus.differences(recorded, {"resources": {}, "processes": {}}) == ["/resources/a-1 is gone"]

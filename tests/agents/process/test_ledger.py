"""The ledger: epochs only rise, first answers stand, whatever the order and however often it is opened again."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.process import ledger as module
from agents.process.ledger import Answered, Arrival, Behind, Fresh, Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path)
    ledger.open()
    return ledger


def test_a_command_is_fresh_until_it_is_answered(ledger: Ledger) -> None:
    arrival = Arrival("c1", ("instance a",), 5)
    assert ledger.accept([arrival, arrival]) == [Fresh(), Fresh()]
    ledger.answer({"c1": b"first"})
    ledger.answer({"c1": b"second"})
    assert ledger.accept([arrival]) == [Answered(b"first")]
    ledger.close()


def test_an_answered_command_is_answered_even_when_it_is_behind(ledger: Ledger) -> None:
    ledger.accept([Arrival("c1", ("instance a",), 5)])
    ledger.answer({"c1": b"done"})
    ledger.accept([Arrival("c2", ("instance a",), 9)])
    assert ledger.accept([Arrival("c1", ("instance a",), 5), Arrival("c3", ("instance a",), 5)]) == [
        Answered(b"done"),
        Behind("instance a", 9),
    ]
    ledger.close()


def test_a_command_behind_in_one_subject_raises_no_other(ledger: Ledger) -> None:
    ledger.accept([Arrival("c1", ("instance a",), 9)])
    assert ledger.accept([Arrival("c2", ("volume v", "instance a"), 5)]) == [Behind("instance a", 9)]
    assert ledger.newest("volume v") == 0
    ledger.close()


def test_old_answers_are_dropped_and_epochs_kept(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWERS_KEPT", 3)
    for each in range(10):
        ledger.accept([Arrival(f"c{each}", (f"instance {each}",), each + 1)])
        ledger.answer({f"c{each}": b"done"})
    verdicts = ledger.accept([Arrival(f"c{each}", (f"instance {each}",), each + 1) for each in range(10)])
    assert verdicts == [Fresh()] * 7 + [Answered(b"done")] * 3
    assert ledger.accept([Arrival("late", ("instance 0",), 0)]) == [Behind("instance 0", 1)]
    ledger.close()


def test_a_failed_commit_accepts_nothing(ledger: Ledger) -> None:
    bad = Arrival("c2", ("instance b",), 2**80)  # more than sqlite holds
    with pytest.raises(OverflowError):
        ledger.accept([Arrival("c1", ("instance a",), 5), bad])
    assert ledger.newest("instance a") == 0
    assert ledger.accept([Arrival("c1", ("instance a",), 5)]) == [Fresh()]
    ledger.close()


@settings(max_examples=30)  # each step waits for the disk
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.booleans()), max_size=40))
def test_what_is_accepted_never_goes_back(steps: list[tuple[str, int, bool]]) -> None:
    """Given any order of epochs, with restarts in between, those that are fresh never fall."""
    newest: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        ledger.open()
        for number, (subject, epoch, restart) in enumerate(steps):
            if restart:
                ledger.close()
                ledger = Ledger(Path(folder))
                ledger.open()
            (verdict,) = ledger.accept([Arrival(f"c{number}", (subject,), epoch)])
            if epoch < newest.get(subject, 0):
                assert verdict == Behind(subject, newest[subject])
            else:
                assert verdict == Fresh()
                newest[subject] = epoch
        ledger.close()

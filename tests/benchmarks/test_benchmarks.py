"""The benchmarks themselves still run, with the smallest sizes; what they measure so is of no interest."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.benchmarks import agents, append, create, lag, lifecycles, lists, recovery, start, starts, subscribers
from tests.benchmarks.report import Line, Report, share, show


def shown(report: Report) -> str:
    written = io.StringIO()
    show(report, Console(file=written, width=120))
    return written.getvalue()


def test_appending_is_measured_beside_its_ceiling_and_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append, "ROUNDS", 1)
    monkeypatch.setattr(append, "SECONDS", 0.02)
    text = shown(append.measure())
    assert "256 callers, of the ceiling" in text
    assert "256 callers, of the floor" in text


def test_starts_are_measured() -> None:
    report = start.measure(rounds=1)
    assert [line.target for line in report.lines] == ["at most 10 s", "at most 4 s"]
    assert "later start" in shown(report)


def test_creates_are_measured_beside_pings_and_plain_appends() -> None:
    report = create.measure(samples=2, burst=4)
    assert [line.target for line in report.lines if line.target] == ["at most 150 ms"]
    assert "baseline: GET /ping" in shown(report)
    assert "events a start" in report.notes[0]


def test_sustained_starts_are_measured_by_process() -> None:
    report = starts.measure(starts=4, apart=4)
    assert [line.target for line in report.lines if line.target] == ["at least 100", "at most 25", "at most 5"]
    text = shown(report)
    assert all(name in text for name in ("corral", "engine", "projector", "Postgres"))


def test_the_views_lag_is_measured_at_a_steady_load() -> None:
    report = lag.measure(rate=10, seconds=0.4)
    assert {line.target for line in report.lines if line.target} == {"p99 at most 100 ms"}


def test_whole_lives_are_measured_by_step() -> None:
    assert "to purged" in shown(lifecycles.measure(lives=2))


def test_lists_are_measured_by_what_they_are_filtered_by() -> None:
    report = lists.measure(rows=2000, samples=1)
    assert {line.target for line in report.lines if line.target} == {"p99 at most 5 ms", "p99 at most 50 ms"}
    assert "kind and state" in shown(report)


def test_recovery_is_measured_with_copies_of_what_waits() -> None:
    report = recovery.measure(open_processes=30)
    assert report.lines[0].what.startswith("killed with 30 open processes")
    assert int(report.lines[-1].measured[0]) > 0


def test_an_event_is_measured_among_few_and_many_subscribers() -> None:
    report = subscribers.measure(few=2, many=6, events=20, rounds=1)
    assert [line.target for line in report.lines if line.target] == ["at most 1.5"] * 2
    assert "6 subscribers" in shown(report)


def test_a_missed_target_is_said_plainly() -> None:
    report = Report("t", ("median",), (Line("slow", ("9 s",), "at most 1 s", met=False), Line("fine", ("1 s",), "at most 2 s")))
    assert report.missed == ["slow: 9 s, wanted at most 1 s"]
    assert "MISSED" in shown(report)
    assert "met" in shown(report)


def test_a_share_of_values_is_one_of_them() -> None:
    assert share([3.0, 1.0, 2.0], 0.5) == 2.0
    assert share([3.0, 1.0, 2.0], 0.99) == 3.0
    assert share([1.0], 1.0) == 1.0


def test_agents_that_are_there_are_measured() -> None:
    text = shown(agents.measure(agents=5, seconds=0.5))
    assert "until 5 agents hear commands" in text
    assert all(name in text for name in agents.SHOWN)

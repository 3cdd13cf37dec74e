"""From the command to serving, with the environment made: on an empty home, and on one that is there."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

from tests.benchmarks.report import Line, Report
from tests.support.server import Server

ROUNDS = 3
WANTED_FIRST, WANTED_LATER = 10.0, 4.0
"""Seconds."""


def measure(rounds: int = ROUNDS) -> Report:
    """Simulated hosts alone: the figure is Corral's own, and an engine that may be here is left in peace."""
    first: list[float] = []
    later: list[float] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="corral-bench-") as folder, Server(Path(folder) / "home") as server:
            first.append(server.took)
            later.append(server.restart().took)
    lines = (
        _line("first start: makes the database, a first instance runs", first, WANTED_FIRST),
        _line("later start", later, WANTED_LATER),
    )
    return Report("Start to serving", ("median", "slowest"), lines, (f"{rounds} rounds, each with an empty home; simulated host",))


def _line(what: str, seconds: list[float], wanted: float) -> Line:
    middle = median(seconds)
    return Line(what, (f"{middle:.2f} s", f"{max(seconds):.2f} s"), f"at most {wanted:g} s", middle <= wanted)

"""What a benchmark answers, and how it is shown: tables of figures, each beside its target where it has one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

WIDTH = 110


@dataclass(frozen=True, slots=True)
class Line:
    """One figure. `target` says what is wanted ("" : nothing is), `met` whether it is so."""

    what: str
    measured: tuple[str, ...]
    target: str = ""
    met: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """`columns`: the heads over each line's `measured`."""

    title: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()

    @property
    def missed(self) -> list[str]:
        return [f"{line.what}: {line.measured[0]}, wanted {line.target}" for line in self.lines if not line.met]


def console() -> Console:
    """Wide enough for the tables where the output is no terminal."""
    return Console(highlight=False, width=None if os.isatty(1) else WIDTH)


def show(report: Report, to: Console) -> None:
    table = Table(title=report.title, title_justify="left", title_style="bold")
    table.add_column("")
    for column in report.columns:
        table.add_column(column, justify="right")
    table.add_column("wanted")
    table.add_column("")
    for line in report.lines:
        verdict = "" if not line.target else "[green]met[/]" if line.met else "[bold red]MISSED[/]"
        table.add_row(line.what, *line.measured, *[""] * (len(report.columns) - len(line.measured)), line.target, verdict)
    to.print(table)
    for note in report.notes:
        to.print(f"[dim]{note}[/]")
    to.print()


def share(values: Sequence[float], of: float) -> float:
    """The value below which this share of them lies: share(waits, 0.99)."""
    return sorted(values)[min(len(values) - 1, int(len(values) * of))]


def ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"

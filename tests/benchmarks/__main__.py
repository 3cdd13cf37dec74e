"""make bench: all that is promised about speed, measured on this machine in one run of a minute or two."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime

import uvloop
from rich.console import Console

from deploy.embedded import EmbeddedPostgres, Home
from tests.benchmarks import append, create, start
from tests.benchmarks.append import Figures
from tests.benchmarks.report import Line, Report, console, show


def main() -> None:
    to = console()
    _say_where(to)
    missed: list[str] = []
    for measure in (appends, start.measure, create.measure):
        report = measure()
        show(report, to)
        missed += report.missed
    for each in missed:
        to.print(f"[bold red]MISSED[/] {each}")
    to.print("All targets are met." if not missed else f"{len(missed)} of the targets missed.")


def appends() -> Report:
    with append.a_home() as home:
        figures = uvloop.run(_appends(home))
    most = figures[str(append.CALLERS[-1])].rate
    lines = [
        *(_line(f"{callers} concurrent, versions checked", figures[str(callers)]) for callers in append.CALLERS),
        _line("ceiling: raw insert of 100 rows, 1 connection", figures["ceiling"]),
        _line("floor: 1 insert a transaction, 32 connections", figures["floor"]),
        _line("read and decoded, 1000 a query", figures["read"]),
    ]
    for name, wanted in (("ceiling", append.WANTED_OF_CEILING), ("floor", append.WANTED_OF_FLOOR)):
        ratio = most / figures[name].rate
        lines.append(Line(f"{append.CALLERS[-1]} callers, of the {name}", (f"{ratio:.2f}",), f"at least {wanted:g}", ratio >= wanted))
    notes = (f"{append.ROUNDS} rounds of {append.SECONDS:g} s, medians; embedded Postgres, fsync on",)
    return Report("Events of the log", ("events/s", "p50 ms", "p99 ms"), tuple(lines), notes)


async def _appends(home: Home) -> dict[str, Figures]:
    async with EmbeddedPostgres(home) as postgres:
        return await append.run(postgres.dsn)


def _line(what: str, figures: Figures) -> Line:
    return Line(what, (f"{figures.rate:,.0f}", f"{figures.wait(0.5):.2f}", f"{figures.wait(0.99):.2f}"))


def _say_where(to: Console) -> None:
    load, processors = os.getloadavg()[0], os.cpu_count() or 1
    to.print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.system()} {platform.machine()}, {processors} processors, load {load:.1f}")
    if load > processors / 4:
        to.print("[yellow]Something else works on this machine: read these figures as a lower bound.[/]")
    to.print()


if __name__ == "__main__":
    main()

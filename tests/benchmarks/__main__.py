"""make bench: all that is promised about speed, measured on this machine; or some parts of it: python -m tests.benchmarks starts lag"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime

import orjson
from rich.console import Console

from tests.benchmarks import agents, append, create, lag, lifecycles, lists, recovery, start, starts, subscribers
from tests.benchmarks.report import Report, console, show

PARTS: Mapping[str, Callable[[], Report]] = {
    "append": append.measure,
    "start": start.measure,
    "create": create.measure,
    "starts": starts.measure,
    "lag": lag.measure,
    "lifecycles": lifecycles.measure,
    "lists": lists.measure,
    "recovery": recovery.measure,
    "subscribers": subscribers.measure,
    "agents": agents.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measures what Corral promises about speed.")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"what to measure: {', '.join(PARTS)}; without any, all of them")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    given = parser.parse_args()
    if unknown := [part for part in given.parts if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]}: there are {', '.join(PARTS)}")
    parts = given.parts or list(PARTS)
    if given.output == "json":
        reports = {part: asdict(PARTS[part]()) for part in parts}
        print(orjson.dumps({**_where(), "reports": reports}, option=orjson.OPT_INDENT_2).decode())
    else:
        _show(parts, console())


def _show(parts: list[str], to: Console) -> None:
    _say_where(to)
    missed: list[str] = []
    for part in parts:
        report = PARTS[part]()
        show(report, to)
        missed += report.missed
    for each in missed:
        to.print(f"[bold red]MISSED[/] {each}")
    to.print("All targets are met." if not missed else f"{len(missed)} of the targets missed.")


def _where() -> dict[str, object]:
    at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return {"at": at, "machine": f"{platform.system()} {platform.machine()}", "processors": os.cpu_count(), "load": os.getloadavg()[0]}


def _say_where(to: Console) -> None:
    where, processors = _where(), os.cpu_count() or 1
    to.print(f"{where['at']}, {where['machine']}, {processors} processors, load {where['load']:.1f}")
    if os.getloadavg()[0] > processors / 4:
        to.print("[yellow]Something else works on this machine: read these figures as a lower bound.[/]")
    to.print()


if __name__ == "__main__":
    main()

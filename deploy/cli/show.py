"""What the CLI prints with: answers to stdout, everything that is not the answer (progress, hints, errors) to stderr."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

Json = dict[str, Any]

WIDE = 250
"""Columns where nobody's terminal says another number: a pipe or a file should not cut or fold lines."""

STATES = {
    "running": "green", "active": "green", "stopped": "yellow", "inactive": "yellow", "removed": "dim", "purged": "dim",
}  # fmt: skip

EVENT_COLOURS = {
    "created": "green", "process-succeeded": "green", "step-failed": "red", "process-failed": "red", "process-parked": "yellow",
    "process-cancelled": "yellow", "step-requested": "cyan", "step-succeeded": "cyan",
}  # fmt: skip


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"


def out() -> Console:
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE)


def err() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


def hint(text: str) -> None:
    err().print(Text(text, style="dim"))


def print_json(value: Any) -> None:
    """For programs: one document."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_line(value: Any) -> None:
    """For programs: one of many documents, a line each, at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Columns in capitals over rows; nothing is cut where it is not a terminal."""
    shown = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for name in columns:
        shown.add_column(name, no_wrap=True, overflow="ellipsis" if sys.stdout.isatty() else "ignore")
    for row in rows:
        shown.add_row(*[each if isinstance(each, Text) else Text(each) for each in row])
    console = out()
    with console.capture() as captured:
        console.print(shown, soft_wrap=False)
    # A table fills its lines with blanks: nobody needs those.
    sys.stdout.write("\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n")


def state_text(document: Json) -> Text:
    """running; starting ...; stopped (error)."""
    state = str(document.get("state") or "")
    match document.get("transitioning"):
        case "yes":
            return Text(f"{state} ...", style="cyan")
        case "error":
            return Text(f"{state} (error)", style="red")
    return Text(state, style=STATES.get(state, ""))


def written(value: Any, longest: int = 100) -> str:
    """On one line; long values are cut."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def age(created_ms: Any) -> str:
    """How long ago, roughly: 5s, 3m, 2h, 4d."""
    if not isinstance(created_ms, int):
        return ""
    seconds = max(0, int(time.time() - created_ms / 1000))
    for limit, unit, size in ((120, "s", 1), (7200, "m", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86_400}d"


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def waiting(text: str) -> Iterator[Status]:
    """A line that moves while something takes its time; on stderr, and only on a terminal."""
    console = err()
    with console.status(Text(text)) as status:
        yield status

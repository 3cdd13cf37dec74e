"""The corpus' files: <story>.<number>.ndjson holds a log, an event a line; <story>.<number>.json the state that it gave."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from commands.resource import Json, fold_all
from commands.upcast import FORM, Upcasters, upcast
from eventstore import Recorded
from projections.fold import Picture
from projections.processes import ProcessRow

FOLDER = Path(__file__).parent

Word = tuple[str, int, str]
"""What an event says something with: type, form, key of its data ("": the event as such)."""


def logs(folder: Path = FOLDER) -> list[Path]:
    return sorted(folder.glob("*.ndjson"))


def read_log(path: Path) -> list[Recorded]:
    """As it was written."""
    events = []
    for line in path.read_bytes().splitlines():
        event = orjson.loads(line)
        events.append(Recorded(**{**event, "at": datetime.fromisoformat(event["at"])}))
    return events


def read_state(path: Path) -> Json:
    state: Json = orjson.loads(path.with_suffix(".json").read_bytes())
    return state


def write(path: Path, log: Iterable[Recorded]) -> None:
    """Both files; it must be a new name."""
    recorded = list(log)
    with path.open("xb") as file:
        file.writelines(orjson.dumps(event) + b"\n" for event in recorded)
    with path.with_suffix(".json").open("xb") as file:
        file.write(orjson.dumps(state_of(recorded), option=orjson.OPT_SORT_KEYS) + b"\n")


def state_of(log: Iterable[Recorded], upcasters: Upcasters | None = None) -> Json:
    """What today's code makes of a log: the resources, and the processes as the views tell them."""
    events = [upcast(event) if upcasters is None else upcast(event, upcasters) for event in log]
    picture = Picture()
    picture.fold(events)
    assert not picture.poisoned, picture.poisoned
    resources = {stream: asdict(resource) for stream, resource in fold_all(events).items()}
    assert resources == {stream: asdict(seen.resource) for stream, seen in picture.rows.items()}, "the views fold as the write side does"
    state: Json = orjson.loads(orjson.dumps({"resources": resources, "processes": _processes(picture.processes)}))
    return state


def vocabulary(log: Iterable[Recorded]) -> set[Word]:
    return {(event.type, event.metadata.get(FORM, 1), key) for event in log for key in ("", *event.data)}


def differences(recorded: Any, now: Any, at: str = "") -> list[str]:
    """Where today's state says something else than the recorded one. A resource or a process may tell more than it did; its row may not."""
    match recorded, now:
        case dict(), dict():
            exact = "/row" in at or at in ("", "/resources", "/processes")
            found = [f"{at}/{key} is gone" for key in recorded.keys() - now.keys()]
            found += [f"{at}/{key} is new" for key in now.keys() - recorded.keys() if exact]
            for key in recorded.keys() & now.keys():
                found += differences(recorded[key], now[key], f"{at}/{key}")
            return found
        case _:
            return [] if recorded == now else [f"{at} is {now!r}, and was {recorded!r}"]


def _processes(rows: dict[str, ProcessRow]) -> Json:
    return {pid: asdict(row) for pid, row in rows.items()}

"""What a projector remembers from one batch to the next: it alone writes its views, so what it wrote it need not read again.

Between the log's batch and its one query a view: rows that it wrote lately, processes under way, streams that are parked. What begins
within a batch is not looked for at all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from commands import events
from eventstore import Recorded
from projections.fold import Picture, Poison, touched
from projections.processes import ProcessRow, pid_of
from projections.rows import Seen

MOST = 4096
"""Rows remembered; the least recently touched go first, and are read again when they are needed."""


@dataclass(slots=True)
class Missing:
    """What must be read before a batch can be folded."""

    streams: set[str]
    pids: set[str]
    claims: set[tuple[str, str]]
    poisoned: bool
    """All parked streams: at the first batch."""


@dataclass(slots=True)
class Known:
    """Of the views in one table (a rebuild puts others in its place), as of the checkpoint. Kept only after a commit."""

    table: int = 0
    _rows: OrderedDict[str, Seen] = field(default_factory=OrderedDict)
    _processes: dict[str, ProcessRow] = field(default_factory=dict)
    """Those under way."""
    _poisoned: dict[str, Poison] | None = None

    def of(self, table: int) -> None:
        """Forgets everything if the views are not those that it was about."""
        if table != self.table:
            self.table, self._poisoned = table, None
            self._rows.clear()
            self._processes.clear()

    def begin(self, batch: Sequence[Recorded]) -> tuple[Picture, Missing]:
        """What is known of a batch's rows, and what is not."""
        streams, pids, claims = touched(batch)
        fresh = {event.stream for event in batch if event.version == 1}
        picture = Picture(
            rows={stream: self._rows[stream] for stream in streams if stream in self._rows},
            processes={pid: self._processes[pid] for pid in pids if pid in self._processes},
            poisoned=dict(self._poisoned or {}),
        )
        missing = Missing(
            streams - picture.rows.keys() - fresh,
            pids - picture.processes.keys() - self._new_processes(batch, fresh),
            claims - _new_claims(batch, fresh),
            self._poisoned is None,
        )
        return picture, missing

    def keep(self, picture: Picture) -> None:
        for stream, seen in picture.rows.items():
            self._rows[stream] = seen
            self._rows.move_to_end(stream)
        for stream in picture.gone_rows:
            self._rows.pop(stream, None)
        while len(self._rows) > MOST:
            self._rows.popitem(last=False)
        for pid, process in picture.processes.items():
            if process.ended_at is None:
                self._processes[pid] = process
            else:
                self._processes.pop(pid, None)
        self._poisoned = picture.poisoned

    def _new_processes(self, batch: Iterable[Recorded], fresh: set[str]) -> set[str]:
        """The pids that can't have a row: they begin here. (A process that is delegated begins once more, in its own bracket.)"""
        first: dict[str, Recorded] = {}
        for event in batch:
            if (pid := pid_of(event)) is not None:
                first.setdefault(pid, event)
        return {pid for pid, event in first.items() if event.type == events.TRANSITIONED or self._begins(event, pid, fresh)}

    def _begins(self, event: Recorded, pid: str, fresh: set[str]) -> bool:
        if event.type != events.PROCESS_STARTED:
            return False
        seen = self._rows.get(event.stream)
        return event.stream in fresh or (seen is not None and all(each.pid != pid for each in seen.resource.open.values()))


def _new_claims(batch: Iterable[Recorded], fresh: set[str]) -> set[tuple[str, str]]:
    """Claims that nobody can have had before: of streams that begin here, as the log took them."""
    first: dict[tuple[str, str], str] = {}
    for event in batch:
        keys = [(each.scope, each.item) for each in event.releases] + [(each.scope, each.item) for each in event.claims]
        for key in keys:
            first.setdefault(key, event.stream)
    return {key for key, stream in first.items() if stream in fresh}

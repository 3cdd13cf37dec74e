"""A batch of events folded over the rows they touch: pure, between the projector's one read and its one write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from commands.resource import empty, evolve, split_stream
from eventstore import Claim, Recorded
from projections.leases import is_lease, lease, number_of, stream_of
from projections.processes import ProcessRow, evolve_process, pid_of
from projections.rows import Seen, to_record


@dataclass(frozen=True, slots=True)
class Poison:
    """An event that can't be folded: its stream is parked before it."""

    stream: str
    version: int
    position: int
    error: str


@dataclass(slots=True)
class Picture:
    """The rows that a batch touches: as they are in the views, then as they become. `changed...`: what must be written."""

    rows: dict[str, Seen] = field(default_factory=dict)
    processes: dict[str, ProcessRow] = field(default_factory=dict)
    claims: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    """(scope, item) -> holder, and of a counted one its amount, of a lease the number of its row."""
    poisoned: dict[str, Poison] = field(default_factory=dict)

    changed_rows: set[str] = field(default_factory=set)
    gone_rows: set[str] = field(default_factory=set)
    """Leases that were given back: these alone leave nothing behind."""
    changed_processes: set[str] = field(default_factory=set)
    changed_claims: set[tuple[str, str]] = field(default_factory=set)
    new_poison: list[Poison] = field(default_factory=list)

    def fold(self, events: Iterable[Recorded]) -> None:
        for event in events:
            self._count(event)
            if is_resource(event.stream) and event.stream not in self.poisoned:
                try:
                    self._evolve(event)
                except Exception as error:  # whatever an event's data can do wrong must not stop all the others
                    self.poison(event, error)

    def poison(self, event: Recorded, error: Exception) -> None:
        found = Poison(event.stream, event.version, event.position, f"{type(error).__name__}: {error}")
        self.poisoned[event.stream] = found
        self.new_poison.append(found)

    def record(self, stream: str) -> tuple[Any, ...]:
        return to_record(self.rows[stream])

    def _evolve(self, event: Recorded) -> None:
        seen = self.rows.get(event.stream) or Seen(empty(event.stream))
        if event.version <= seen.resource.version:
            return  # seen before: a batch may come twice
        changed = Seen(evolve(seen.resource, event), seen.claimed)
        to_record(changed)  # raises here, where the event is known
        pid = pid_of(event)
        if pid is not None:
            process = evolve_process(self.processes.get(pid), event)
            if process is not None and process is not self.processes.get(pid):
                self.processes[pid] = process
                self.changed_processes.add(pid)
        self.rows[event.stream] = changed
        self.changed_rows.add(event.stream)

    def _count(self, event: Recorded) -> None:
        """Counted claims and leases, as the log's own append took them: releases first, then what is new in its scope."""
        for release in event.releases:
            key = (release.scope, release.item)
            held = self.claims.get(key)
            if held and held[0] == event.stream:
                del self.claims[key]
                if is_lease(release.scope):
                    self._give_back(key, stream_of(held[1]))
                else:
                    self._add(key, -held[1])
        for index, claim in enumerate(event.claims):
            key = (claim.scope, claim.item)
            if key in self.claims:
                continue
            if is_counted(claim):
                self.claims[key] = (event.stream, claim.amount)
                self._add(key, claim.amount)
            elif is_lease(claim.scope):
                self._lease(key, event, number_of(event, index))

    def _lease(self, key: tuple[str, str], event: Recorded, number: int) -> None:
        try:
            row = lease(event, number, *key)
        except ValueError:
            return  # in a scope that somebody else named so
        self.claims[key] = (event.stream, number)
        self.changed_claims.add(key)
        self.rows[row.stream] = Seen(row)
        self.changed_rows.add(row.stream)

    def _give_back(self, key: tuple[str, str], row: str) -> None:
        self.changed_claims.add(key)
        self.rows.pop(row, None)
        self.changed_rows.discard(row)
        self.gone_rows.add(row)

    def _add(self, key: tuple[str, str], amount: int) -> None:
        self.changed_claims.add(key)
        stream = offered_by(key[0])
        if stream in self.rows:
            seen = self.rows[stream]
            self.rows[stream] = Seen(seen.resource, seen.claimed + amount)
            self.changed_rows.add(stream)


def is_resource(stream: str) -> bool:
    """Other streams than those of resources (type-number) have no row."""
    try:
        return split_stream(stream)[1] < 2**63
    except ValueError:
        return False


def is_counted(claim: Claim) -> bool:
    return claim.limit is not None


def offered_by(scope: str) -> str:
    """host-2/compute is offered by host-2."""
    return scope.partition("/")[0]


def touched(events: Iterable[Recorded]) -> tuple[set[str], set[str], set[tuple[str, str]]]:
    """The streams, pids and (scope, item)s that must be loaded to fold these."""
    streams: set[str] = set()
    pids: set[str] = set()
    claims: set[tuple[str, str]] = set()
    for event in events:
        streams.add(event.stream)
        if (pid := pid_of(event)) is not None:
            pids.add(pid)
        claims.update((release.scope, release.item) for release in event.releases)
        claims.update((claim.scope, claim.item) for claim in event.claims if is_counted(claim) or is_lease(claim.scope))
    streams.update(offered_by(scope) for scope, _ in claims if not is_lease(scope))
    return {stream for stream in streams if is_resource(stream)}, pids, claims

"""Pending appends -> a draft of the next batch -> its arguments -> each caller's answer. Pure: the writer does the sending."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from eventstore.encode import Encoded, Key
from eventstore.errors import Full, KeyReused, LostLease, Repeated, StoreError, Taken, WrongVersion
from eventstore.types import Appended, Json


@dataclass(slots=True, eq=False)
class Member:
    """A caller that waits for its append, `since` when and until which `deadline` (the event loop's clock)."""

    encoded: Encoded
    answer: Future[Appended]
    deadline: float
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the database answered for a batch: where its first event landed, and who was refused."""

    first: int
    at: datetime
    refused: Sequence[Json]


class Draft:
    """The next batch, in columns, as log.append takes it. It grows while the batch before it is in flight.

    It takes each stream once. What it had to leave out blocks what comes later for the same streams, so that these keep their order.
    """

    def __init__(self, cap: int) -> None:
        """`cap`: about how many events; a single append that is longer goes alone."""
        self.members: list[Member] = []
        self.full = False
        self._cap, self._size = cap, 0
        self._written: set[Key] = set()
        self._read: set[Key] = set()
        self._plain = True
        self._streams: tuple[list[Any], ...] = ([], [], [], [], [])
        self._events: tuple[list[Any], ...] = ([], [], [], [], [], [])

    def add(self, member: Member) -> bool:
        """Takes the append, or leaves it for a later batch (False)."""
        wants = member.encoded
        weight = len(wants.events) or 1
        free = not self.full and self._written.isdisjoint(wants.keys)
        if free and self._read:
            free = self._read.isdisjoint(wants.keys)
        if free and self.members and self._size + weight > self._cap:
            self.full = True
            free = False
        if wants.unchanged:
            free = free and self._written.isdisjoint(wants.unchanged)
            self._read.update(wants.unchanged)
        self._written.update(wants.keys)
        if not free:
            return False
        self.members.append(member)
        self._size += weight
        if self._plain:
            self._plain = wants.plain
        number = len(self.members)
        members, streams, expected, versions, roots = self._streams
        for stream, before, after, root in wants.streams:
            members.append(number)
            streams.append(stream)
            expected.append(before)
            versions.append(after)
            roots.append(root)
        members, streams, versions, types, data, metadata = self._events
        for stream, version, kind, facts, about in wants.events:
            members.append(number)
            streams.append(stream)
            versions.append(version)
            types.append(kind)
            data.append(facts)
            metadata.append(about)
        return True

    def arguments(self) -> list[Any]:
        """What log.append takes after the writer's own numbers."""
        extras = None if self._plain else _extras([member.encoded for member in self.members])
        return [*self._streams, *self._events, extras]

    def __len__(self) -> int:
        return len(self.members)


def draft_of(members: Sequence[Member]) -> Draft:
    """A batch of just these, which must go together (they did before, or it is one)."""
    draft = Draft(cap=sum(len(member.encoded.events) or 1 for member in members))
    for member in members:
        assert draft.add(member)
    return draft


def answers(batch: Sequence[Member], outcome: Outcome) -> list[Appended | StoreError]:
    """What each member is told, in order. Positions follow each other, without those of the refused."""
    errors: dict[int, StoreError] = {}
    for refusal in outcome.refused:
        errors.setdefault(refusal["member"], refusal_error(refusal))
    position = outcome.first
    told: list[Appended | StoreError] = []
    for number, member in enumerate(batch, start=1):
        if error := errors.get(number):
            told.append(error)
            continue
        after = position + len(member.encoded.events)
        told.append(Appended(position, after - 1, outcome.at))
        position = after
    return told


def refusal_error(refusal: Json) -> StoreError:
    """A refusal of log.append as the error it stands for."""
    match refusal:
        case {"why": "version", "stream": stream, "expected": expected, "actual": actual}:
            return WrongVersion(stream, expected, actual)
        case {"why": "taken", "scope": scope, "item": item, "holder": holder}:
            return Taken(scope, item, holder)
        case {"why": "full", "scope": scope, "item": item, "amount": amount, "used": used, "limit": limit}:
            return Full(scope, item, amount, used, limit)
        case {"why": "lease", "name": name, "epoch": epoch}:
            return LostLease(name, epoch)
        case {"why": "repeated", "key": key, "status": status, "first": first, "last": last, "at": at}:
            return Repeated(key, status, first, last, datetime.fromisoformat(at))
        case {"why": "reused", "key": key}:
            return KeyReused(key)
    return StoreError(f"log.append refused for a reason this version doesn't know: {refusal}")


def _extras(wants: Sequence[Encoded]) -> str:
    numbered = list(enumerate(wants, start=1))
    extras: Json = {}
    if unchanged := [{"m": m, "stream": s, "expected": v} for m, w in numbered if w.unchanged for s, v in w.unchanged.items()]:
        extras["unchanged"] = unchanged
    if whole := [{"m": m, "root": root} for m, w in numbered for root in w.whole]:
        extras["whole"] = whole
    if closed := [{"m": m, "stream": stream} for m, w in numbered for stream in w.closed]:
        extras["closed"] = closed
    if leases := [{"m": m, "name": w.lease.name, "holder": w.lease.holder, "epoch": w.lease.epoch} for m, w in numbered if w.lease]:
        extras["leases"] = leases
    if commands := [
        {"m": m, "account": c.account, "key": c.key, "hash": c.request_hash, "status": c.status} for m, w in numbered if (c := w.command)
    ]:
        extras["commands"] = commands
        extras["sizes"] = [{"m": m, "size": len(w.events)} for m, w in numbered]
    if ops := [op | {"m": m, "n": n} for m, w in numbered for n, op in enumerate(w.ops)]:
        extras["claims"] = ops
        extras["distinct_items"] = len({(op["s"], op["i"]) for op in ops}) == len(ops)
    if done := [{"m": m, "root": root} for m, w in numbered for root in w.done]:
        extras["done"] = done
    if work := [
        {"m": m, "root": k.root, "partition": k.partition, "due": k.due, "waits_for": k.waits_for}
        for m, w in numbered for k in w.work
    ]:  # fmt: skip
        extras["work"] = work
    return orjson.dumps(extras).decode()

"""Pending appends -> a batch's arguments -> each caller's answer. Pure: the writer does the sending."""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat
from typing import Any

import orjson

from eventstore.encode import Encoded, Key
from eventstore.errors import Full, KeyReused, LostLease, Repeated, StoreError, Taken, WrongVersion
from eventstore.types import Appended, Json

LOOKED_THROUGH = 4000  # how many waiting appends a batch skips at most, so that one hot stream can't make composing slow


@dataclass(slots=True, eq=False)
class Member:
    """A caller that waits for its append until `deadline` (the event loop's clock)."""

    encoded: Encoded
    answer: Future[Appended]
    deadline: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the database answered for a batch: where its first event landed, and who was refused."""

    first: int
    at: datetime
    refused: Sequence[Json]


def take_batch(pending: deque[Member], cap: int) -> list[Member]:
    """Takes from `pending` what can go together: about `cap` events, each stream once.

    A skipped append keeps its place, and later ones that touch the same things stay behind it.
    """
    batch: list[Member] = []
    skipped: list[Member] = []
    taken: set[Key] = set()
    read: set[Key] = set()
    size = 0
    while pending and size < cap and len(skipped) < LOOKED_THROUGH:
        member = pending.popleft()
        if member.answer.done():  # cancelled, or out of time
            continue
        wants = member.encoded
        free = taken.isdisjoint(wants.keys) and taken.isdisjoint(wants.reads) and read.isdisjoint(wants.keys)
        taken.update(wants.keys)
        read.update(wants.reads)
        weight = len(wants.events) or 1
        if free and (not batch or size + weight <= cap):
            batch.append(member)
            size += weight
        else:
            skipped.append(member)
    pending.extendleft(reversed(skipped))
    return batch


def arguments(batch: Sequence[Member]) -> list[Any]:
    """What log.append takes after the writer's own numbers: columns, one value a row, with the member each belongs to."""
    wants = [member.encoded for member in batch]
    checks = [check for each in wants for check in each.checks]
    streams = [row for each in wants for row in each.streams]
    events = [row for each in wants for row in each.events]
    sizes = [len(each.events) for each in wants]
    return [
        sizes,
        _members([len(each.checks) for each in wants]), *_columns(checks, 2),
        _members([len(each.streams) for each in wants]), *_columns(streams, 4),
        _members(sizes), *_columns(events, 5),
        _extras(wants),
    ]  # fmt: skip


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


def _members(counts: Sequence[int]) -> list[int]:
    return [number for number, count in enumerate(counts, start=1) for _ in repeat(None, count)]


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _extras(wants: Sequence[Encoded]) -> str | None:
    if all(each.plain for each in wants):
        return None
    numbered = list(enumerate(wants, start=1))
    extras: Json = {}
    if leases := [{"m": m, "name": w.lease.name, "holder": w.lease.holder, "epoch": w.lease.epoch} for m, w in numbered if w.lease]:
        extras["leases"] = leases
    if commands := [
        {"m": m, "account": c.account, "key": c.key, "hash": c.request_hash, "status": c.status} for m, w in numbered if (c := w.command)
    ]:
        extras["commands"] = commands
    if ops := [op | {"m": m, "n": n} for m, w in numbered for n, op in enumerate(w.ops)]:
        extras["claims"] = ops
        extras["distinct_items"] = len({(op["s"], op["i"]) for op in ops}) == len(ops)
    if done := [{"m": m, "root": root} for m, w in numbered for root in w.done]:
        extras["done"] = done
    if work := [{"m": m, "root": k.root, "partition": k.partition, "due": k.due} for m, w in numbered for k in w.work]:
        extras["work"] = work
    return orjson.dumps(extras).decode()

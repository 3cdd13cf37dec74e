"""The log in memory, for tests and simulations: does what eventstore.postgres does, under the same contract suite.

Every append is checked and applied without a pause in between, so each is its own transaction.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import orjson

from eventstore.encode import Encoded, EventRow, encode_append
from eventstore.errors import Full, KeyReused, LostLease, Repeated, Taken, Unavailable, WrongVersion
from eventstore.follow import Bell, follow
from eventstore.history import has
from eventstore.types import Appended, Claim, CommandKey, Held, Json, Lease, Loaded, Recorded, Resumed, Snapshot, Upcast, Work, Write


@dataclass(frozen=True, slots=True)
class Term:
    """A lease as it stands."""

    lease: Lease
    until: datetime


class MemoryStore:
    """The Store without a database. `clock` answers the time of day in UTC; it may be a simulation's."""

    def __init__(
        self, clock: Callable[[], datetime] = lambda: datetime.now(UTC), poll: float = 1.0, upcast: Upcast | None = None
    ) -> None:
        self._clock, self._poll, self._upcast = clock, poll, upcast
        self._bell = Bell()
        self._rows: list[tuple[EventRow, datetime]] = []  # the row of position n is at n - 1
        self._positions: dict[str, list[int]] = {}
        self._versions: dict[str, int] = {}
        self._roots: dict[str, list[str]] = {}
        self._claims: dict[tuple[str, str], Held] = {}
        self._totals: dict[str, int] = {}
        self._commands: dict[tuple[str, str], tuple[CommandKey, Appended]] = {}
        self._work: dict[str, Work] = {}
        self._leases: dict[str, Term] = {}
        self._forgotten_epoch = 0
        """The highest of the leases that were forgotten."""
        self._ids: dict[str, int] = {}
        self._keys: dict[str, bytes] = {}
        self._snapshots: dict[str, Snapshot] = {}

    async def append(
        self,
        writes: Sequence[Write],
        *,
        unchanged: Mapping[str, int] | None = None,
        whole: Sequence[str] = (),
        lease: Lease | None = None,
        command: CommandKey | None = None,
        work: Sequence[Work] = (),
        done: Sequence[str] = (),
    ) -> Appended:
        self._open()
        wanted = encode_append(writes, unchanged, lease, command, work, done, whole)
        self._check(wanted)
        claims = self._claimed(wanted.ops)
        return self._apply(wanted, claims)

    async def read(self, stream: str, after: int = 0, to_position: int | None = None) -> list[Recorded]:
        self._open()
        return [self._recorded(p) for p in self._positions.get(stream, [])[after:] if to_position is None or p <= to_position]

    async def read_root(self, root: str, to_position: int | None = None) -> list[Recorded]:
        self._open()
        positions = sorted(p for stream in self._roots.get(root, ()) for p in self._positions[stream])
        return [self._recorded(p) for p in positions if to_position is None or p <= to_position]

    async def read_having(self, category: str, part: Json, to_position: int | None = None) -> list[Recorded]:
        self._open()
        own = [self._recorded(p) for stream, positions in self._positions.items() if stream.startswith(f"{category}-") for p in positions]
        seen = sorted((each for each in own if to_position is None or each.position <= to_position), key=lambda each: each.position)
        having = {each.stream for each in seen if has(each, part)}
        return [each for each in seen if each.stream in having]

    async def resume(self, stream: str, form: str) -> Resumed:
        self._open()
        return self._resumed([stream], form)

    async def resume_root(self, root: str, form: str) -> Resumed:
        return await self.resume_roots([root], form)

    async def resume_roots(self, roots: Sequence[str], form: str) -> Resumed:
        self._open()
        return self._resumed([stream for root in dict.fromkeys(roots) for stream in self._roots.get(root, ())], form)

    async def snapshot(self, snapshots: Sequence[Snapshot]) -> None:
        self._open()
        for each in snapshots:
            present = self._snapshots.get(each.stream)
            if present is None or present.form != each.form or present.version < each.version:
                self._snapshots[each.stream] = replace(each, state=orjson.loads(orjson.dumps(each.state)))

    async def grown(self, by: int, form: str, after: int = 0, limit: int = 1000) -> list[str]:
        self._open()
        written = sorted({row[0] for row, _ in self._rows[after:]})
        return [stream for stream in written if self._versions[stream] - self._version_kept(stream, form) >= by][:limit]

    async def read_all(
        self,
        after: int = 0,
        limit: int = 1000,
        to_position: int | None = None,
        types: Sequence[str] | None = None,
        correlation: str | None = None,
    ) -> list[Recorded]:
        self._open()
        last = len(self._rows) if to_position is None else min(to_position, len(self._rows))
        found: list[Recorded] = []
        for position in range(after + 1, last + 1):
            if len(found) == limit:
                break
            if types is not None and self._rows[position - 1][0][2] not in types:
                continue
            event = self._recorded(position)
            if correlation is None or event.is_of(correlation):
                found.append(event)
        return found

    async def follow(self, after: int = 0) -> AsyncGenerator[list[Recorded], None]:
        async with aclosing(follow(self.read_all, self._bell, after, self._poll)) as batches:
            async for events in batches:
                yield events

    async def load(self, categories: Sequence[str], claim_prefixes: Sequence[str] = (), form: str = "") -> Loaded:
        self._open()
        prefixes = tuple(f"{each}-" for each in categories)
        resumed = self._resumed([stream for stream in self._positions if stream.startswith(prefixes)], form)
        wanted = sorted(key for key in self._claims if key[0].startswith(tuple(claim_prefixes)))
        return Loaded(len(self._rows), resumed.events, [self._claims[key] for key in wanted], resumed.snapshots)

    async def head(self) -> int:
        self._open()
        return len(self._rows)

    async def writable(self) -> bool:
        self._open()
        return True

    def now(self) -> datetime:
        return max(self._clock(), self._rows[-1][1]) if self._rows else self._clock()

    async def ids(self, category: str, count: int = 1) -> range:
        self._open()
        if count < 1:
            raise ValueError(f"{count} ids of {category} were asked for: at least one")
        first = self._ids.get(category, 1)
        self._ids[category] = first + count
        return range(first, first + count)

    async def holder(self, scope: str, item: str) -> str | None:
        self._open()
        held = self._claims.get((scope, item))
        return held.holder if held and held.claim.limit is None else None

    async def used(self, scope: str) -> int:
        self._open()
        return self._totals.get(scope, 0)

    async def done_before(self, command: CommandKey) -> Repeated | None:
        self._open()
        before = self._commands.get((command.account, command.key))
        return _repeated(command, *before) if before else None

    async def due_work(self, partitions: Sequence[int], limit: int = 1000, *, waiting: bool = True) -> list[Work]:
        self._open()
        now = self._clock()
        wanted = [each for each in self._work.values() if each.partition in partitions and (waiting or each.waits_for is None)]
        due = [(each.due, each.root, each) for each in wanted if each.due and each.due <= now]
        return [each for _, _, each in sorted(due, key=lambda row: row[:2])[:limit]]

    async def acquire(self, names: Sequence[str], holder: str, seconds: float) -> list[Lease]:
        self._open()
        if not holder:
            raise ValueError("a lease's holder needs a name")
        now = self._clock()
        got: list[Lease] = []
        for name in sorted(set(names)):
            term = self._leases.get(name)
            if term is None or term.until <= now or term.lease.holder == holder:
                lease = Lease(name, holder, (term.lease.epoch if term else self._forgotten_epoch) + 1)
                self._leases[name] = Term(lease, now + timedelta(seconds=seconds))
                got.append(lease)
        return got

    async def renew(self, leases: Sequence[Lease], seconds: float) -> list[Lease]:
        self._open()
        kept = [lease for lease in leases if self._holds(lease)]
        for lease in kept:
            self._leases[lease.name] = Term(lease, self._clock() + timedelta(seconds=seconds))
        return kept

    async def leases(self, prefix: str = "") -> list[Lease]:
        self._open()
        now = self._clock()
        return [term.lease for name, term in sorted(self._leases.items()) if name.startswith(prefix) and term.until > now]

    async def give_up(self, leases: Sequence[Lease]) -> None:
        self._open()
        for lease in leases:
            if self._holds(lease):
                self._leases[lease.name] = Term(Lease(lease.name, "", lease.epoch), datetime.min.replace(tzinfo=UTC))

    async def forget_commands(self, older: float, limit: int = 1000) -> int:
        self._open()
        until = self._clock() - timedelta(seconds=older)
        old = [key for key, (_, done) in self._commands.items() if done.at < until][:limit]
        for key in old:
            del self._commands[key]
        return len(old)

    async def forget_leases(self, ended: float, limit: int = 1000) -> int:
        self._open()
        until = self._clock() - timedelta(seconds=ended)
        old = [name for name, term in self._leases.items() if term.until < until][:limit]
        for name in old:
            self._forgotten_epoch = max(self._forgotten_epoch, self._leases.pop(name).lease.epoch)
        return len(old)

    async def keys(self, streams: Sequence[str]) -> dict[str, bytes]:
        self._open()
        return {stream: self._keys[stream] for stream in streams if stream in self._keys}

    async def add_keys(self, keys: Mapping[str, bytes]) -> dict[str, bytes]:
        self._open()
        return {stream: self._keys.setdefault(stream, key) for stream, key in keys.items()}

    async def keys_after(self, stream: str, limit: int = 1000) -> dict[str, bytes]:
        self._open()
        return {each: self._keys[each] for each in sorted(each for each in self._keys if each > stream)[:limit]}

    async def change_keys(self, changes: Mapping[str, tuple[bytes, bytes]]) -> None:
        self._open()
        self._keys.update({stream: new for stream, (old, new) in changes.items() if self._keys.get(stream) == old})

    async def close(self) -> None:
        self._bell.close()

    def _check(self, wanted: Encoded) -> None:
        """In the order in which log.append checks: command, lease, versions."""
        if wanted.command and (before := self._commands.get((wanted.command.account, wanted.command.key))):
            raise _repeated(wanted.command, *before)
        if wanted.lease and not self._holds(wanted.lease):
            raise LostLease(wanted.lease.name, wanted.lease.epoch)
        for stream, expected in [*((row[0], row[1]) for row in wanted.streams), *(wanted.unchanged or {}).items()]:
            actual = self._versions.get(stream, 0)
            if actual != expected:
                raise WrongVersion(stream, expected, actual)
        known = {*(row[0] for row in wanted.streams), *(wanted.unchanged or ())}
        for stream in (each for root in wanted.whole for each in self._roots.get(root, ()) if each not in known):
            if not self._is_closed(stream):
                raise WrongVersion(stream, 0, self._versions[stream])

    def _is_closed(self, stream: str) -> bool:
        (_, _, _, _, metadata), _ = self._rows[self._positions[stream][-1] - 1]
        return orjson.loads(metadata).get("closed") is True

    def _claimed(self, ops: Sequence[Json]) -> dict[tuple[str, str], Held | None]:
        """What these change in the claims (None: free again); raises Taken or Full and leaves nothing behind."""
        changes: dict[tuple[str, str], Held | None] = {}
        more: dict[str, int] = {}
        for op in ops:
            key = (op["s"], op["i"])
            held = changes[key] if key in changes else self._claims.get(key)
            if op["o"] == "release":
                if held and held.holder == op["h"]:
                    changes[key] = None
                    if held.claim.limit is not None:
                        more[held.claim.scope] = more.get(held.claim.scope, 0) - held.claim.amount
            elif held and held.holder != op["h"]:
                raise Taken(*key, held.holder)
            elif held is None:
                claim = Claim(*key, op["a"], op["l"])
                if claim.limit is not None:
                    used = self._totals.get(claim.scope, 0) + more.get(claim.scope, 0)
                    if used + claim.amount > claim.limit:
                        raise Full(claim.scope, claim.item, claim.amount, used, claim.limit)
                    more[claim.scope] = more.get(claim.scope, 0) + claim.amount
                changes[key] = Held(op["h"], claim)
        for scope, change in more.items():  # nothing can be refused any more
            self._totals[scope] = self._totals.get(scope, 0) + change
        return changes

    def _apply(self, wanted: Encoded, claims: Mapping[tuple[str, str], Held | None]) -> Appended:
        first = len(self._rows) + 1
        at = self.now()
        for key, held in claims.items():
            if held is None:
                self._claims.pop(key, None)
            else:
                self._claims[key] = held
        for row in wanted.events:
            self._rows.append((row, at))
            self._positions.setdefault(row[0], []).append(len(self._rows))
        for stream, _, version, root in wanted.streams:
            if stream not in self._versions:
                self._roots.setdefault(root or stream, []).append(stream)
            self._versions[stream] = version
        for stream in wanted.closed:
            self._keys.pop(stream, None)
        for root in wanted.done:
            self._work.pop(root, None)
        for each in wanted.work:
            before, due = self._work.get(each.root), each.due or at
            if each.waits_for is not None and before is not None and before.due is not None and before.due <= at:
                due = before.due
            self._work[each.root] = replace(each, due=due, since=first)
        appended = Appended(first, len(self._rows), at)
        if wanted.command:
            self._commands[wanted.command.account, wanted.command.key] = (wanted.command, appended)
        self._bell.ring(appended.last)
        return appended

    def _resumed(self, streams: Sequence[str], form: str) -> Resumed:
        kept = [each for stream in streams if (each := self._snapshots.get(stream)) and each.form == form]
        after = {stream: self._version_kept(stream, form) for stream in streams}
        positions = sorted(p for stream in streams for p in self._positions.get(stream, [])[after[stream] :])
        return Resumed(sorted(kept, key=lambda each: each.stream), [self._recorded(p) for p in positions])

    def _version_kept(self, stream: str, form: str) -> int:
        kept = self._snapshots.get(stream)
        return kept.version if kept and kept.form == form else 0

    def _holds(self, lease: Lease) -> bool:
        term = self._leases.get(lease.name)
        return term is not None and term.lease == lease

    def _recorded(self, position: int) -> Recorded:
        (stream, version, kind, data, metadata), at = self._rows[position - 1]
        event = Recorded(position, stream, version, kind, orjson.loads(data), orjson.loads(metadata), at)
        return event if self._upcast is None else self._upcast(event)

    def _open(self) -> None:
        if self._bell.closed:
            raise Unavailable("the store is closed")


def _repeated(command: CommandKey, done: CommandKey, at: Appended) -> Repeated:
    if done.request_hash != command.request_hash:
        raise KeyReused(command.key)
    return Repeated(done.key, done.status, at.first, at.last, at.at)

"""What every store can do; eventstore.postgres and eventstore.memory are the two that do it, under one contract suite."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from eventstore.errors import Repeated
from eventstore.types import Appended, CommandKey, Json, Lease, Loaded, Recorded, Resumed, Snapshot, Work, Write


class Store(Protocol):
    """An append-only log of events in streams, with claims, leases, idempotent commands and open work beside it.

    Every call ends within the store's timeout, or raises Unavailable.
    """

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
        """All the writes in one transaction, or none.

        `unchanged`: streams that the decision read and that must still be at these versions. `whole`: roots of which it knows all:
        every stream of theirs that is not closed must be written or named as unchanged. `work` and `done`: roots that have, or no
        longer have, something left to do. Raises WrongVersion, Taken, Full, LostLease, Repeated, KeyReused,
        BadData for this caller alone, whoever shares its batch; Unavailable when the database is gone.
        """
        ...

    async def read(self, stream: str, after: int = 0, to_position: int | None = None) -> list[Recorded]:
        """A stream's events with version > after (and position <= to_position), oldest first."""
        ...

    async def read_root(self, root: str, to_position: int | None = None) -> list[Recorded]:
        """All events of all streams with this root, by position, in one query."""
        ...

    async def read_all(
        self,
        after: int = 0,
        limit: int = 1000,
        to_position: int | None = None,
        types: Sequence[str] | None = None,
        correlation: str | None = None,
    ) -> list[Recorded]:
        """The log's events with position > after, by position, archived ones included. `types`: only those. `correlation`: only those
        of this request, or of all requests of the trace with this id."""
        ...

    async def read_having(self, category: str, part: Json, to_position: int | None = None) -> list[Recorded]:
        """All events (position <= to_position) of the streams named `<category>-...` that have one of these whose data and metadata
        contain `part`, by position, archived ones included: {"data": {"changes": {"hostId": 2}}}.

        What contains what is as Postgres has it for jsonb (an array contains the elements, in any order). There is no index for it: it
        takes as long as the category has events.
        """
        ...

    async def resume(self, stream: str, form: str) -> Resumed:
        """A stream as it is now, from its latest snapshot of this form on."""
        ...

    async def resume_root(self, root: str, form: str) -> Resumed:
        """As resume_roots, of one."""
        ...

    async def resume_roots(self, roots: Sequence[str], form: str) -> Resumed:
        """All streams with these roots as they are now, from their latest snapshots on, in one query."""
        ...

    async def snapshot(self, snapshots: Sequence[Snapshot]) -> None:
        """Keeps these, one a stream: in place of an older one, or of one of another form."""
        ...

    async def grown(self, by: int, form: str, after: int = 0, limit: int = 1000) -> list[str]:
        """Streams that have grown by at least so many events since their snapshot of this form; `after`: only among those written since."""
        ...

    def follow(self, after: int = 0) -> AsyncGenerator[list[Recorded], None]:
        """The log from `after` on, in batches (at most 1000 events), for ever: catch-up, then live. Misses nothing, repeats nothing.

        Survives the database's restarts (it waits and goes on); ends when it is closed (aclose) or the store is.
        """
        ...

    async def load(self, categories: Sequence[str], claim_prefixes: Sequence[str] = (), form: str = "") -> Loaded:
        """All events of all streams named `<category>-...`, and the claims whose scope starts with one of claim_prefixes, as of one moment.

        `form`: from the streams' latest snapshots of this form on. Such streams are never archived (see eventstore.archiving).
        """
        ...

    async def head(self) -> int:
        """The last position (0: the log is empty)."""
        ...

    async def writable(self) -> bool:
        """False for a database that is read-only just now: a standby, or one that was set so."""
        ...

    def now(self) -> datetime:
        """The time that an append of this moment would be given, as far as this process can tell. Never goes back, and asks nobody."""
        ...

    async def ids(self, category: str, count: int = 1) -> range:
        """`count` new numbers for streams of a category, never given before, from 1 on."""
        ...

    async def holder(self, scope: str, item: str) -> str | None:
        """The stream that holds an exclusive claim."""
        ...

    async def used(self, scope: str) -> int:
        """The sum of a counted scope's claims."""
        ...

    async def done_before(self, command: CommandKey) -> Repeated | None:
        """What an append with this key would be refused with, because it was carried out before; raises KeyReused. None: it was not."""
        ...

    async def due_work(self, partitions: Sequence[int], limit: int = 1000, *, waiting: bool = True) -> list[Work]:
        """The work of these partitions that is due by the database's clock, longest due first. `waiting`: also what waits for an answer."""
        ...

    async def acquire(self, names: Sequence[str], holder: str, seconds: float) -> list[Lease]:
        """Those of the leases that are free, expired, or held by this very holder, each with a new epoch."""
        ...

    async def renew(self, leases: Sequence[Lease], seconds: float) -> list[Lease]:
        """Extends the leases still held under their epochs, and returns those; the others are lost."""
        ...

    async def leases(self, prefix: str = "") -> list[Lease]:
        """The leases, of names that start so, that somebody holds now by the database's clock; by name."""
        ...

    async def give_up(self, leases: Sequence[Lease]) -> None:
        """Frees leases at once, so that another server need not wait for their end."""
        ...

    async def forget_commands(self, older: float, limit: int = 1000) -> int:
        """Forgets at most `limit` commands that were carried out over so many seconds ago, oldest first; -> how many.

        Sent once more, such a command is carried out once more. Any number of servers may call it at once.
        """
        ...

    async def forget_leases(self, ended: float, limit: int = 1000) -> int:
        """Forgets at most `limit` leases that ended over so many seconds ago, or were given up; -> how many.

        An epoch never comes again for all that: a lease that is acquired anew has a higher one than it ever had.
        """
        ...

    async def keys(self, streams: Sequence[str]) -> dict[str, bytes]:
        """The keys of these streams' secrets, of those that have one. A stream's key goes with the append that closes it."""
        ...

    async def add_keys(self, keys: Mapping[str, bytes]) -> dict[str, bytes]:
        """Gives a key to each of these streams that has none; answers the keys in force, whoever gave them. They are durable then."""
        ...

    async def keys_after(self, stream: str, limit: int = 1000) -> dict[str, bytes]:
        """All keys, page by page, in order of their streams."""
        ...

    async def change_keys(self, changes: Mapping[str, tuple[bytes, bytes]]) -> None:
        """stream -> (the key as it is, as it is to be). One that is no longer as it was stays."""
        ...

    async def close(self) -> None:
        """Sends what is pending, ends the followers, closes the connections."""
        ...

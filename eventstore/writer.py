"""append() -> here -> log.append: the group-commit writer. One batch in flight a process; whatever waits meanwhile goes with the next.

    draft --> in flight --answered--> each caller told its own outcome
      ^           | connection lost
      |           v
      +-------- settle (again and again, until the database answers): landed? then told, else drafted again
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
from asyncpg.connection import Connection
from asyncpg.prepared_stmt import PreparedStatement

from eventstore.batch import Draft, Member, Outcome, answers, draft_of
from eventstore.clock import LogClock
from eventstore.connect import is_away
from eventstore.counts import Appends
from eventstore.encode import Encoded
from eventstore.errors import BadData, StoreError, Unavailable
from eventstore.follow import Bell
from eventstore.pulse import Pulse
from eventstore.queries import sql
from eventstore.types import Appended

log = logging.getLogger(__name__)

SWEEP = 0.1  # seconds between looks for appends that are out of time
LEAST = 64  # events a draft may always hold
LOOKED_THROUGH = 4000  # left-out appends that are looked at for a draft, so that one hot stream can't make drafting slow
BAD_DATA = ("22", "54")  # SQLSTATE classes: data exception, program limit exceeded


class Writer:
    """Use within one event loop. `connect` opens a connection of the writer's own."""

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], bell: Bell, clock: LogClock, pulse: Pulse, *,
        timeout: float, patience: float, partition_size: int, cap: int = 1000,
    ) -> None:  # fmt: skip
        self._connect, self._bell, self._timeout, self._partition_size, self._cap = connect, bell, timeout, partition_size, cap
        self._clock, self._pulse, self._patience = clock, pulse, patience
        self.counts = Appends()
        self._away_since: float | None = None
        self._id = uuid.uuid4()
        self._number = 0
        self._known = 0
        self._draft = Draft(cap)
        self._behind: deque[Member] = deque()  # left out of the draft, oldest first
        self._flying: Sequence[Member] = ()  # sent, and not answered
        self._some = asyncio.Event()
        self._closed = False
        self._connection: Connection | None = None
        self._append: PreparedStatement | None = None
        self._loop = asyncio.get_running_loop()
        self._run = asyncio.create_task(self._write(), name="log writer")
        self._sweep = asyncio.create_task(self._fail_late(), name="log writer's clock")

    async def append(self, encoded: Encoded) -> Appended:
        """Waits for the append's own outcome. Cancelling the wait withdraws the append if it was not sent yet."""
        if self._closed:
            raise Unavailable("the store is closed")
        answer: asyncio.Future[Appended] = self._loop.create_future()
        now = self._loop.time()
        member = Member(encoded, answer, now + self._timeout, now)
        if not self._draft.add(member):
            self._behind.append(member)
        self._some.set()
        return await answer

    async def close(self) -> None:
        """Sends what is pending, waiting no longer than an append may."""
        self._closed = True
        self._some.set()
        await asyncio.wait({self._run}, timeout=self._timeout)
        for task in (self._run, self._sweep):
            task.cancel()
        await asyncio.wait({self._run, self._sweep}, timeout=self._timeout)
        for member in self._unanswered():
            _fail(member, Unavailable("the store was closed before the append was answered"))
        self._drop_connection()

    async def _write(self) -> None:
        before = 0
        while True:
            draft = self._draft
            if draft.members:
                # Half of all that is about goes with a batch: while the database works on it, the callers of the one before are
                # told and draft the next. Less than LEAST is not worth a commit of its own.
                about = before + len(draft) + len(self._behind)
                before = len(draft)
                self._start_draft(min(max(LEAST, -(-about // 2)), self._cap))
                self._flying = draft.members
                await self._send(draft)
                self._flying = ()
            elif self._closed:
                return
            else:
                before = 0
                self._some.clear()
                await self._some.wait()

    def _start_draft(self, cap: int) -> None:
        self._draft = draft = Draft(cap)
        left: list[Member] = []
        while self._behind and not draft.full and len(left) < LOOKED_THROUGH:
            member = self._behind.popleft()
            if not member.answer.done() and not draft.add(member):  # done: cancelled, or out of time
                left.append(member)
        draft.full = draft.full or bool(self._behind)  # nobody overtakes those that were not looked at
        self._behind.extendleft(reversed(left))

    async def _send(self, draft: Draft) -> None:
        """Sends a batch and has its members told; they are drafted again if it is sure that it did not land."""
        if any(member.answer.done() for member in draft.members):
            draft = draft_of([member for member in draft.members if not member.answer.done()])
        if not draft.members:
            return
        batch = draft.members
        self._number += 1
        outcome: Outcome | None
        try:
            outcome = await self._call(draft)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if is_away(error):
                log.warning("the database is away (%r): settling batch %d", error, self._number, extra={"action": "settle-batch"})
                self._drop_connection()
                self._away_since = self._loop.time()
                outcome = await self._settle(self._number)
            elif len(batch) > 1:
                for member in batch:  # one of them is at fault: each alone, so that the others go through
                    await self._send(draft_of([member]))
                return
            else:
                _fail(batch[0], _own_fault(error))
                return
        if outcome is None:
            self._behind.extendleft(reversed([*batch, *self._draft.members]))
            self._start_draft(self._cap)
            return
        # Later, so that the next batch is on its way before these callers run.
        self._loop.call_soon(self._tell, batch, outcome)

    async def _call(self, draft: Draft) -> Outcome:
        if self._append is None:
            await self._reach()
            assert self._append is not None
        asked = self._clock.ticks()
        row = await self._append.fetchrow(
            self._id, self._number, self._known, self._partition_size, *draft.arguments(), timeout=self._timeout
        )
        outcome = _outcome(row)
        self._clock.learn(outcome.at, asked)
        return outcome

    async def _settle(self, number: int) -> Outcome | None:
        """What came of a batch whose answer was lost: its outcome, or None when it has not landed and never will."""
        pause = 0.02
        while True:
            try:
                if self._connection is None:
                    await self._reach()
                    assert self._connection is not None
                row = await self._connection.fetchrow(sql("settle"), self._id, number, timeout=self._timeout)
                self._away_since = None
                return _outcome(row) if row is not None and row["landed"] else None
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self._drop_connection()
                if not is_away(error):
                    log.exception("settling batch %d failed: trying again", number, extra={"action": "settle-batch"})
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    def _tell(self, batch: Sequence[Member], outcome: Outcome) -> None:
        last, now, counts, before = outcome.first - 1, self._loop.time(), self.counts, self.counts.events
        for member, told in zip(batch, answers(batch, outcome), strict=True):
            if isinstance(told, StoreError):
                counts.refused[type(told).__name__] += 1
                _fail(member, told)
            else:
                last = told.last
                counts.appends += 1
                counts.events += len(member.encoded.events)
                counts.seconds.add(now - member.since)
                if not member.answer.done():
                    member.answer.set_result(told)
        counts.batches.add(counts.events - before)
        self._known = max(self._known, last)
        self._bell.ring(last)

    async def _fail_late(self) -> None:
        """Every append is answered within its time, whatever the database does."""
        while True:
            await asyncio.sleep(SWEEP)
            now = self._loop.time()
            away = self._away_since
            for member in self._unanswered():
                if member.answer.done():
                    continue
                if member.deadline <= now:
                    _fail(member, Unavailable(f"the database did not answer an append within {self._timeout:g} s: reload, and try later"))
                elif self._pulse.silent:
                    _fail(member, Unavailable(f"{self._pulse.told}, so that an append could not be answered: reload, and try later"))
                elif away is not None and max(member.since, away) + self._patience <= now:
                    _fail(member, Unavailable("the database is away, so that an append could not be answered: reload, and try later"))

    def _unanswered(self) -> list[Member]:
        return [*self._flying, *self._draft.members, *self._behind]

    async def _reach(self) -> None:
        self._connection = await self._connect()
        self._pulse.ends(self._connection)
        self._append = await self._connection.prepare(sql("append"))

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._pulse.spares(self._connection)
            self._connection.terminate()
        self._connection = self._append = None
        self._known = 0  # whoever answers next may be a restored or promoted server with a shorter log


def _outcome(row: Any) -> Outcome:
    return Outcome(row["first"], row["at"], row["refused"] or ())


def _fail(member: Member, error: StoreError) -> None:
    if not member.answer.done():
        member.answer.set_exception(error)


def _own_fault(error: Exception) -> StoreError:
    if isinstance(error, asyncpg.DataError) or (isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "")[:2] in BAD_DATA):
        return BadData(f"the log can't hold this append: {error}")
    log.error("an append failed: %s", error, extra={"action": "append"}, exc_info=error)
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
        return Unavailable(f"the database refused an append: {error}")
    return StoreError(f"an append could not be sent: {type(error).__name__}: {error}")

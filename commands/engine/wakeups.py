"""What makes turns necessary: the log as it grows, work that is due, and what is no more.

    an event that wakes its root, or ends what others wait for --> schedule(root)
    at the start, and for partitions gained: all open work -------> schedule(root), some at a time
    now and then: what is due (purges), and everything, for whatever wake-up was lost
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

import structlog

from commands import events
from commands.catalogue.tasks import TASK_INSTANCE
from commands.counts import Counts
from commands.engine.agenda import Agenda
from commands.engine.partitions import Partitions
from commands.engine.roots import Roots
from commands.sending.dispatch import Dispatch
from commands.turns import handlers
from commands.turns.fleet import Fleet, is_dead
from commands.watching.endings import Endings
from commands.watching.networks import NetworkWatch
from eventstore import Recorded, Store, Unavailable, Work

log = structlog.get_logger("corral.engine")

WORK_SECONDS = 1.0
"""How often due work (purges) is looked for."""

TAKEN_UP = 256
TAKEN_UP_SECONDS = 2.0
"""How many roots of much open work are taken up at a time, and for how long at most those after them wait."""

EXECUTION = f"{TASK_INSTANCE}-"

EVERYTHING = 30
"""Every so many looks, all that is open takes a turn."""


class Schedule(Protocol):
    """Has a root take a turn soon."""

    def __call__(self, root: str, *, cause: str = "", failed: tuple[str, str] | None = None) -> None: ...


class Wakeups:
    """Of one engine. `rests(root)`: its turns break, and it is left alone for a while."""

    def __init__(
        self, store: Store, partitions: Partitions, roots: Roots, dispatch: Dispatch, agenda: Agenda, *, fleet: Callable[[], Fleet],
        schedule: Schedule, is_ours: Callable[[str], bool], rests: Callable[[str], bool], counts: Counts,
    ) -> None:  # fmt: skip
        self._store, self._partitions, self._roots, self._dispatch, self._agenda = store, partitions, roots, dispatch, agenda
        self._fleet, self._schedule, self._is_ours, self._rests, self._counts = fleet, schedule, is_ours, rests, counts
        self.endings: Endings | None = None
        self.networks: NetworkWatch | None = None
        self.on_task: Callable[[str], None] = lambda name: None
        """A task is executed: this engine has its share in it."""
        self.ready = asyncio.Event()
        """Set once the open work was looked for."""
        self.news = asyncio.Event()
        """Set whenever the log was followed further."""
        self._waiters: dict[str, dict[str, None]] = {}
        """Stream of a shared resource -> the roots that wait for it, first come first."""
        self._looked_through: set[int] = set()
        """Partitions whose open work was all scheduled since they were gained."""
        self._unknown: set[str] | None = None
        """Roots found open at the start that have not had a turn yet; None: before the first look."""

    def wait_for(self, root: str, streams: set[str]) -> None:
        """The root takes a turn when the processes of these end, or tell news."""
        for stream in streams:
            self._waiters.setdefault(stream, {})[root] = None

    def look(self, *, everything: bool = False) -> None:
        """For due work, or for all that is open: now, and not only when its time comes."""
        if everything:
            self._looked_through.clear()
        self._partitions.changed.set()

    def lose(self, partition: int) -> None:
        self._looked_through.discard(partition)

    async def follow(self) -> None:
        async for batch in self._store.follow(self._fleet().followed):
            self._fleet().follow(batch)
            self.news.set()
            for event in batch:
                self._on_event(event)

    def _on_event(self, event: Recorded) -> None:
        root = event.root
        if self._is_ours(root):
            self._counts.saw(event)
        if event.version == 1 and event.stream == root and self._is_ours(root):
            self._roots.begin(root)
        if self.endings is not None:
            self.endings.follow(event)
        if self.networks is not None:
            self.networks.follow(event)
        news = self._roots.follow(event)
        if news and events.wakes(event.type, event.data):
            self._schedule(root, cause=event.id)
        if event.type == events.PROCESS_RETRIED:
            self._dispatch.hurry(root)
        if event.type in events.NEWS:
            for waiter in self._waiters.get(event.stream, ()):
                self._schedule(waiter, cause=event.id)
        if event.type in events.ENDS or event.stream.startswith("host-"):
            self._gone(event)
        if event.version == 1 and event.stream.startswith(EXECUTION):
            self.on_task(str((event.data.get("changes") or {}).get("name")))
        if event.stream.startswith(handlers.HANDLER):  # and its processes and maps
            self._pass_over_handlers()
        if event.type in events.ENDS and event.stream in self._waiters:
            failed = (event.stream, event.data["error"]) if event.type == events.PROCESS_FAILED else None
            for waiter in self._waiters.pop(event.stream):
                self._schedule(waiter, cause=event.id, failed=failed)

    def _pass_over_handlers(self) -> None:
        """Who waits for a handler that is deactivated goes on without it."""
        in_force = {(each.event(process), each.id) for process, found in self._fleet().handlers.items() for each in found}
        for root in self._dispatch.waiting_in_vain(in_force):
            self._schedule(root)

    async def poll(self) -> None:
        """Due work: at the start everything left open, later purges; now and then all of it, for whatever wake-up was lost."""
        rounds = 0
        await self._partitions.settled.wait()
        while True:
            self._partitions.changed.clear()
            held = set(self._partitions.held)
            fresh = held if rounds % EVERYTHING == 0 else held - self._looked_through
            try:
                found = await self._store.due_work(sorted(fresh), 1_000_000) if fresh else []
                due = await self._store.due_work(sorted(held - fresh), 1_000, waiting=False) if held - fresh else []
            except Unavailable:
                self._looked_through = set()
            else:
                due = [work for work in due if not self._roots.at_work(work.root)]
                if self._unknown is None:
                    self._unknown = {work.root for work in found}
                self.ready.set()
                rounds += 1
                # The longest due first: they are taken on in this order.
                both = [work.root for work in (*found, *due) if not self._rests_already(work)]
                for first in range(0, len(both), TAKEN_UP):
                    await self._take_up(both[first : first + TAKEN_UP])
                self._looked_through = (self._looked_through | fresh) & set(self._partitions.held)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WORK_SECONDS):  # wait_for forgets a cancel that meets the event (Python 3.11)
                    await self._partitions.changed.wait()

    def _rests_already(self, work: Work) -> bool:
        """It waits for an agent's answer alone: it is left in peace until there is room to ask again, or the answer comes by itself."""
        if work.waits_for is None or not self._is_ours(work.root):  # or not any more, since the rows were read
            return False
        if not self._dispatch.is_asking(work.root):
            self._dispatch.rest(work.waits_for, work.since, work.root)
        self.know(work.root)
        return True

    async def _take_up(self, roots: list[str]) -> None:
        """Some of many: the next wait until half of these had their turn (or take too long), so that what is new never waits for all."""
        for root in roots:
            if not self._rests(root):
                self._schedule(root)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TAKEN_UP_SECONDS):
                while sum(map(self._agenda.is_next, roots)) > len(roots) // 2:
                    self._agenda.moved.clear()
                    await self._agenda.moved.wait()
        for root in roots:
            if not self._agenda.is_next(root):
                self.know(root)

    def know(self, root: str) -> None:
        """A root that was open at the start has had its turn, or waits for its place among those at work."""
        if self._unknown and root in self._unknown:
            self._unknown.discard(root)
            if not self._unknown:
                log.info("All that was open at the start is taken up again", action="everything-known")

    def _gone(self, event: Recorded) -> None:
        """Who is asked may be no more: what waits for its answer need not wait (a removal says that nothing is left there)."""
        gone = self._fleet().resources.get(event.stream)
        if gone is None or gone.type not in ("agent", "host", "storagePool") or not (gone.removed or is_dead(gone)):
            return
        agent = gone.id if gone.type == "agent" else gone.row.get("agentId")
        for root in self._dispatch.roots_asking(agent) if agent else ():
            self._schedule(root, cause=event.id)

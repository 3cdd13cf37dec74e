"""The engine: follows the log, takes turns over the roots that have something to do, and sends what the turns ask for.

    log ---follow---> schedule(root) ---> worker: Turn -> append -> fold -> dispatch over NATS
    reply ----------> schedule(root, answer)          (a conflict reloads the root and takes the turn again)
    timers, silence, a joined process that ended -> schedule(root, ...)

All that it remembers is a cache: after a crash the next engine starts from the open work and sends again what is unanswered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any

import structlog

from agents.wire import partition_of
from commands import events
from commands.accepting.service import Commands
from commands.catalogue.catalogue import Catalogue
from commands.counts import Counts
from commands.engine import conflicts
from commands.engine.agenda import Agenda
from commands.engine.alarms import BROKEN_SECONDS, Alarms
from commands.engine.correspondence import Correspondence
from commands.engine.load import Load, load_of
from commands.engine.loading import Loading
from commands.engine.partitions import Partitions
from commands.engine.roots import Roots, as_asked, tell_of
from commands.engine.task_shares import do_share
from commands.engine.vitals import Vitals
from commands.engine.wakeups import Wakeups
from commands.failpoints import of_writes, reach_all
from commands.patience import patiently
from commands.resource import Resource
from commands.secrets.vault import Vault
from commands.sending.bus import Bus
from commands.sending.dispatch import Dispatch
from commands.settings.settings import THROTTLES
from commands.snapshots import form, latest
from commands.turns import remaining
from commands.turns.claimed import PREFIXES
from commands.turns.fleet import CATEGORIES, Fleet
from commands.turns.ids import Ids
from commands.turns.surroundings import REAL, Surroundings
from commands.turns.turn import Answer, NeedIds, NeedRoot, Others, Triggers, Turn
from commands.watching.announce import Announcer
from commands.watching.endings import Endings
from commands.watching.presence import PresenceWatch
from commands.watching.strays import Strays
from eventstore import ArchiveAway, Full, Lease, LostLease, Recorded, Store, Taken, Unavailable, Write, WrongVersion

log = structlog.get_logger("corral.engine")

MAX_CONFLICTS = 50
"""Turns taken again for conflicts until the engine says that something is wrong with the root."""


class Engine:
    """Takes turns for the partitions that it leases. `run` ends when it is cancelled. `url`: of this server's API, where it is known."""

    def __init__(
        self, store: Store, bus: Bus, catalogue: Catalogue, settings: Mapping[str, Any], *, holder: str, vault: Vault | None = None,
        surroundings: Surroundings = REAL, url: str = "",
    ) -> None:
        self.store = store
        self.surroundings = surroundings
        self.catalogue = catalogue
        self.settings = settings
        self.holder = holder
        self.vault = vault or Vault(store, catalogue, chance=surroundings.secret)
        self.fleet = Fleet()
        self.counts = Counts()
        self._ids = Ids(store)
        self._bus = bus
        self._partitions = Partitions(store, holder, gained=self._gained, drained=self._drained, lost=self._lost)
        self._dispatch = Dispatch(
            bus, self._on_silence, self._on_room, sure=lambda: self._partitions.sure, most=lambda: settings["agent.commands.in.flight"],
            patience=lambda: settings["agent.silence.seconds"], counts=self.counts)  # fmt: skip
        self._roots = Roots()
        self._loading = Loading(store)
        self._agenda = Agenda(lambda: settings["engine.processes"], self._is_shared)
        self._strays: Strays | None = None
        self._joining: set[str] = set()
        """The roots that waited for others after their last turn."""
        self._group: asyncio.TaskGroup | None = None
        self._vitals = Vitals(bus, holder, self.vitals)
        self._alarms = Alarms(store.now, self.schedule)
        self._wakeups = Wakeups(
            store, self._partitions, self._roots, self._dispatch, self._agenda, fleet=lambda: self.fleet, schedule=self.schedule,
            is_ours=self._is_ours, rests=self._alarms.pauses, counts=self.counts,
        )
        self._correspondence = Correspondence(
            store, catalogue, self.vault, self._roots, self._dispatch, fleet=lambda: self.fleet, schedule=self.schedule,
            is_ours=self._is_ours, spawn=self._spawn, url=url,
        )

    @property
    def ready(self) -> asyncio.Event:
        """Set once it has its partitions and knows what is open in them."""
        return self._wakeups.ready

    async def run(self) -> None:
        """Loads the fleet, takes the leases, and goes on until it is cancelled."""
        self.fleet = Fleet.load(await patiently(lambda: self.store.load(CATEGORIES, PREFIXES, form())))
        self._bus.on_reply = self._correspondence.on_reply
        self._bus.on_unheard = self._dispatch.unheard
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._partitions.run())
                group.create_task(self._wakeups.follow())
                group.create_task(self._wakeups.poll())
                group.create_task(self._dispatch.run())
                group.create_task(self._presence().run())
                group.create_task(self._vitals.run())
                group.create_task(Announcer(self.store, self._bus, self.catalogue, self.holder).run())
                try:
                    await asyncio.Event().wait()  # until this is cancelled, or one of them fails
                finally:
                    self._group = None  # a group that ends takes no more tasks: answers that still come in begin nothing
        finally:
            self._alarms.close()
            await self._loading.close()
            await self._partitions.give_up()

    def _presence(self) -> PresenceWatch:
        commands = Commands(self.store, self.catalogue, self.settings, self.vault, surroundings=self.surroundings)
        self._wakeups.endings = endings = Endings(commands, self.fleet)
        watch = PresenceWatch(self._bus, commands, self.fleet, endings, mine=self.is_surely_ours, returned=self._dispatch.nudge)
        self._strays = watch.strays
        self._wakeups.networks = watch.networks
        self._wakeups.on_task = partial(do_share, self._wakeups, self._dispatch, watch)
        return watch

    def settings_changed(self) -> None:
        """There may be more room for what waits than before."""
        self._agenda.admit()
        self._dispatch.fill()
        self._begin_turns()
        self._vitals.tell()

    def vitals(self) -> dict[str, Any]:
        """What is at work here, and what waits for its turn or for an agent."""
        return {
            "holder": self.holder,
            "partitions": sorted(self._partitions.held),
            "processes": {"atWork": self._agenda.at_work, "waiting": self._agenda.queued, "turns": len(self._agenda.running)},
            "throttles": {name: self.settings[name] for name in THROTTLES},
            "agents": {f"a{agent}": {"inFlight": sent, "waiting": waits} for agent, sent, waits in self._dispatch.loads()},
            "strays": self._strays.told() if self._strays is not None else [],
        }

    def load(self) -> Load:
        """The same for whoever counts."""
        return load_of(self.ready.is_set(), self._partitions, self._agenda, self._roots, self._dispatch, self.fleet, self._strays)

    def _is_ours(self, root: str) -> bool:
        return self._partitions.serves(partition_of(root))

    def is_surely_ours(self, root: str) -> bool:
        """For what is not appended under the lease: after a pause it may be another's by now, and what was heard is old."""
        return self._is_ours(root) and self._partitions.sure

    def _spawn(self, work: Coroutine[Any, Any, None]) -> bool:
        """Runs it beside, unless the engine ends."""
        if self._group is None:
            work.close()
            return False
        self._group.create_task(work)
        return True

    def _is_shared(self, root: str) -> bool:
        return self.fleet.knows(root)

    # --- what makes a turn necessary ---

    def schedule(
        self, root: str, *, cause: str = "", answer: Answer | None = None, failed: tuple[str, str] | None = None, silent: str | None = None,
        unsendable: tuple[str, str] | None = None, progress: tuple[str, int | None, str | None] | None = None,
    ) -> None:
        """Has the root take a turn soon, once, however often this is called before it does."""
        if not self._is_ours(root):
            return
        self._agenda.add(root, cause=cause, answer=answer, failed=failed, silent=silent, unsendable=unsendable, progress=progress)
        self._begin_turns()

    def _begin_turns(self) -> None:
        while self._group is not None and len(self._agenda.running) < self.settings["engine.turns"] and (following := self._agenda.take()):
            self._group.create_task(self._work_off(*following))

    async def _work_off(self, root: str, triggers: Triggers) -> None:
        began = asyncio.get_running_loop().time()
        try:
            await self._take_turn(root, triggers)
            self.counts.turns.add(asyncio.get_running_loop().time() - began)
        except Exception as error:
            self.counts.turns_failed += 1
            # One root's trouble must not end the engine for all others; the work row keeps it from being forgotten.
            log.exception("A turn failed; what is under way in its root is parked", action="turn-failed", root=root)
            self._roots.forget(root)
            self._dispatch.revive(root)
            await self._park_broken(root, error)
        self._agenda.done(root, under_way=self._roots.at_work(root), waits=self._waits(root))
        self._wakeups.know(root)
        self._begin_turns()

    def _waits(self, root: str) -> bool:
        """Whether it waits for others' turns, for people, or for its place at an agent."""
        return root in self._joining or self._roots.parked(root) or self._dispatch.rests(root)

    async def _take_turn(self, root: str, triggers: Triggers) -> None:
        """Decides and appends until it is in the log, then sends. Conflicts reload; an absent database is waited for."""
        times = 0
        while times < MAX_CONFLICTS:
            lease = self._partitions.held.get(partition_of(root))
            if lease is None or not self._is_ours(root):
                return
            tell_of(root, resources := await self._load(root))
            turn = await self._decide(root, resources, triggers)
            (self._joining.add if turn.waits_for else self._joining.discard)(root)
            self._wakeups.wait_for(root, turn.waits_for)
            self._alarms.set(root, min((each for each in (turn.wake_at, turn.tell_at) if each is not None), default=None))
            writes = turn.writes()
            if not writes:
                await self._correspondence.send(root, resources, [])
                self._alarms.works(root)
                return
            try:
                recorded = await self._append(turn, writes, lease, triggers)
            except WrongVersion as conflict:
                times += 1
                self._roots.forget(root)
                self._roots.forget(conflict.stream)  # where it is another root, which was looked at
                await conflicts.catch_up(self.fleet, self.store, conflict.stream)
            except (Taken, Full) as conflict:
                times += 1
                await conflicts.believe(self.fleet, conflict, times)
            except LostLease:
                if self._partitions.held.get(partition_of(root)) is lease:  # not one that was taken anew meanwhile
                    self._partitions.drop(partition_of(root))
                self.schedule(root)
                return
            except Unavailable:
                self._roots.forget(root)
                await asyncio.sleep(0.2)
            else:
                self._take_in(root, recorded)
                reach_all("after", "reply", (answer.command for answer in triggers.answers))
                await self._correspondence.send(root, self._roots.get(root) or await self._load(root), recorded)
                self._alarms.works(root)
                return
        self._roots.forget(root)
        self._dispatch.revive(root)
        log.error("A root conflicts again and again; it is tried again with the next work poll", action="conflicts", root=root)

    def _take_in(self, root: str, recorded: list[Recorded]) -> None:
        """What the root's turn appended, before the follower comes to it: to that it is no news any more."""
        for event in recorded:
            self._roots.follow(event)
        self.fleet.apply(recorded, ahead=True)
        for event in recorded:
            if event.root != root and event.type == events.PROCESS_STARTED:
                self.schedule(event.root, cause=event.id)  # what it joins

    async def _park_broken(self, root: str, error: Exception) -> None:
        """A turn that can't be taken is Corral's own fault: people are told on the resource, and it is tried again by and by."""
        self._alarms.pause(root)
        why = f"Corral itself failed ({type(error).__name__}: {error}); the engine's log tells more"
        reason = f"{error if isinstance(error, ArchiveAway) else why}. It is tried again at least every {BROKEN_SECONDS:.0f} s"
        lease = self._partitions.held.get(partition_of(root))
        try:
            turn = self._turn(root, await self._load_to_park(root), Triggers())
            turn.park(reason)
            if (writes := turn.writes()) and lease is not None:
                await self._append(turn, writes, lease, Triggers())
        except Exception:  # then the log alone tells
            log.exception("What failed can't be parked", action="park-failed", root=root)
        self._roots.forget(root)

    async def _load_to_park(self, root: str) -> dict[str, Resource]:
        """All of it; or the resource that the root is named after, where others of it are in an archive that is away."""
        try:
            return await self._load(root)
        except ArchiveAway:
            return {root: await patiently(lambda: latest(self.store, root))}

    def _turn(
        self, root: str, resources: dict[str, Resource], triggers: Triggers, others: Others = lambda root: None
    ) -> Turn:
        return Turn(
            self.catalogue, resources, self.fleet, root=root, now=self.store.now(), new_id=self.surroundings.new_id,
            ids=self._ids.take, secret=self.surroundings.secret, settings=self.settings, triggers=triggers, others=others,
            last_resort=self._alarms.is_hopeless(root),
        )  # fmt: skip

    async def _decide(self, root: str, resources: dict[str, Resource], triggers: Triggers) -> Turn:
        others: dict[str, dict[str, Resource]] = {}

        def other(root: str) -> dict[str, Resource] | None:
            live = self._roots.get(root)
            return others.get(root) if live is None else live

        while True:
            turn = self._turn(root, resources, triggers, other)
            try:
                turn.run()
                return turn
            except NeedRoot as need:
                self._ids.give_back()
                others[need.root] = await self._load(need.root)
            except NeedIds as need:
                self._ids.give_back()
                await patiently(partial(self._ids.refill, need.category))

    async def _append(self, turn: Turn, writes: list[Write], lease: Lease, triggers: Triggers) -> list[Recorded]:
        self._ids.keep()
        moments = list(of_writes(writes))
        claims = turn.claims()
        for claim in claims:  # before anything is waited for: the next decision must see them
            self.fleet.note(claim)
        try:
            writes = await self.vault.sealed(writes)
            reach_all("before", "append", moments)
            work, done = remaining.work(turn)
            ends = bool(done) or any(each.root == turn.root for each in work)  # or rests
            unchanged, whole = (remaining.untouched(turn), [turn.root]) if ends else (None, [])
            appended = await self.store.append(writes, unchanged=unchanged, whole=whole, lease=lease, work=work, done=done)
        finally:
            for claim in claims:  # whether it landed or not is for the log to say
                self.fleet.unclaim(claim)
        reach_all("after", "append", moments)
        return appended.recorded(writes)

    async def _load(self, root: str) -> dict[str, Resource]:
        found = self._roots.get(root)
        if found is not None:
            return found
        self._roots.expect(root)
        try:
            read = await patiently(lambda: self._loading.read(root))
            found = self._roots.put(root, *as_asked(read))
        finally:
            self._roots.expected(root)
        await self.see(max((each.position for each in found.values()), default=0))
        return self._roots.get(root) or found

    async def see(self, position: int) -> None:
        """Waits until the fleet is as far as a root that was read: what its processes began with is told by the log before them. (Or as
        far as whoever else looks at it must know it to be.)"""
        while self.fleet.followed < position and self._group is not None:
            self._wakeups.news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):  # wait_for forgets a cancel that meets the event (Python 3.11)
                    await self._wakeups.news.wait()

    # --- partitions ---

    async def _gained(self, partition: int) -> None:
        await self._bus.listen(partition)

    async def _drained(self, partition: int) -> None:
        """Its turns are over. (How long that may take is for the partitions to say.)"""
        while any(partition_of(root) == partition for root in self._agenda.running):
            self._agenda.moved.clear()
            await self._agenda.moved.wait()

    def _lost(self, partition: int) -> None:
        self._agenda.forget(lambda root: partition_of(root) == partition)
        self._joining = {root for root in self._joining if partition_of(root) != partition}
        self._bus.ignore(partition)
        self._wakeups.lose(partition)
        self._roots.forget_all(lambda root: partition_of(root) == partition)
        self._dispatch.forget_partition(partition)

    # --- wake-ups ---

    def _on_silence(self, root: str, ask: str) -> None:
        self.schedule(root, silent=ask)

    def _on_room(self, root: str) -> None:
        if root in self._roots:
            self._spawn(self._send_waiting(root))
        else:
            self.schedule(root)  # it rests since before this engine began, or long enough to be forgotten

    async def _send_waiting(self, root: str) -> None:
        await self._correspondence.send(root, self._roots.get(root) or {}, [])

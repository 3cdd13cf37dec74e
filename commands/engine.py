"""The engine: follows the log, takes turns over the roots that have something to do, and sends what the turns ask for.

    log ---follow---> schedule(root) ---> worker: Turn -> append -> fold -> dispatch over NATS
    reply ----------> schedule(root, answer)          (a conflict reloads the root and takes the turn again)
    timers, silence, a joined process that ended -> schedule(root, ...)

All that it remembers is a cache: after a crash the next engine starts from the open work and sends again what is unanswered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import structlog

from agents.wire import HandlerAnswer, Message, partition_of
from commands import events, handlers
from commands.agenda import Agenda
from commands.announce import Announcer
from commands.bus import Bus
from commands.catalogue.model import Catalogue
from commands.claimed import PREFIXES, leased
from commands.delegation import unwrapped
from commands.dispatch import Dispatch, Waiting, asked_of
from commands.endings import Endings
from commands.failpoints import reach_all
from commands.fleet import CATEGORIES, Fleet
from commands.ids import Ids
from commands.loading import Loading
from commands.partitions import Partitions
from commands.presence import PresenceWatch
from commands.resource import Resource, fold_all
from commands.roots import Roots, as_asked
from commands.service import Commands
from commands.snapshots import form, latest, resumed
from commands.surroundings import REAL, Surroundings
from commands.turn import Answer, NeedIds, NeedRoot, Others, Triggers, Turn
from commands.vault import Vault
from commands.vitals import Vitals
from commands.world import World
from eventstore import BadData, Claim, Full, Lease, LostLease, Recorded, Store, Taken, Unavailable, Write, WrongVersion

log = structlog.get_logger("corral.engine")

T = TypeVar("T")

WORK_SECONDS = 1.0
"""How often due work (purges) is looked for."""

TAKEN_UP = 256
TAKEN_UP_SECONDS = 2.0
"""How many roots of much open work are taken up at a time, and for how long at most those after them wait."""

EVERYTHING = 30
"""Every so many looks, all that is open takes a turn."""

MALFORMED = (BadData, TypeError, ValueError, KeyError, AttributeError)
"""What a turn raises over an answer that is not what it should be, or that the log can't hold."""

BELIEVED_SECONDS = 1.0
"""How long a refusal (no capacity, taken) is believed more than the fleet, which sees by then what it lagged behind."""

ANSWERED_KEPT = 4096
"""Answered commands remembered, to know duplicates."""

BROKEN_SECONDS = 60.0
"""At most between two tries of a turn that fails by itself."""

MAX_CONFLICTS = 50
"""Turns taken again for conflicts until the engine says that something is wrong with the root."""


class Engine:
    """Takes turns for the partitions that it leases. `run` ends when it is cancelled."""

    def __init__(
        self, store: Store, bus: Bus, catalogue: Catalogue, settings: Mapping[str, Any], *, holder: str, vault: Vault | None = None,
        surroundings: Surroundings = REAL,
    ) -> None:
        self.store = store
        self.surroundings = surroundings
        self.catalogue = catalogue
        self.settings = settings
        self.holder = holder
        self.vault = vault or Vault(store, catalogue, chance=surroundings.secret)
        self.fleet = Fleet()
        self.ready = asyncio.Event()
        self._ids = Ids(store)
        self._endings: Endings | None = None
        self._bus = bus
        self._partitions = Partitions(store, holder, gained=self._gained, drained=self._drained, lost=self._lost)
        self._dispatch = Dispatch(
            bus, self._on_silence, sure=lambda: self._partitions.sure, most=settings["agent.commands.in.flight"],
            patience=settings["agent.silence.seconds"],
        )
        self._roots = Roots()
        self._loading = Loading(store)
        self._agenda = Agenda(settings["engine.processes"], self._is_shared)
        self._most_turns: int = settings["engine.turns"]
        self._waiters: dict[str, dict[str, None]] = {}
        """Stream of a shared resource -> the roots that wait for it, first come first."""
        self._joining: set[str] = set()
        """The roots that waited for others after their last turn."""
        self._group: asyncio.TaskGroup | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._answered: OrderedDict[str, None] = OrderedDict()
        """The commands answered last, so that a repeated answer costs nothing."""
        self._broken: dict[str, tuple[int, float]] = {}
        """Root whose turn can't be taken -> how often so far, and until when (the loop's time) it is left alone."""
        self._news = asyncio.Event()
        """Set whenever the log was followed further."""
        self._looked_through: set[int] = set()
        """Partitions whose open work was all scheduled since they were gained."""
        self._unknown: set[str] | None = None
        """Roots found open at the start that have not had a turn yet; None: before the first look."""

    async def run(self) -> None:
        """Loads the fleet, takes the leases, and goes on until it is cancelled."""
        self.fleet = Fleet.load(await self._patiently(lambda: self.store.load(CATEGORIES, PREFIXES, form())))
        self._bus.on_reply = self._on_reply
        self._bus.on_unheard = self._dispatch.unheard
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._partitions.run())
                group.create_task(self._follow())
                group.create_task(self._poll_work())
                group.create_task(self._dispatch.run())
                group.create_task(self._presence().run())
                group.create_task(Vitals(self._bus, self.holder, self.vitals).run())
                group.create_task(Announcer(self.store, self._bus, self.catalogue, self.holder).run())
                try:
                    await asyncio.Event().wait()  # until this is cancelled, or one of them fails
                finally:
                    self._group = None  # a group that ends takes no more tasks: answers that still come in begin nothing
        finally:
            for timer in self._timers.values():
                timer.cancel()
            await self._loading.close()
            await self._partitions.give_up()

    def _presence(self) -> PresenceWatch:
        commands = Commands(self.store, self.catalogue, self.settings, self.vault, surroundings=self.surroundings)
        self._endings = Endings(commands, self.fleet)
        return PresenceWatch(self._bus, commands, self.fleet, self._endings, mine=self._is_surely_ours, returned=self._dispatch.nudge)

    def vitals(self) -> dict[str, Any]:
        """What is at work here, and what waits for its turn or for an agent."""
        return {
            "holder": self.holder,
            "partitions": sorted(self._partitions.held),
            "processes": {"atWork": self._agenda.at_work, "waiting": self._agenda.queued, "turns": len(self._agenda.running)},
            "agents": {f"a{agent}": {"inFlight": sent, "waiting": waits} for agent, sent, waits in self._dispatch.loads()},
        }

    def _is_ours(self, root: str) -> bool:
        return self._partitions.serves(partition_of(root))

    def _is_surely_ours(self, root: str) -> bool:
        """For what is not appended under the lease: after a pause it may be another's by now, and what was heard is old."""
        return self._is_ours(root) and self._partitions.sure

    def _is_shared(self, root: str) -> bool:
        return self.fleet.knows(root)

    # --- what makes a turn necessary ---

    def schedule(
        self, root: str, *, cause: str = "", answer: Answer | None = None, failed: tuple[str, str] | None = None, silent: str | None = None,
        progress: tuple[str, int | None, str | None] | None = None,
    ) -> None:
        """Has the root take a turn soon, once, however often this is called before it does."""
        if not self._is_ours(root):
            return
        self._agenda.add(root, cause=cause, answer=answer, failed=failed, silent=silent, progress=progress)
        self._begin_turns()

    def _begin_turns(self) -> None:
        while self._group is not None and len(self._agenda.running) < self._most_turns and (following := self._agenda.take()):
            self._group.create_task(self._work_off(*following))

    async def _work_off(self, root: str, triggers: Triggers) -> None:
        try:
            try:
                await self._take_turn(root, triggers)
            except MALFORMED as error:
                if not triggers.answers:
                    raise
                log.exception("An answer can't be taken in; it counts as an error", action="answer-malformed", root=root)
                self._roots.forget(root)
                await self._take_turn(root, replace(triggers, answers=tuple(_refused(each, error) for each in triggers.answers)))
        except Exception as error:
            # One root's trouble must not end the engine for all others; the work row keeps it from being forgotten.
            log.exception("A turn failed; what is under way in its root is parked", action="turn-failed", root=root)
            self._roots.forget(root)
            self._dispatch.revive(root)
            await self._park_broken(root, error)
        self._agenda.done(root, under_way=self._roots.at_work(root), waits=root in self._joining or self._roots.parked(root))
        self._know(root)
        self._begin_turns()

    async def _take_turn(self, root: str, triggers: Triggers) -> None:
        """Decides and appends until it is in the log, then sends. Conflicts reload; an absent database is waited for."""
        conflicts = 0
        while conflicts < MAX_CONFLICTS:
            lease = self._partitions.held.get(partition_of(root))
            if lease is None or not self._is_ours(root):
                return
            resources = await self._load(root)
            turn = await self._decide(root, resources, triggers)
            (self._joining.add if turn.waits_for else self._joining.discard)(root)
            for stream in turn.waits_for:
                self._waiters.setdefault(stream, {})[root] = None
            if turn.wake_at is not None:
                self._wake_later(root, turn.wake_at)
            elif timer := self._timers.pop(root, None):
                timer.cancel()
            writes = turn.writes()
            if not writes:
                await self._send(root, resources, [])
                self._broken.pop(root, None)
                return
            try:
                recorded = await self._append(turn, writes, lease, triggers)
            except WrongVersion as conflict:
                conflicts += 1
                self._roots.forget(root)
                self._roots.forget(conflict.stream)  # where it is another root, which was looked at
                await self._catch_up_with(conflict.stream)
            except (Taken, Full) as conflict:
                conflicts += 1
                self._believe(conflict)
                if isinstance(conflict, Full) or not leased(conflict.scope):  # else another address does as well, at once
                    await asyncio.sleep(min(0.005 * 2**conflicts, 1.0))  # the follower learns of the holder meanwhile
            except LostLease:
                if self._partitions.held.get(partition_of(root)) is lease:  # not one that was taken anew meanwhile
                    self._partitions.drop(partition_of(root))
                self.schedule(root)
                return
            except Unavailable:
                self._roots.forget(root)
                await asyncio.sleep(0.2)
            else:
                for event in recorded:
                    self._roots.follow(event)
                self.fleet.apply(recorded, ahead=True)
                for event in recorded:
                    if event.root != root and event.type == events.PROCESS_STARTED:
                        self.schedule(event.root, cause=event.id)  # what we join; to the follower it is no news any more
                for moment in (answer.command for answer in triggers.answers):
                    reach_all("after", "reply", [moment])
                await self._send(root, self._roots.get(root) or await self._load(root), recorded)
                self._broken.pop(root, None)
                return
        self._roots.forget(root)
        self._dispatch.revive(root)
        log.error("A root conflicts again and again; it is tried again with the next work poll", action="conflicts", root=root)

    async def _park_broken(self, root: str, error: Exception) -> None:
        """A turn that can't be taken is Corral's own fault: people are told on the resource, and it is tried again by and by."""
        failures = self._broken.get(root, (0, 0.0))[0] + 1
        pause = min(BROKEN_SECONDS, 2.0**failures)
        self._broken[root] = (failures, asyncio.get_running_loop().time() + pause)
        self._wake_later(root, self.surroundings.now() + timedelta(seconds=pause))
        why = f"{type(error).__name__}: {error}"
        reason = f"Corral itself failed ({why}); the engine's log tells more. It is tried again at least every {BROKEN_SECONDS:.0f} s"
        lease = self._partitions.held.get(partition_of(root))
        try:
            turn = self._turn(root, await self._load(root), Triggers())
            turn.park(reason)
            if (writes := turn.writes()) and lease is not None:
                await self._append(turn, writes, lease, Triggers())
        except Exception:  # then the log alone tells
            log.exception("What failed can't be parked", action="park-failed", root=root)
        self._roots.forget(root)

    def _turn(
        self, root: str, resources: dict[str, Resource], triggers: Triggers, others: Others = lambda root: None
    ) -> Turn:
        return Turn(
            self.catalogue, resources, self.fleet, root=root, now=self.surroundings.now(), new_id=self.surroundings.new_id,
            ids=self._ids.take, secret=self.surroundings.secret, settings=self.settings, triggers=triggers, others=others,
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
                await self._patiently(partial(self._ids.refill, need.category))

    async def _append(self, turn: Turn, writes: list[Write], lease: Lease, triggers: Triggers) -> list[Recorded]:
        self._ids.keep()
        moments = list(_moments(writes))
        claims = turn.claims()
        for claim in claims:  # before anything is waited for: the next decision must see them
            self.fleet.note(claim)
        try:
            writes = await self.vault.sealed(writes)
            reach_all("before", "append", moments)
            work, done = turn.work()
            ends = bool(done) or any(each.root == turn.root for each in work)
            unchanged, whole = (turn.untouched(), [turn.root]) if ends else (None, [])
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
            read = await self._patiently(lambda: self._loading.read(root))
            found = self._roots.put(root, *as_asked(read))
        finally:
            self._roots.expected(root)
        await self._see(max((each.position for each in found.values()), default=0))
        return self._roots.get(root) or found

    async def _see(self, position: int) -> None:
        """Waits until the fleet is as far as a root that was read: what its processes began with is told by the log before them."""
        while self.fleet.followed < position and self._group is not None:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), 1.0)

    async def _now(self, root: str) -> dict[str, Resource]:
        return resumed(await self._patiently(lambda: self.store.resume_root(root, form())))

    async def _catch_up_with(self, stream: str) -> None:
        """The fleet lags behind the log for this stream: reads what it misses."""
        if not self.fleet.knows(stream):
            return
        present = self.fleet.resources.get(stream)
        self.fleet.apply(await self._patiently(lambda: self.store.read(stream, present.version if present else 0)), ahead=True)

    def _believe(self, conflict: Taken | Full) -> None:
        """What the log refused tells of what the fleet has not seen yet."""
        later = asyncio.get_running_loop().call_later
        if isinstance(conflict, Full):
            self.fleet.full(conflict.scope, conflict.used)
            later(BELIEVED_SECONDS, self.fleet.forget_full, conflict.scope)
        elif leased(conflict.scope):
            taken = Claim(conflict.scope, conflict.item)
            self.fleet.note(taken)
            later(BELIEVED_SECONDS, self.fleet.unclaim, taken)

    # --- following ---

    async def _follow(self) -> None:
        async for batch in self.store.follow(self.fleet.followed):
            self.fleet.follow(batch)
            self._news.set()
            for event in batch:
                self._on_event(event)

    def _on_event(self, event: Recorded) -> None:
        root = event.root
        if event.version == 1 and event.stream == root and self._is_ours(root):
            self._roots.begin(root)
        if self._endings is not None:
            self._endings.follow(event)
        news = self._roots.follow(event)
        if news and events.wakes(event.type, event.data):
            self.schedule(root, cause=event.id)
        if event.type == events.PROCESS_RETRIED:
            self._dispatch.hurry(root)
        if event.type in events.NEWS:
            for waiter in sorted(self._waiters.get(event.stream, ())):
                self.schedule(waiter, cause=event.id)
        if event.type in events.ENDS:
            self._gone(event)
        if event.stream.startswith(handlers.HANDLER):  # and its processes and maps
            self._pass_over_handlers()
        if event.type in events.ENDS and event.stream in self._waiters:
            failed = (event.stream, event.data["error"]) if event.type == events.PROCESS_FAILED else None
            for waiter in sorted(self._waiters.pop(event.stream)):
                self.schedule(waiter, cause=event.id, failed=failed)

    def _pass_over_handlers(self) -> None:
        """Who waits for a handler that is deactivated goes on without it."""
        in_force = {(each.event(process), each.id) for process, found in self.fleet.handlers.items() for each in found}
        for root in self._dispatch.waiting_in_vain(in_force):
            self.schedule(root)

    async def _poll_work(self) -> None:
        """Due work: at the start everything left open, later purges; now and then all of it, for whatever wake-up was lost."""
        rounds = 0
        await self._partitions.settled.wait()
        while True:
            self._partitions.changed.clear()
            held = set(self._partitions.held)
            fresh = held if rounds % EVERYTHING == 0 else held - self._looked_through
            try:
                found = await self.store.due_work(sorted(fresh), 1_000_000) if fresh else []
                due = await self.store.due_work(sorted(held - fresh), 1_000) if held - fresh else []
            except Unavailable:
                self._looked_through = set()
            else:
                due = [work for work in due if not self._roots.at_work(work.root)]
                if self._unknown is None:
                    self._unknown = {work.root for work in found}
                self.ready.set()
                rounds += 1
                both = [work.root for work in (*found, *due)]  # the longest due first: they are taken on in this order
                for first in range(0, len(both), TAKEN_UP):
                    await self._take_up(both[first : first + TAKEN_UP])
                self._looked_through = (self._looked_through | fresh) & set(self._partitions.held)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WORK_SECONDS):  # wait_for forgets a cancel that meets the event (Python 3.11)
                    await self._partitions.changed.wait()

    async def _take_up(self, roots: list[str]) -> None:
        """Some of many: the next wait until half of these had their turn (or take too long), so that what is new never waits for all."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + TAKEN_UP_SECONDS
        for root in roots:
            if self._broken.get(root, (0, 0.0))[1] <= loop.time():
                self.schedule(root)
        while sum(map(self._agenda.is_next, roots)) > len(roots) // 2 and loop.time() < deadline:  # noqa: ASYNC110 - turns end soon
            await asyncio.sleep(0.002)
        for root in roots:
            if not self._agenda.is_next(root):
                self._know(root)

    def _know(self, root: str) -> None:
        """A root that was open at the start has had its turn, or waits for its place among those at work."""
        if self._unknown and root in self._unknown:
            self._unknown.discard(root)
            if not self._unknown:
                log.info("All that was open at the start is taken up again", action="everything-known")

    async def _gained(self, partition: int) -> None:
        await self._bus.listen(partition)

    async def _drained(self, partition: int) -> None:
        while any(partition_of(root) == partition for root in self._agenda.running):  # noqa: ASYNC110 - turns end within milliseconds
            await asyncio.sleep(0.005)

    def _lost(self, partition: int) -> None:
        self._agenda.forget(lambda root: partition_of(root) == partition)
        self._joining = {root for root in self._joining if partition_of(root) != partition}
        self._bus.ignore(partition)
        self._looked_through.discard(partition)
        self._roots.forget_all(lambda root: partition_of(root) == partition)
        self._dispatch.forget_partition(partition)

    # --- agents ---

    async def _send(self, root: str, resources: Mapping[str, Resource], recorded: list[Recorded]) -> None:
        """Sends what the turn asked for, and after a restart what is still unanswered; forgets what is answered."""
        if not self._is_ours(root):
            return  # lost since the append: another engine asks now, and answers come to it
        fresh = {event.data["id"] for event in recorded if event.type == events.STEP_REQUESTED}
        asides = [event for event in recorded if event.type == events.STEP_REQUESTED and "aside" in event.data]
        found = self._dispatch.update(root, World(self.catalogue, resources, self.fleet))
        if not found and not asides:
            return
        if asides:
            world = await self._revealed(resources)
            for event in asides if self._is_ours(root) else ():
                self._dispatch.send_aside(root, world, event)
        for waiting in found:
            ask = waiting[2].id
            as_it_was = resources if ask in fresh or self._group is None else self._roots.when_asked(root, ask)
            if as_it_was is not None:
                world = await self._revealed(as_it_was)
                if self._is_ours(root):
                    self._dispatch.send(root, world, waiting)
            elif self._group is not None:
                self._group.create_task(self._send_again(root, waiting))

    async def _revealed(self, resources: Mapping[str, Resource]) -> World:
        """What commands are built from: secrets in clear, for those that an agent must know."""
        opened = await self._patiently(lambda: self.vault.opened_all(resources.values()))
        return World(self.catalogue, {each.stream: each for each in opened}, self.fleet)

    async def _send_again(self, root: str, waiting: Waiting) -> None:
        """A command of before a restart, with the payload that it had: built from the root as of its request's position."""
        stream, _, asked = waiting
        try:
            then = fold_all(await self._patiently(lambda: self.store.read_root(root, asked.epoch)))
            present = (self._roots.get(root) or await self._now(root)).get(stream)
            waits = present is not None and any(each.id == asked.id for _, _, each in asked_of(present))
            if not waits or not self._is_ours(root):
                return  # superseded meanwhile, or another engine's
            self._dispatch.send(root, await self._revealed(then), waiting)
        except Exception:  # one command that can't be built must not end the engine for all others
            log.exception("A command can't be sent again", action="resend-failed", stream=stream, command=asked.command)

    def _on_reply(self, message: Message, ask: str) -> None:
        """An agent's answer. Duplicates and answers to what nobody waits for any more end here."""
        outstanding = self._dispatch.outstanding(ask)
        if outstanding is None:
            self._on_late_reply(message, ask)
            return
        if outstanding.delegated is not None:
            message = unwrapped(message)
        stale = bool((message.context or {}).get("stale"))
        if stale:
            log.info("The agent knows a newer request", action="reply-stale", ask=ask, stream=outstanding.stream)
        if message.transitioning == "yes":
            if outstanding.progressed(asyncio.get_running_loop().time()):
                said = (ask, message.transitioningProgress, message.transitioningMessage)
                self.schedule(outstanding.root, progress=said)
            return
        reach_all("before", "reply", [outstanding.command])
        if outstanding.aside:
            error = _error_of(message, outstanding.command)
            log.info("Answered; nothing waits for it", action="aside-answered", ask=ask, stream=outstanding.stream, error=error)
            self._dispatch.forget(ask)
            return
        self._dispatch.answered(outstanding)
        self._answered[ask] = None
        while len(self._answered) > ANSWERED_KEPT:
            self._answered.popitem(last=False)
        # What a newer request took over need not be undone any more; but what is waited for is asked for as the newest.
        error = None if stale else _error_of(message, outstanding.command)
        passes = isinstance(message, HandlerAnswer) and message.passes
        self.schedule(outstanding.root, answer=Answer(ask, outstanding.command, message.data, error, stale, passes))

    def _on_late_reply(self, message: Message, ask: str) -> None:
        """An answer to what nobody waits for: a duplicate, or that of a process that was closed meanwhile, whose success is undone."""
        context = message.context or {}
        late = message.transitioning != "yes" and not context.get("stale") and ask not in self._answered
        if late and isinstance(context.get("stream"), str) and self._group is not None:
            self._group.create_task(self._take_late(context["stream"], Answer(ask, "", message.data, _error_of(message, "it"))))
        else:
            log.debug("An answer that nobody waits for", action="reply-late", ask=ask, name=message.name)

    async def _take_late(self, stream: str, answer: Answer) -> None:
        resource = await self._patiently(lambda: latest(self.store, stream))
        if resource.exists and (answer.ask in resource.late or any(each.id == answer.ask for _, _, each in asked_of(resource))):
            self.schedule(resource.root, answer=answer)

    def _gone(self, event: Recorded) -> None:
        """Who is asked may be no more: what waits for its answer need not wait (a removal says that nothing is left there)."""
        removed = self.fleet.resources.get(event.stream)
        if removed is None or not removed.removed or removed.type not in ("agent", "host", "storagePool"):
            return
        agent = removed.id if removed.type == "agent" else removed.row.get("agentId")
        for root in self._dispatch.roots_asking(agent) if agent else ():
            self.schedule(root, cause=event.id)

    def _on_silence(self, root: str, ask: str) -> None:
        self.schedule(root, silent=ask)

    def _wake_later(self, root: str, when: datetime) -> None:
        if timer := self._timers.pop(root, None):
            timer.cancel()
        delay = max(0.0, (when - self.surroundings.now()).total_seconds())
        self._timers[root] = asyncio.get_running_loop().call_later(delay + 0.001, self._wake, root)

    def _wake(self, root: str) -> None:
        self._timers.pop(root, None)
        self.schedule(root)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Waits for a database that is away: an engine without its log has nothing better to do."""
        while True:
            try:
                return await call()
            except Unavailable:
                await asyncio.sleep(0.2)


def _refused(answer: Answer, error: Exception) -> Answer:
    why = f"the answer to {answer.command} can't be taken in ({type(error).__name__}): the engine's log tells more"
    return replace(answer, data={}, error=why)


def _error_of(message: Message, command: str) -> str | None:
    if message.transitioning != "error":
        return None
    return " : ".join(part for part in (message.transitioningMessage or f"{command} failed", message.transitioningInternalMessage) if part)


def _moments(writes: list[Write]) -> Iterator[str]:
    """The failpoints of an append: the commands it asks for, the processes it ends."""
    for write in writes:
        for event in write.events:
            if event.type == events.STEP_REQUESTED:
                yield event.data["command"]
            elif event.type == events.PROCESS_SUCCEEDED:
                yield f"{event.data['process']}-done"

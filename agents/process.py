"""The agent: hears commands over NATS, has its driver carry them out, once each and in order, and answers.

    heard -> judged (ledger: answered before? behind a newer epoch?) -> queued in its lane -> carried out -> recorded -> answered
                `-> answered from the ledger, or `stale`, or what is wrong with it

A lane holds the commands about one instance (with its root volume), volume or image; lanes run side by side. A newer request for what
the last of a lane does already takes that one over: the work is done once, and answered to the newest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from agents.connection import connect, disconnect, reached
from agents.driver import AnswersBadly, Driver, DriverError, Json, RemembersEpochs, Subjects, subjects_of
from agents.heartbeat import Heartbeat
from agents.ledger import Answered, Arrival, Behind, Ledger, Verdict
from agents.outbox import Outbox, Outgoing
from agents.reading import BadCommand, read_command
from agents.wire import PRESENCE_SECONDS, Message, agent_commands

log = structlog.get_logger("corral.agent")

CONCURRENCY = 8
"""Commands carried out at the same time; others wait."""
INBOX = 4096
BATCH = 256
LONGEST = 3600.0
"""Seconds: a net under the drivers, which have shorter limits of their own for each thing they wait for."""
LOOK_SECONDS = 10.0
"""For looking at what runs, for a ping."""
PROGRESS_SECONDS = 1.0
SUBSCRIBE_SECONDS = 0.05
LEARN_SECONDS = 2.0


@dataclass(slots=True)
class Job:
    """One piece of work, and who asked for it."""

    request: Message
    """The newest: what is carried out, if it has not begun."""
    subjects: Subjects
    asked: dict[str, Message]
    """Command id -> request, of all that get its answer."""
    begun: bool = False
    behind: Behind | None = None
    """Set while it waits: a newer request about the same thing came in."""
    outcome: Outcome | None = None
    reported: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went; told to each that asked."""

    data: Json = field(default_factory=dict)
    error: str | None = None
    internal: str | None = None
    stale: bool = False

    def reply_to(self, request: Message) -> Message:
        if self.error is None:
            return request.reply(self.data)
        return request.reply(transitioning="error", message=self.error, internal=self.internal, stale=self.stale)


class Agent:
    """`await start()` ... `await stop()`, or `async with`. Handed a connection, it shares it and leaves it open."""

    def __init__(
        self,
        number: int,
        uuid: str,
        driver: Driver,
        folder: Path,
        nats: Client | str,
        *,
        concurrency: int = CONCURRENCY,
        heartbeat_seconds: float = PRESENCE_SECONDS,
        farewell: bool = False,
        ledger: Ledger | None = None,
    ) -> None:
        """`number`: the agent's plain id. `folder`: of its own, kept over restarts. `nats`: a connection, or an address to connect to.

        `farewell`: whether it says that it goes when it is stopped (not, where the engine stops with it). `ledger`: if it is not
        to lie in the folder.
        """
        self.number, self.uuid, self.driver = number, uuid, driver
        self._given = nats if isinstance(nats, Client) else None
        self._url = nats if isinstance(nats, str) else ""
        self._client: Client | None = self._given
        self._ledger = ledger or Ledger(folder)
        self._outbox = Outbox(self._ledger, lambda: self._client)
        self._heartbeat = Heartbeat(number, uuid, driver, lambda: self._client, heartbeat_seconds)
        self._inbox: asyncio.Queue[Msg] = asyncio.Queue(INBOX)
        self._jobs: dict[str, Job] = {}
        self._lanes: dict[str, deque[Job]] = {}
        self._slots = asyncio.Semaphore(concurrency)
        self._looks = asyncio.Semaphore(4)
        self._workers: set[asyncio.Task[None]] = set()
        self._group = asyncio.TaskGroup()
        self._subscription: Subscription | None = None
        self._main: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._farewell = farewell
        self._grace = 0.0
        self.ready = asyncio.Event()
        """Set when it hears commands."""

    async def start(self) -> None:
        """Returns at once; NATS and the engine may be away. Raises LedgerInUse."""
        await asyncio.to_thread(self._ledger.open)
        try:
            await self.driver.open(self._ledger.folder)
        except BaseException:
            self._ledger.close()
            raise
        self._main = asyncio.create_task(self._run(), name=f"agent a{self.number}")
        self._main.add_done_callback(self._ended)

    async def stop(self, grace: float = 10.0) -> None:
        """Hears no more, gives what is under way `grace` seconds to end and be answered. What does not make it is asked for again."""
        self._grace = grace
        self._stop.set()
        main, self._main = self._main, None
        try:
            if main is not None:
                await main
        finally:
            await self.driver.close()
            await asyncio.to_thread(self._ledger.close)

    async def wait(self) -> None:
        """Until it is stopped; raises what ended it otherwise."""
        if self._main is not None:
            await asyncio.shield(self._main)

    def announce(self) -> None:
        """A heartbeat now, not at the next turn."""
        self._heartbeat.announce()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _ended(self, main: asyncio.Task[None]) -> None:
        if not main.cancelled() and (error := main.exception()) is not None:
            log.critical("An agent ended by itself", action="agent-ended", agent=self.number, exc_info=error)

    async def _run(self) -> None:
        try:
            await self._work_until_stopped()
        finally:
            if self._client is not None and self._given is None:
                await disconnect(self._client)

    async def _work_until_stopped(self) -> None:
        async with self._group as group:
            work = (self._outbox.record(), self._outbox.send(), self._take_in(), self._heartbeat.run())
            forever = [group.create_task(each) for each in work]
            listening = group.create_task(self._listen())
            await self._stop.wait()
            listening.cancel()
            if self._subscription is not None and self._client is not None and not self._client.is_closed:
                await self._unsubscribe(self._subscription)
            await self._settle()
            if self._farewell:
                await self._heartbeat.farewell()
            await _end({*forever, *self._workers})

    async def _settle(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._grace
        while asyncio.get_running_loop().time() < deadline:
            away = self._client is None or not self._client.is_connected
            if not self._workers and self._inbox.empty() and not self._jobs and (self._outbox.empty or away):
                return
            await asyncio.sleep(0.01)

    @staticmethod
    async def _unsubscribe(subscription: Subscription) -> None:
        try:
            await asyncio.wait_for(subscription.unsubscribe(), 2)
        except Exception as error:
            log.debug("Ending a subscription failed", action="unsubscribe", error=repr(error))

    async def _listen(self) -> None:
        learned = await self._learn_epochs()
        client = self._client or await connect(self._url, f"corral agent a{self.number}")
        self._client = client
        while not await self._subscribed(client):  # noqa: ASYNC110 - whether a shared connection is back is nobody's event
            await asyncio.sleep(SUBSCRIBE_SECONDS)
        self._heartbeat.announce()
        self.ready.set()
        while not learned:  # as long as the engine is away nothing can be done that should not be
            await asyncio.sleep(LEARN_SECONDS)
            learned = await self._learn_epochs()

    async def _subscribed(self, client: Client) -> bool:
        """Once made, a subscription lasts: the client makes it again after each reconnect."""
        if not client.is_connected:
            return False
        try:
            if self._subscription is None:
                self._subscription = await client.subscribe(agent_commands(self.number), cb=self._inbox.put)
            await reached(client, 5)
        except Exception as error:  # lost in this moment
            log.warning("Commands can't be listened to yet", action="subscribe-failed", agent=self.number, error=repr(error))
            return False
        return True

    async def _learn_epochs(self) -> bool:
        """What the instances themselves tell of their epochs goes into the ledger, before any command is heard (if it can be known now)."""
        if not isinstance(self.driver, RemembersEpochs):
            return True
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                epochs = await self.driver.epochs()
            await asyncio.to_thread(self._ledger.learn, {f"instance {uuid}": epoch for uuid, epoch in epochs.items()})
        except (DriverError, TimeoutError) as error:
            said = str(error) or "no answer in time"
            log.warning("What runs here can't be seen yet", action="reconcile-failed", agent=self.number, error=said)
            return False
        return True

    async def _take_in(self) -> None:
        while True:
            batch = [await self._inbox.get()]
            while len(batch) < BATCH and not self._inbox.empty():
                batch.append(self._inbox.get_nowait())
            try:
                await self._judge(batch)
            except Exception:  # a full disk, say. Nothing was begun: the commands are sent again
                log.exception("Commands could not be taken in", action="intake-failed", agent=self.number, commands=len(batch))

    async def _judge(self, batch: list[Msg]) -> None:
        fresh: dict[str, tuple[Message, Subjects]] = {}
        for heard in batch:
            try:
                request = read_command(self.number, heard.subject, heard.reply, heard.data)
            except BadCommand as error:
                log.warning("A message is no command", action="bad-command", subject=heard.subject, error=str(error))
                self._outbox.put(Outgoing(error.reply))
                continue
            try:
                subjects = subjects_of(request.name, request.data)
            except DriverError as error:
                self._outbox.put(Outgoing(Outcome(error=f"{request.name}: {error}").reply_to(request)))
                continue
            if request.name == "ping":
                self._work(self._answer_ping(request))
            elif request.id in self._jobs:
                self._ask_again(self._jobs[request.id], request)
            else:
                fresh[request.id] = (request, subjects)
        if not fresh:
            return
        # A job stays in _jobs until its answer is on disk: a command is known there, or to the ledger, or is new.
        arrivals = [Arrival(request.id, each.guarded, request.epoch, each.heeded, each.outdates) for request, each in fresh.values()]
        verdicts = await asyncio.to_thread(self._ledger.accept, arrivals)
        for (request, subjects), verdict in zip(fresh.values(), verdicts, strict=True):
            self._dispatch(request, subjects, verdict)

    def _dispatch(self, request: Message, subjects: Subjects, verdict: Verdict) -> None:
        if isinstance(verdict, Answered):
            log.info("A command came again; it was done before", action="repeated", command=request.name, id=request.id)
            reply = Message.decode(verdict.reply).model_copy(update={"name": request.replyTo or ""})
            self._outbox.put(Outgoing(reply))
        elif isinstance(verdict, Behind):
            self._finish(Job(request, subjects, {request.id: request}), _stale(request, verdict))
        else:
            self._enqueue(request, subjects)

    def _enqueue(self, request: Message, subjects: Subjects) -> None:
        name = subjects.lane or f"command {request.id}"
        lane = self._lanes.setdefault(name, deque())
        for waiting in lane:
            minded = (*waiting.subjects.guarded, *waiting.subjects.heeded)
            shared = next((each for each in (*subjects.guarded, *subjects.outdates) if each in minded), None)
            if shared and not waiting.begun and waiting.request.epoch < request.epoch:
                waiting.behind = Behind(shared, request.epoch)
        last = lane[-1] if lane else None
        if last is not None and last.request.name == request.name and last.subjects == subjects:
            self._take_over(last, request)
            return
        job = Job(request, subjects, {request.id: request})
        self._jobs[request.id] = job
        lane.append(job)
        if len(lane) == 1:
            self._work(self._run_lane(name, lane))

    def _ask_again(self, job: Job, request: Message) -> None:
        """The same command id once more: it joins. If the outcome is there already, on its way to the disk, it is told at once."""
        if job.outcome is not None:
            self._outbox.put(Outgoing(job.outcome.reply_to(request)))
        elif request.id in job.asked:
            job.asked[request.id] = request
            if job.request.id == request.id:
                job.request = request

    def _take_over(self, job: Job, request: Message) -> None:
        """The last of the lane is doing, or about to do, just this: it is done for the newest that asks."""
        for id_, older in list(job.asked.items()):
            if older.epoch < request.epoch:
                del job.asked[id_]
                newest = Behind(job.subjects.guarded[0] if job.subjects.guarded else job.subjects.lane or "it", request.epoch)
                self._finish(Job(older, job.subjects, {id_: older}), _stale(older, newest))
        job.asked[request.id] = request
        job.behind = None
        job.request = request
        self._jobs[request.id] = job

    async def _run_lane(self, name: str, lane: deque[Job]) -> None:
        try:
            while lane:
                job = lane[0]
                async with self._slots:
                    job.begun = True
                    outcome = _stale(job.request, job.behind) if job.behind else await self._carry_out(job)
                lane.popleft()
                self._finish(job, outcome)
        finally:
            del self._lanes[name]

    async def _carry_out(self, job: Job) -> Outcome:
        loop = asyncio.get_running_loop()

        def report(message: str, percent: int | None) -> None:
            loop.call_soon_threadsafe(self._progress, job, message, percent)

        request = job.request
        try:
            async with asyncio.timeout(LONGEST):
                return Outcome(await self.driver.carry_out(request, report))
        except DriverError as error:
            log.warning("A command failed", action="command-failed", command=request.name, id=request.id, error=str(error))
            return Outcome(error=str(error), internal=error.internal)
        except TimeoutError:
            return Outcome(error=f"{request.name} did not end within {LONGEST:.0f} seconds")
        except Exception as error:
            log.exception("The driver broke", action="driver-broke", command=request.name, id=request.id)
            return Outcome(error=f"{request.name} failed inside agent a{self.number}: {error!r}; its log tells more", internal=repr(error))

    def _progress(self, job: Job, message: str, percent: int | None) -> None:
        now = asyncio.get_running_loop().time()
        if job.outcome is not None or now - job.reported < PROGRESS_SECONDS:
            return
        job.reported = now
        for request in job.asked.values():
            self._outbox.put(Outgoing(request.reply(transitioning="yes", message=message, progress=percent)))

    def _finish(self, job: Job, outcome: Outcome) -> None:
        job.outcome = outcome
        for id_, request in job.asked.items():
            self._jobs[id_] = job
            reply = outcome.reply_to(request)
            try:
                payload = reply.encode()
            except (TypeError, ValueError) as error:  # what a driver returned is no JSON: that is the answer then
                job.outcome = outcome = Outcome(error=f"the driver's answer to {request.name} is no JSON: {error}")
                reply = outcome.reply_to(request)
                payload = reply.encode()
            copies = self.driver.copies(request) if isinstance(self.driver, AnswersBadly) else 1
            self._outbox.put(Outgoing(reply, copies, {id_: payload}, partial(self._recorded, id_)))

    def _recorded(self, command: str) -> None:
        self._jobs.pop(command, None)

    async def _answer_ping(self, request: Message) -> None:
        options = request.data.get("options")
        wanted = dict(options) if isinstance(options, dict) else {}
        resources: list[Json] = []
        try:
            async with self._looks, asyncio.timeout(LOOK_SECONDS):
                if wanted.get("resources"):
                    resources += await self.driver.resources(request.data)
                if wanted.get("instances"):
                    try:
                        held = await self.driver.instances()
                        resources += [{"type": "instance", "uuid": uuid, "state": state} for uuid, state in held.items()]
                    except DriverError as error:
                        # Not echoed: nobody is to conclude from the absence of instances that could not be seen.
                        wanted["instances"] = False
                        log.warning("What runs here can't be seen", action="look-failed", error=str(error))
            outcome = Outcome({"options": wanted, "resources": resources} if options is not None else {"resources": resources})
        except DriverError as error:
            outcome = Outcome(error=str(error), internal=error.internal)
        except TimeoutError:
            outcome = Outcome(error=f"what agent a{self.number} has could not be seen within {LOOK_SECONDS:.0f} seconds")
        except Exception as error:
            log.exception("The driver broke", action="driver-broke", command="ping")
            outcome = Outcome(error=f"ping failed inside agent a{self.number}: {error!r}; its log tells more")
        self._outbox.put(Outgoing(outcome.reply_to(request)))

    def _work(self, what: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(what)
        self._workers.add(task)
        task.add_done_callback(self._workers.discard)


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    """Cancels until all have ended: NATS' client forgets a cancel that meets an answer it waits for."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=0.1)


def _stale(request: Message, behind: Behind) -> Outcome:
    known = f"epoch {behind.newest} of {behind.subject}, which this agent knows"
    return Outcome(error=f"{request.name} of epoch {request.epoch} is behind {known}: nothing was done", stale=True)

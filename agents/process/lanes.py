"""A command that an agent is to carry out -> here -> the driver -> the ledger and the answer: once each, and in order.

    taken -> waits in its lane -> begun -> carried out -> recorded -> answered, to each that asked
               `-> a newer request about the same thing came in: `stale`, nothing is done

A lane holds the commands about one instance (with its root volume), volume or image; lanes run side by side. A newer request for what
the last of a lane does already takes that one over: the work is done once, and answered to the newest.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from agents.driver import AnswersBadly, Driver, DriverError, Json, Report, Subjects
from agents.process import failpoints
from agents.process.ledger import Behind
from agents.process.outbox import Outbox, Outgoing
from agents.wire import Message

log = structlog.get_logger("corral.agent")

LONGEST = 3600.0
"""Seconds: a net under the drivers, which have shorter limits of their own for each thing they wait for."""
PROGRESS_SECONDS = 1.0


CarryOut = Callable[[Message, Report], Coroutine[Any, Any, Json]]


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


@dataclass(slots=True)
class Carried:
    """What was carried out, for whoever shows it; agents of one process may share it. Outcome -> how often."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


class Lanes:
    """One agent's. `spawn` runs what is to go on by itself; `agent` is its name in messages."""

    def __init__(
        self, agent: str, driver: Driver, outbox: Outbox, spawn: Callable[[Coroutine[Any, Any, None]], None], concurrency: int,
        carry_out: CarryOut, carried: Carried | None = None,
    ) -> None:
        """`carry_out`: does what a command says."""
        self._agent, self._driver, self._outbox, self._spawn = agent, driver, outbox, spawn
        self._carried = carried or Carried()
        self._do = carry_out
        self._jobs: dict[str, Job] = {}
        """Command id -> its job, until its answer is on disk: a command is known here, or to the ledger, or is new."""
        self._lanes: dict[str, deque[Job]] = {}
        self._slots = asyncio.Semaphore(concurrency)

    @property
    def empty(self) -> bool:
        """Whether every command has its answer on disk."""
        return not self._jobs

    def ask_again(self, request: Message) -> bool:
        """A command id once more: it joins. If the outcome is there already, on its way to the disk, it is told at once.
        -> whether it is known here."""
        job = self._jobs.get(request.id)
        if job is None:
            return False
        if job.outcome is not None:
            self._outbox.put(Outgoing(job.outcome.reply_to(request)))
        elif request.id in job.asked:
            job.asked[request.id] = request
            if job.request.id == request.id:
                job.request = request
        return True

    def refuse(self, request: Message, subjects: Subjects, behind: Behind) -> None:
        """A command that is behind a newer epoch: answered as stale, and remembered so."""
        self._finish(Job(request, subjects, {request.id: request}), _stale(request, behind))

    def take(self, request: Message, subjects: Subjects) -> None:
        """A command that is new: behind what its lane does already, or in the place of the last there, where that is the same."""
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
            self._spawn(self._run_lane(name, lane))

    def _take_over(self, job: Job, request: Message) -> None:
        """The last of the lane is doing, or about to do, just this: it is done for the newest that asks."""
        for id_, older in list(job.asked.items()):
            if older.epoch < request.epoch:
                del job.asked[id_]
                newest = Behind(job.subjects.guarded[0] if job.subjects.guarded else job.subjects.lane or "it", request.epoch)
                self.refuse(older, job.subjects, newest)
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
                    outcome = _stale(job.request, job.behind) if job.behind else await self._counted(job)
                lane.popleft()
                self._finish(job, outcome)
        finally:
            del self._lanes[name]

    async def _counted(self, job: Job) -> Outcome:
        began = time.monotonic()
        with structlog.contextvars.bound_contextvars(**about(job.request)), failpoints.doing(job.request.name):
            outcome = await self._carry_out(job)
            seconds = time.monotonic() - began
            if outcome.error is None:
                log.info(f"{job.request.name} is done", action="done", command=job.request.name, ms=round(seconds * 1000, 1))
        self._carried.outcomes["done" if outcome.error is None else "failed"] += 1
        self._carried.seconds += seconds
        return outcome

    async def _carry_out(self, job: Job) -> Outcome:
        loop = asyncio.get_running_loop()

        def report(message: str, percent: int | None) -> None:
            loop.call_soon_threadsafe(self._progress, job, message, percent)

        request = job.request
        try:
            async with asyncio.timeout(LONGEST):
                return Outcome(await self._do(request, report))
        except DriverError as error:
            log.warning("A command failed", action="command-failed", command=request.name, error=str(error))
            return Outcome(error=str(error), internal=error.internal)
        except TimeoutError:
            return Outcome(error=f"{request.name} did not end within {LONGEST:.0f} seconds")
        except Exception as error:
            log.exception("The driver broke", action="driver-broke", command=request.name)
            return Outcome(error=f"{request.name} failed inside agent {self._agent}: {error!r}; its log tells more", internal=repr(error))

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
            copies = self._driver.copies(request) if isinstance(self._driver, AnswersBadly) else 1
            self._outbox.put(Outgoing(reply, copies, {id_: payload}, partial(self._recorded, id_)))

    def _recorded(self, command: str) -> None:
        self._jobs.pop(command, None)


def about(request: Message) -> Json:
    """What every line of a log that concerns a command carries."""
    context = request.context or {}
    parent = context.get("traceparent")
    told = {"ask": request.id, "stream": context.get("stream"), "correlation": context.get("correlation")}
    return {**told, "trace": parent[3:35]} if isinstance(parent, str) else told


def _stale(request: Message, behind: Behind) -> Outcome:
    known = f"epoch {behind.newest} of {behind.subject}, which this agent knows"
    return Outcome(error=f"{request.name} of epoch {request.epoch} is behind {known}: nothing was done", stale=True)

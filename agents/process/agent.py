"""The agent: hears commands over NATS, has its driver carry them out, once each and in order, and answers.

    heard -> judged (ledger: answered before? behind a newer epoch?) -> its lane (lanes.py) -> carried out -> recorded -> answered
                `-> answered from the ledger, or `stale`, or what is wrong with it
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from agents.driver import (
    Driver,
    DriverError,
    Json,
    RemembersEpochs,
    Report,
    Subjects,
    TakesPartInNetworks,
    TellsWhose,
    UnknownCommand,
    subjects_of,
)
from agents.joining.access import Access
from agents.process import failpoints
from agents.process.answering import Answering
from agents.process.configuration import COMMAND as CONFIG_UPDATE
from agents.process.configuration import Configuration
from agents.process.connection import connect, disconnect, reached
from agents.process.heartbeat import Heartbeat
from agents.process.lanes import Carried, Lanes, Outcome, about
from agents.process.ledger import Answered, Arrival, Behind, Ledger, Verdict
from agents.process.outbox import Outbox, Outgoing
from agents.process.reading import BadCommand, read_command
from agents.wire import NETWORK_APPLY, PRESENCE_SECONDS, Message, agent_commands

log = structlog.get_logger("corral.agent")

CONCURRENCY = 8
"""Commands carried out at the same time; others wait."""
INBOX = 4096
BATCH = 256
LOOK_SECONDS = 10.0
"""For looking at what runs, for a ping."""
SUBSCRIBE_SECONDS = 0.05
LEARN_SECONDS = 2.0


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
        configuration: Configuration | None = None,
        carried: Carried | None = None,
        access: Access | None = None,
    ) -> None:
        """`number`: the agent's plain id. `folder`: of its own, kept over restarts. `nats`: a connection, or an address to connect to.
        `access`: what it shows NATS there.

        `farewell`: whether it says that it goes when it is stopped (not, where the engine stops with it). `ledger`: if it is not
        to lie in the folder. `configuration`: what config.update is carried out by; None: the driver. `carried`: where it is counted.
        """
        self.number, self.uuid, self.driver = number, uuid, driver
        self._given = nats if isinstance(nats, Client) else None
        self._url = nats if isinstance(nats, str) else ""
        self._access = access
        self._client: Client | None = self._given
        self._ledger = ledger or Ledger(folder)
        self._outbox = Outbox(self._ledger, lambda: self._client)
        self._heartbeat = Heartbeat(number, uuid, driver, lambda: self._client, heartbeat_seconds)
        self._inbox: asyncio.Queue[Msg] = asyncio.Queue(INBOX)
        self._configuration = configuration
        self._lanes = Lanes(f"a{number}", driver, self._outbox, self._work, concurrency, self._carry_out, carried)
        self._live = Answering(number, driver, lambda: self._client)
        self._looks = asyncio.Semaphore(4)
        self._workers: set[asyncio.Task[None]] = set()
        self._group = asyncio.TaskGroup()
        self._subscription: Subscription | None = None
        self._main: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._unlearned = asyncio.Event()
        """Set when the epochs that the instances tell could not be known at once."""
        self._farewell = farewell
        self._warned: object = None
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
            work = (self._outbox.record(), self._outbox.send(), self._take_in(), self._heartbeat.run(), self._go_on_learning())
            forever = [group.create_task(each) for each in work]
            listening = group.create_task(self._listen())
            await self._stop.wait()
            listening.cancel()
            if self._subscription is not None and self._client is not None and not self._client.is_closed:
                await self._unsubscribe(self._subscription)
            await self._live.stop()
            await self._settle()
            if self._farewell:
                await self._heartbeat.farewell()
            await _end({*forever, *self._workers, listening})

    async def _settle(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._grace
        while asyncio.get_running_loop().time() < deadline:
            away = self._client is None or not self._client.is_connected
            if not self._workers and self._inbox.empty() and self._lanes.empty and (self._outbox.empty or away):
                return
            await asyncio.sleep(0.01)

    @staticmethod
    async def _unsubscribe(subscription: Subscription) -> None:
        try:
            await asyncio.wait_for(subscription.unsubscribe(), 2)
        except Exception as error:
            log.debug("Ending a subscription failed", action="unsubscribe", error=repr(error))

    async def _listen(self) -> None:
        """On a connection of its own, and on another once that is given up."""
        if not await self._learn_epochs():
            self._unlearned.set()  # as long as the engine is away nothing can be done that should not be
        while True:
            closed = asyncio.Event()
            client = self._given or await connect(self._url, f"corral agent a{self.number}", access=self._access, closed=closed)
            self._client, self._subscription = client, None
            await self._subscribe(client)
            await closed.wait()
            await disconnect(client)
            log.info("The connection to NATS was given up; another is made", action="nats-closed", agent=self.number)

    async def _go_on_learning(self) -> None:
        """A task of its own, since whoever ends it may have to say so again: see `_end`."""
        await self._unlearned.wait()
        while True:
            await asyncio.sleep(LEARN_SECONDS)
            if await self._learn_epochs():
                return

    async def _subscribe(self, client: Client) -> None:
        """Until it hears commands there, or the connection is given up. (Whether a shared one is back is nobody's event.)"""
        while not client.is_closed:
            if await self._subscribed(client):
                self._heartbeat.announce()
                self.ready.set()
                return
            await asyncio.sleep(SUBSCRIBE_SECONDS)

    async def _subscribed(self, client: Client) -> bool:
        """Once made, a subscription lasts: the client makes it again after each reconnect."""
        if not client.is_connected:
            return False
        try:
            if self._subscription is None:
                self._subscription = await client.subscribe(agent_commands(self.number), cb=self._hear)
            await reached(client, 5)
        except Exception as error:  # lost in this moment
            log.warning("Commands can't be listened to yet", action="subscribe-failed", agent=self.number, error=repr(error))
            return False
        return True

    async def _hear(self, heard: Msg) -> None:
        """Live queries wait behind no command."""
        if self._live.is_for(heard.subject):
            await self._live.hear(heard)
        else:
            await self._inbox.put(heard)

    async def _learn_epochs(self) -> bool:
        """What the instances themselves tell of their epochs goes into the ledger, before any command is heard (if it can be known now)."""
        if not isinstance(self.driver, RemembersEpochs):
            return True
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                epochs = await self.driver.epochs()
            failpoints.reach("before", "learn")
            await asyncio.to_thread(self._ledger.learn, {f"instance {uuid}": epoch for uuid, epoch in epochs.items()})
            failpoints.reach("after", "learn")
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
            elif request.name == NETWORK_APPLY:  # instances that are about to start wait for it: it waits for no lane
                self._work(self._apply_networks(request))
            elif not self._lanes.ask_again(request):
                fresh[request.id] = (request, subjects)
        if not fresh:
            return
        # A job stays in _jobs until its answer is on disk: a command is known there, or to the ledger, or is new.
        arrivals = [Arrival(request.id, each.guarded, request.epoch, each.heeded, each.outdates) for request, each in fresh.values()]
        commands = [request.name for request, _ in fresh.values()]
        failpoints.reach("before", "accept", commands)
        verdicts = await asyncio.to_thread(self._ledger.accept, arrivals)
        failpoints.reach("after", "accept", commands)
        for (request, subjects), verdict in zip(fresh.values(), verdicts, strict=True):
            self._dispatch(request, subjects, verdict)

    def _dispatch(self, request: Message, subjects: Subjects, verdict: Verdict) -> None:
        if isinstance(verdict, Answered):
            log.info("A command came again; it was done before", action="repeated", command=request.name, **about(request))
            reply = replace(Message.decode(verdict.reply), name=request.replyTo or "")
            self._outbox.put(Outgoing(reply))
        elif isinstance(verdict, Behind):
            self._lanes.refuse(request, subjects, verdict)
        else:
            self._lanes.take(request, subjects)

    async def _carry_out(self, request: Message, report: Report) -> Json:
        if self._configuration is not None and request.name == CONFIG_UPDATE:
            return await self._configuration.update(self.number, request.data)
        return await self.driver.carry_out(request, report)

    def _heed(self, warning: object) -> None:
        """What the server has against what this agent tells of: said once, until it is over."""
        if warning != self._warned and isinstance(warning, str):
            log.error(warning, action="warned", agent=self.number)
        self._warned = warning

    async def _answer_ping(self, request: Message) -> None:
        self._heed((request.context or {}).get("warning"))
        options = request.data.get("options")
        wanted = dict(options) if isinstance(options, dict) else {}
        resources: list[Json] = []
        try:
            async with self._looks, asyncio.timeout(LOOK_SECONDS):
                if wanted.get("resources"):
                    resources += await self.driver.resources(request.data)
                if wanted.get("instances"):
                    try:
                        resources += await self._instances()
                    except DriverError as error:
                        # Not echoed: nobody is to conclude from the absence of instances that could not be seen.
                        wanted["instances"] = False
                        log.warning("What runs here can't be seen", action="look-failed", error=str(error))
            seen: Json = {"resources": resources, "epochs": True}  # what is newest, this agent knows by itself
            outcome = Outcome({"options": wanted, **seen} if options is not None else seen)
        except DriverError as error:
            outcome = Outcome(error=str(error), internal=error.internal)
        except TimeoutError:
            outcome = Outcome(error=f"what agent a{self.number} has could not be seen within {LOOK_SECONDS:.0f} seconds")
        except Exception as error:
            log.exception("The driver broke", action="driver-broke", command="ping")
            outcome = Outcome(error=f"ping failed inside agent a{self.number}: {error!r}; its log tells more")
        self._outbox.put(Outgoing(outcome.reply_to(request)))

    async def _instances(self) -> list[Json]:
        if not isinstance(self.driver, TellsWhose):
            return [{"type": "instance", "uuid": uuid, "state": state} for uuid, state in (await self.driver.instances()).items()]
        held = (await self.driver.held()).items()
        return [{"type": "instance", "uuid": uuid, **asdict(each)} for uuid, each in held]

    async def _apply_networks(self, request: Message) -> None:
        try:
            if not isinstance(self.driver, TakesPartInNetworks):
                raise UnknownCommand(request.name, self.driver.kind)
            outcome = Outcome(await self.driver.apply_networks(request.data))
        except DriverError as error:
            outcome = Outcome(error=str(error), internal=error.internal)
        except Exception as error:
            log.exception("The driver broke", action="driver-broke", command=request.name)
            outcome = Outcome(error=f"{request.name} failed inside agent a{self.number}: {error!r}; its log tells more")
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

"""A whole cloud in virtual time: gateways, engines, agents, database and NATS, each of which can be started, killed, paused and cut off."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import traceback
import uuid
from collections.abc import Callable, Coroutine, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import structlog

from agents import wire
from agents.wire import Message
from commands.accepting.seed import seed as seed_accounts
from commands.accepting.service import Commands
from commands.catalogue.builtin import CATALOGUE
from commands.engine.engine import Engine
from commands.errors import Refused
from commands.secrets.keys import KeyPair
from commands.settings.settings import DEFAULTS
from commands.turns.surroundings import Surroundings
from eventstore import Store, Unavailable
from eventstore.clock import LogClock
from eventstore.memory import MemoryStore
from tests.simulation import sealed
from tests.simulation.broken import Broken
from tests.simulation.database import Database, Landed
from tests.simulation.handlers import Handlers
from tests.simulation.hosts import KeptLedger, Machine
from tests.simulation.loop import Process, VirtualLoop, inside
from tests.simulation.network import Network, SimulatedBus
from tests.simulation.promises import Promises
from tests.simulation.requests import Request
from tests.simulation.weather import Weather
from tests.simulation.wishes import Wish

START = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE = 15.0
"""Seconds until a client asks again, with the same key."""

SKEW, DRIFT = 600.0, 0.001
"""At most so many seconds is a server's own clock off, and so much faster or slower."""


@dataclass(slots=True)
class Parts:
    """What the world is built from; a mutation puts something broken in the place of one."""

    engine: type[Engine] = Engine
    ledger: type[KeptLedger] = KeptLedger
    store: type[MemoryStore] = MemoryStore
    clock: type[LogClock] = LogClock
    prepare: Callable[[], None] = lambda: None


@dataclass(slots=True)
class Node:
    """A server of ours in one of its lives."""

    name: str
    process: Process
    engine: Engine | None = None
    commands: Commands | None = None
    task: asyncio.Task[None] | None = None


class World:
    def __init__(self, seed: int, parts: Parts, verbose: bool = False) -> None:
        self.seed, self.parts, self.verbose = seed, parts, verbose
        self.random = self.chance("story")
        self.loop = VirtualLoop(self.chance("order"), shuffled=self.random.random() < 0.8)  # type: ignore[abstract]
        wire.time = SimpleNamespace(time=lambda: self.now().timestamp())  # type: ignore[assignment, attr-defined]
        self.weather = Weather(self.chance("weather"))
        self.store = parts.store(clock=self.now)
        self.database = Database(self.store, self.weather, self._landed, parts.clock)
        self.network = Network(self.weather, self._overheard)
        self.machines: list[Machine] = []
        self.promises = Promises(self.store, self.machines)
        self.settings = {**DEFAULTS, "object.remove.time.delay.seconds": self.random.choice((3, 15, 60))}
        self.engines: list[Node] = []
        self.gateways: list[Node] = []
        self.processes: list[Process] = []
        self.asked: set[asyncio.Task[None]] = set()
        """Clients that wait for an answer."""
        self.trace: list[tuple[float, str, str]] = []
        self.broken: Broken | None = None
        self.account = 0
        self._ids = self.chance("ids")

    # --- time, chance, telling ---

    def chance(self, what: str) -> Random:
        return Random(f"{self.seed} {what}")

    def now(self) -> datetime:
        """By the database's clock."""
        return START + timedelta(seconds=self.loop.time())

    def surroundings(self) -> Surroundings:
        return Surroundings(lambda: str(uuid.UUID(int=self._ids.getrandbits(128), version=4)), self._ids.randbytes)

    def _way(self, process: Process) -> Store:
        """To the database, for a server whose own clock is minutes off and goes at a pace of its own."""
        chance = self.chance(process.name)
        off, pace = chance.uniform(-SKEW, SKEW), chance.uniform(1 - DRIFT, 1 + DRIFT)
        return cast(Store, self.database.way(process, lambda: off + pace * self.loop.time()))

    def tell(self, who: str, what: str) -> None:
        if self.verbose:
            self.trace.append((self.loop.time(), who, what))

    def fail(self, error: Broken) -> None:
        self.broken = self.broken or error

    def check(self) -> None:
        """Raises what was broken, or what went wrong where nobody caught it."""
        if self.broken is None and self.loop.errors:
            self.broken = Broken(f"nobody caught this: {self.loop.errors[0]}")
        if self.broken is not None:
            raise self.broken

    def begin(self, what: Coroutine[Any, Any, Any]) -> None:
        """A task that nobody waits for; its process keeps it."""
        self.loop.create_task(what).add_done_callback(lambda done: done.cancelled() or done.exception())

    def digest(self) -> str:
        """The log's, its times included."""
        whole = hashlib.sha256()
        for row, at in self.store._rows:
            whole.update(repr((row, at)).encode())
        return whole.hexdigest()

    # --- what happens in it ---

    def _landed(self, landed: Landed) -> None:
        if self.verbose:
            for each in landed.recorded:
                about = {key: value for key, value in each.data.items() if key not in ("pid", "id", "changes", "field")}
                self.tell(landed.by.name, f"{each.position:5} {each.id:<26} {each.type:<18} {about}")
        self._promise(partial(self.promises.landed, landed))

    def _acts(self, machine: Machine, request: Message, instance: str, state: str) -> None:
        self.tell(machine.name, f"      {instance[:8]} {state} by {request.name} (epoch {request.epoch})")
        self._promise(partial(self.promises.acts, machine, request, instance, state))

    def _fails(self, machine: Machine, command: str) -> None:
        self.promises.errors.add((machine.number, command))

    def _handler_fails(self, command: str) -> None:
        self.promises.errors.add((0, command))

    def _overheard(self, subject: str, payload: bytes) -> None:
        self._promise(partial(sealed.told_nobody, subject, payload))

    def _promise(self, check: Callable[[], None]) -> None:
        try:
            check()
        except Broken as broken:
            self.fail(broken)

    # --- servers ---

    def _process(self, name: str) -> Process:
        process = Process(name)
        self.processes.append(process)
        return process

    def start_engine(self, number: int) -> Node:
        name = f"engine-{number}"
        process = self._process(name)
        with inside(process):
            bus = SimulatedBus(self.network, process)
            engine = self.parts.engine(self._way(process), bus, CATALOGUE, self.settings, holder=name, surroundings=self.surroundings())
            node = Node(name, process, engine)
            node.task = self.loop.create_task(self._run_engine(engine, bus))
        node.task.add_done_callback(self._engine_ended)
        return node

    async def _run_engine(self, engine: Engine, bus: SimulatedBus) -> None:
        await bus.start()
        await engine.run()

    def _engine_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(Broken(f"an engine ended by itself: {error!r} {getattr(error, 'exceptions', '')}"))

    def start_gateway(self, number: int) -> Node:
        process = self._process(f"gateway-{number}")
        pair = KeyPair("simulated", sealed.MARK)
        commands = Commands(self._way(process), CATALOGUE, self.settings, new_key_pair=lambda: pair, surroundings=self.surroundings())
        return Node(process.name, process, commands=commands)

    def boot_agent(self, machine: Machine) -> None:
        process = self._process(machine.name)
        agent = machine.boot(self.network, process, self.parts.ledger)
        with inside(process):
            self.begin(self._run_agent(agent))

    def start_handlers(self) -> None:
        """One program that listens for all external handlers."""
        process = self._process("handlers")
        with inside(process):
            Handlers(self.network, self._handler_fails, self.tell).start()

    async def _run_agent(self, agent: Any) -> None:
        try:
            await agent.start()
            await agent.wait()
        except Exception as error:
            self.fail(Broken(f"an agent ended by itself: {error!r}"))

    # --- clients ---

    async def register(self, machine: Machine) -> None:
        """The machine's agent gets its row and begins to work."""
        wish = Wish("create", ("agent",), 0)
        request = Request(wish, f"register-{machine.name}", "agent", None, {"uri": "sim://", "uuid": machine.name, "managedConfig": False})
        outcome = await self._until_answered(request)
        if outcome is not None:
            machine.number = outcome.resource.id
            self.machines.append(machine)
            self.boot_agent(machine)

    def ask(self, request: Request) -> None:
        task = self.loop.create_task(self._until_answered(request))
        self.asked.add(task)
        task.add_done_callback(self.asked.discard)

    async def _until_answered(self, request: Request) -> Any:
        """A client asks again, at any gateway, until it is told what became of its command."""
        self.promises.issued[request.key] = request.wish.verb
        self.tell("client", f"{request.key}: {request.told}")
        while True:
            working = [each for each in self.gateways if each.process.alive]
            if working:
                gateway = self.random.choice(working)
                with inside(gateway.process):
                    attempt = self.loop.create_task(request.carry_out(gateway.commands, self.account))  # type: ignore[arg-type]
                attempt.add_done_callback(lambda done: done.cancelled() or done.exception())
                await asyncio.wait({attempt}, timeout=PATIENCE)
                if attempt.done():
                    error = attempt.exception()
                    if error is None:
                        outcome = attempt.result()
                        self.tell("client", f"{request.key}: done at {outcome.position}")
                        self._promise(partial(self.promises.acknowledged, request.key, outcome.position))
                        return outcome
                    if isinstance(error, Refused):
                        said = str(error)
                        self.tell("client", f"{request.key}: refused, {said}")
                        self._promise(partial(self.promises.refused, request.key, said))
                        return None
                    if not isinstance(error, Unavailable):
                        self.fail(Broken(f"a gateway fails over {request.told}: {error!r}"))
                        return None
            await asyncio.sleep(0.5)

    async def seed_accounts(self) -> None:
        commands = self.gateways[0].commands
        assert commands is not None
        self.account = await seed_accounts(commands)


@dataclass
class Listener:
    """Takes what the code logs: an error is a failure of the simulation, the rest is told where somebody reads it."""

    world: World | None = None
    quiet: frozenset[str] = field(default=frozenset({"announce-failed"}))

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        if self.world is not None:
            said = f"{event.pop('event', '')} {({k: v for k, v in event.items() if k != 'exc_info'})}"
            self.world.tell("log", f"      {method}: {said}")
            if method in ("error", "exception", "critical") and event.get("action") not in self.quiet:
                self.world.fail(Broken(f"logged as an error: {said}{_why(event)}"))
        raise structlog.DropEvent


def _why(event: MutableMapping[str, Any]) -> str:
    info = event.get("exc_info")
    if isinstance(info, BaseException):
        return "\n" + "".join(traceback.format_exception(info))
    return "\n" + traceback.format_exc() if info else ""


LISTENER = Listener()


def listen_to_logs(verbose: bool) -> None:
    level = logging.DEBUG if verbose else logging.ERROR
    structlog.configure(processors=[LISTENER], wrapper_class=structlog.make_filtering_bound_logger(level))
    logging.disable(logging.CRITICAL)

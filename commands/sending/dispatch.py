"""Commands on their way to agents: sent after the commit, sent again until they are answered, reported when silence lasts.

    requested -> sent -> (sent again after 1, 2, 4, 8, then every 15 s)... -> answered
        |         ^  `-> silent: the process is parked, the command is still sent every 15 s
        `-> its root waits for a place (places.py), while too many to its agent are in flight
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import structlog

from agents.wire import Message, command_subject, handler_reply_subject, handler_subject, partition_of, reply_subject
from commands.catalogue.catalogue import Catalogue
from commands.catalogue.model import Ask
from commands.cloud import cloud_of
from commands.counts import HANDLER, Counts
from commands.failpoints import reach_all
from commands.logic.delegation import Delegated, is_delegated
from commands.resource import Asked, Open, Resource
from commands.sending.bus import Bus
from commands.sending.outstanding import FIRST_RESEND, MOST_RESEND, Outstanding
from commands.sending.places import Places
from commands.sending.resends import Resends
from commands.trace import Ties
from commands.turns import handlers
from commands.turns.inorder import in_order, knows_epochs
from commands.turns.unanswered import Waiting
from commands.turns.world import World

log = structlog.get_logger("corral.dispatch")

TICK = 0.25

AGENTS = "agent-"
"""What agents are asked about themselves (whether they are there) never waits for what else they are asked."""


@dataclass(frozen=True, slots=True)
class _About:
    """What a command tells of the process that asks."""

    process: str | None
    ties: Ties
    silent: bool = False
    undoes: bool = False


class Dispatch:
    """All outstanding commands of the partitions that this engine holds."""

    def __init__(
        self, bus: Bus, on_silence: Callable[[str, str], None], on_room: Callable[[str], None], *, sure: Callable[[], bool],
        most: Callable[[], int], patience: Callable[[], float] = lambda: 0,
        counts: Counts | None = None,
    ) -> None:  # fmt: skip
        """`on_room(root)`: what it asks may be sent now. `sure`: whether this engine still has its leases. `most()`: commands in flight to
        an agent. `patience()`: seconds of silence at most until it is reported; 0: as each command says."""
        self._bus = bus
        self._counts = counts or Counts()
        self._on_silence = on_silence
        self._sure, self._most, self._patience = sure, most, patience
        self._by_ask: dict[str, Outstanding] = {}
        self._by_root: dict[str, set[str]] = {}
        self._places = Places(most, on_room)
        self._sending: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._resends = Resends()
        self._behind: dict[str, dict[str, str]] = {}
        """Root -> command that is not sent yet -> the one that its agent has to answer first (commands.turns.inorder)."""

    def fill(self) -> None:
        """More may be in flight than before: those who wait are called, as far as there is room."""
        self._places.fill_all()

    def outstanding(self, ask: str) -> Outstanding | None:
        return self._by_ask.get(ask)

    def loads(self) -> Iterator[tuple[int, int, int]]:
        """(agent, commands in flight to it, roots that wait for a place among those) of each agent that is asked for something."""
        return self._places.loads()

    def count(self, state_of: Callable[[int], str]) -> Counter[tuple[str, str]]:
        """(asked, silent or answered; the agent's state) -> how many commands are outstanding."""
        return Counter(
            ("answered" if each.answered else "silent" if each.silent else "asked", HANDLER if each.handler else state_of(each.agent))
            for each in self._by_ask.values()
        )

    def ready(self, root: str, world: World) -> list[Waiting]:
        """Forgets the root's commands that are answered or given up. -> those to be sent now; others wait until there is room."""
        mine = (each for each in world.resources.values() if each.root == root)
        found, behind = in_order(world, mine)
        waiting = {each[2].id: each for each in found}
        self._note_order(root, behind)
        for ask in self._by_root.get(root, set()) - set(waiting):
            self.forget(ask)
        agents = self._places.came(root)
        found = [each for ask, each in waiting.items() if ask not in self._by_ask and self._has_place(root, each)]
        for agent in agents:
            self._places.fill(agent)
        return found

    def _note_order(self, root: str, behind: dict[str, str]) -> None:
        """Who waits behind a command wants to know of its silence, also where its own process is closed."""
        for first in set(behind.values()) - set(self._behind.get(root, {}).values()):
            if (each := self._by_ask.get(first)) is not None:
                each.silent, each.waited = False, 0.0
        if behind:
            self._behind[root] = behind
        else:
            self._behind.pop(root, None)

    def _has_place(self, root: str, waiting: Waiting) -> bool:
        _, bracket, asked = waiting
        if bracket is None or bracket.parked is not None or asked.handler or root.startswith(AGENTS):
            return True
        if self._places.take(asked.agent, asked.id):
            return True
        if self._places.wait(asked.agent, asked.epoch, root):
            log.info("Commands to an agent wait for those in flight", action="throttled", agent=asked.agent, in_flight=self._most())
        return False

    def rest(self, agent: int, since: int, root: str) -> None:
        """The root waits for nothing but this agent's answer, for what it asked at position `since`: it is called when there is room."""
        self._places.call_again(agent, root)
        self._places.wait(agent, since, root)
        self._places.fill(agent)

    def rests(self, root: str) -> bool:
        """Whether it waits for a place, and nothing of it is under way."""
        return self._places.waits(root) and root not in self._by_root

    def is_asking(self, root: str) -> bool:
        """Whether something of it is under way, and will be asked for until it is answered."""
        return any(not self._by_ask[ask].answered for ask in self._by_root.get(root, ()))

    def send(self, root: str, world: World, waiting: Waiting) -> None:
        """Sends a command that is `ready`, for the first time in this server's life."""
        stream, bracket, asked = waiting
        if asked.id in self._by_ask:
            return
        resource = world.resources[stream]
        if bracket is not None and asked.handler:
            self._ask_handler(root, world, resource, bracket, asked)
            return
        step = _step(world.catalogue, resource.type, bracket, asked.command)
        if asked.aside:
            about = _About(asked.aside, asked.ties)
        else:
            first = asked.id in self._behind.get(root, {}).values()
            silent = (bracket is None and not first) or (bracket is not None and bracket.parked is not None)
            process, ties = (bracket.origin, bracket.ties) if bracket else (None, asked.ties)
            about = _About(process, ties, silent, undoes=bracket is None)
        self._send(root, world, stream, step, asked, about)

    def _send(self, root: str, world: World, stream: str, step: Ask, asked: Asked, about: _About) -> None:
        resource = world.resources[stream]
        reply = reply_subject(partition_of(root), asked.agent, asked.id)
        prefix = world.catalogue.type(resource.type).prefix
        message = Message(
            id=asked.id,
            name=asked.command,
            replyTo=reply,
            resourceType=resource.type,
            resourceId=f"{prefix}{resource.id}",
            data=step.payload(world, resource),
            publisher="corral",
            timeoutMillis=int(MOST_RESEND * 1000),
            context={
                "epoch": asked.epoch, "cloud": cloud_of(world.fleet), "stream": stream, **about.ties.context(asked.id, about.process),
            },
        )
        subject = command_subject(asked.agent, asked.command)
        outstanding = Outstanding(
            root, stream, asked.command, asked.agent, asked.id, asked.epoch, subject, reply, message.encode(), step.seconds,
            silent=about.silent, undoes=about.undoes, ties=about.ties,
        )
        if not knows_epochs(world.fleet.get("agent", asked.agent)):
            outstanding.at_leisure = True
            outstanding.until_resend = outstanding.delay = MOST_RESEND
        if is_delegated(world.fleet, asked.agent):
            outstanding.subject, outstanding.delegated = "", Delegated(world, asked.agent, message)
        self._begin(outstanding)

    def _ask_handler(self, root: str, world: World, resource: Resource, bracket: Open, asked: Asked) -> None:
        """An external handler is given its whole timeout before it is asked again: it need not know that it was asked before."""
        reply = handler_reply_subject(partition_of(root), asked.command, asked.id)
        message = handlers.event(world, resource, bracket, asked, reply)
        handler = world.fleet.get(handlers.HANDLER, asked.handler)
        timeout = handlers.timeout_of(handler)
        outstanding = Outstanding(
            root, resource.stream, asked.command, 0, asked.id, asked.epoch, handler_subject(asked.command), reply, message.encode(),
            timeout * handlers.attempts_of(handler), until_resend=timeout, delay=timeout, silent=bracket.parked is not None,
            handler=asked.handler, at_leisure=True, ties=bracket.ties,
        )
        self._begin(outstanding)

    def _begin(self, each: Outstanding) -> None:
        each.since = asyncio.get_running_loop().time()
        self._counts.asked(each.command)
        log.info(
            f"{each.command} is asked", action="asked", command=each.command, ask=each.ask, stream=each.stream, root=each.root,
            correlation=each.ties.correlation, **({"handler": each.handler} if each.handler else {"agent": each.agent}),
        )  # fmt: skip
        self._by_ask[each.ask] = each
        self._by_root.setdefault(each.root, set()).add(each.ask)
        self._publish(each)

    def answered(self, each: Outstanding) -> None:
        """Its answer came; it is outstanding until that is in the log."""
        if not each.answered:
            self._counts.answered(each.command, asyncio.get_running_loop().time() - each.since)
        each.answered = True
        self._places.leave(each.ask)

    def unheard(self, ask: str) -> None:
        """NATS says that nobody listens: as nobody is at work on it, it is sent again soon, and at once when its agent shows itself."""
        each = self._by_ask.get(ask)
        if each is None:
            return
        each.missed = True
        if each.at_leisure:
            each.until_resend = min(each.until_resend, each.unheard)
            each.unheard = min(MOST_RESEND, each.unheard * 2)

    def waiting_in_vain(self, in_force: set[tuple[str, int]]) -> set[str]:
        """Roots that wait for external handlers other than these (event, handler)."""
        return {each.root for each in self._by_ask.values() if each.handler and (each.command, each.handler) not in in_force}

    def nudge(self, agent: int) -> None:
        """The agent shows itself: what it has not answered is sent again at once, unless it may have come just now."""
        for each in self._by_ask.values():
            if agent in (each.agent, each.through) and not each.answered and (each.missed or each.waited >= FIRST_RESEND):
                each.until_resend = 0.0

    def hurry(self, root: str) -> None:
        """An operator wants it tried again: what is unanswered is sent at once, and its time begins anew."""
        for ask in self._by_root.get(root, ()):
            each = self._by_ask[ask]
            each.until_resend, each.waited, each.silent = 0.0, 0.0, False

    def hurry_all(self) -> None:
        """Everything that is unanswered is sent again at once; its time goes on."""
        for each in self._by_ask.values():
            each.until_resend = 0.0

    def roots_asking(self, agent: int) -> set[str]:
        """The roots that wait for an answer of an agent, or through it."""
        under_way = {each.root for each in self._by_ask.values() if agent in (each.agent, each.through)}
        return under_way | self._places.waiting_for(agent)

    def revive(self, root: str) -> None:
        """The root's turn could not be taken: its answers are asked for again, and its places are for others."""
        for agent in self._places.came(root):
            self._places.fill(agent)
        for ask in self._by_root.get(root, ()):
            each = self._by_ask[ask]
            each.answered = each.silent = False
            each.until_resend = min(each.until_resend, FIRST_RESEND)

    def forget_partition(self, number: int) -> None:
        for ask in [each.ask for each in self._by_ask.values() if partition_of(each.root) == number]:
            self.forget(ask)
        self._places.forget(lambda root: partition_of(root) == number)
        self._behind = {root: behind for root, behind in self._behind.items() if partition_of(root) != number}

    async def run(self) -> None:
        """Sends again what is due, and reports silence. Time without NATS or a lease counts for nothing."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        self._connections = self._bus.connections
        while True:
            await asyncio.sleep(TICK)
            now = loop.time()
            elapsed, last = min(now - last, 2 * TICK), now
            if not self._bus.connected or not self._sure():
                continue
            if self._bus.connections != self._connections:
                self._connections = self._bus.connections
                for each in self._by_ask.values():  # what was said meanwhile was heard by nobody, on either way
                    each.until_resend = each.until_resend if each.at_leisure else 0.0
            for each in list(self._by_ask.values()):
                self._tick(each, elapsed)
            self._resends.tell(now)

    def _tick(self, each: Outstanding, elapsed: float) -> None:
        if each.answered:
            return
        each.waited += elapsed
        each.until_resend -= elapsed
        if not each.subject:
            self._publish(each)
        if each.until_resend <= 0:
            each.delay = each.delay if each.at_leisure else min(MOST_RESEND, each.delay * 2)
            each.until_resend = each.delay
            self._counts.asked(each.command, again=True)
            self._resends.count((each.agent, each.handler), each.ask, each.subject, each.stream, each.ties.correlation)
            self._publish(each)
        if each.waited >= each.until_told(self._patience()) and not each.silent:
            each.silent = True
            each.delay = max(each.delay, MOST_RESEND)
            self._places.leave(each.ask)  # one that hangs keeps nothing else waiting
            self._on_silence(each.root, each.ask)

    def _publish(self, each: Outstanding) -> None:
        if each.delegated is not None:
            found = each.delegated.through()
            if found is None:
                return
            each.through, message = found
            each.reply = reply_subject(partition_of(each.root), each.through, each.ask)
            each.subject = command_subject(each.through, message.name)
            each.payload = replace(message, replyTo=each.reply).encode()
        each.missed = False
        reach_all("before", "publish", [each.command])
        trace = each.ties.hop(each.ask)
        headers = trace.headers() if trace is not None else None
        task = asyncio.ensure_future(self._bus.publish(each.subject, each.payload, each.reply, headers))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        task.add_done_callback(lambda _: reach_all("after", "publish", [each.command]))

    def forget(self, ask: str) -> None:
        """It is answered, or given up, or can't be sent."""
        each = self._by_ask.pop(ask, None)
        if each is not None:
            asks = self._by_root.get(each.root, set())
            asks.discard(ask)
            if not asks:
                self._by_root.pop(each.root, None)
        self._places.leave(ask)


def _step(catalogue: Catalogue, type_name: str, bracket: Open | None, command: str) -> Ask:
    if bracket is None:
        found = catalogue.asks(type_name, command)
        assert found is not None, f"no process of {type_name} asks {command}"
        return found[1]
    steps = catalogue.process(bracket.process).steps
    return next(step for step in steps if isinstance(step, Ask) and step.command == command)

"""A cloud in memory without a store, NATS or clock: commands and turns over a plain list of events, agents that answer as told.

Everything that decides is pure, so a whole orchestration runs in a test in milliseconds, the same way every time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar

from commands import events
from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.catalogue import Catalogue
from commands.resource import Json, Resource, empty, evolve, fold, fold_all
from commands.settings.settings import DEFAULTS
from commands.turns.decide import Command, decide
from commands.turns.fleet import Fleet
from commands.turns.turn import Answer, Triggers, Turn
from commands.turns.unanswered import asked_of
from eventstore import Recorded, Write
from eventstore.types import Appended

START = datetime(2026, 1, 1, tzinfo=UTC)

Agent = Callable[["Ask"], Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """A command that was requested and not answered."""

    root: str
    stream: str
    command: str
    id: str
    agent: int
    epoch: int


@dataclass
class Story:
    """The log, and what follows from it."""

    log: list[Recorded] = field(default_factory=list)
    now: datetime = START
    a_second: ClassVar[timedelta] = timedelta(seconds=1)
    settings: dict[str, Any] = field(default_factory=lambda: dict(DEFAULTS))
    catalogue: Catalogue = CATALOGUE
    last_resort: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self._numbers: dict[str, itertools.count[int]] = {}
        self._uuids = itertools.count(1)
        self.fleet = Fleet()
        self.waits: dict[str, set[str]] = {}
        self.appends = 0

    # --- what a test says ---

    def create(self, type_name: str, **row: Any) -> Resource:
        """A command: POST of a type, then every turn that follows without an answer."""
        stream = self.request(type_name, **row)
        self.settle()
        return self.resource(stream)

    def request(self, type_name: str, **row: Any) -> str:
        """The same command, which no engine has seen yet. -> the stream."""
        turn = self.turn("", {})
        made = turn.create(type_name, row, kind=row.pop("kind", None) or type_name, run=False)
        self._append(turn)
        return made.stream

    def command(self, stream: str, what: Command) -> Resource:
        resource = self.resource(stream)
        turn = self.turn(resource.root, {stream: resource})
        kind = resource.kind if resource.kind in self.catalogue.types else resource.type
        decide(what, turn, kind, resource)
        if any(events.wakes(event.type, event.data) for event in self._append(turn)):
            self.take_turn(resource.root)
        self.settle()
        return self.resource(stream)

    def answer(self, ask: Ask, data: Json | None = None, error: str | None = None, passes: bool = False) -> None:
        self.take_turn(ask.root, Triggers(answers=(Answer(ask.id, ask.command, data or {}, error, passes=passes),)))
        self.settle()

    def answer_all(self, agent: Agent | None = None, limit: int = 200) -> list[str]:
        """Answers what is asked until nothing is; -> the commands in the order in which they were answered."""
        answered: list[str] = []
        while asks := self.asks():
            ask = asks[0]
            answered.append(ask.command)
            assert len(answered) < limit, f"the agents are asked for ever: {answered[-6:]}"
            reply = agent(ask) if agent else {}
            if isinstance(reply, str):
                self.answer(ask, error=reply)
            else:
                self.answer(ask, reply or {})
        return answered

    def pass_time(self, seconds: float) -> None:
        """The clock goes on, and every root takes a turn."""
        self.now += timedelta(seconds=seconds)
        for root in sorted({each.root for each in self.resources().values()}):
            self.take_turn(root)
        self.settle()

    # --- what a test looks at ---

    def resources(self) -> dict[str, Resource]:
        return fold_all(self.log)

    def resource(self, stream: str) -> Resource:
        return fold(stream, [event for event in self.log if event.stream == stream])

    def only(self, type_name: str) -> Resource:
        [found] = [each for each in self.resources().values() if each.type == type_name]
        return found

    def types(self, stream: str) -> list[str]:
        return [event.type for event in self.log if event.stream == stream]

    def asks(self) -> list[Ask]:
        return [ask for ask, aside in self._unanswered() if not aside]

    def asked_aside(self) -> list[Ask]:
        """What is asked and no process waits for."""
        return [ask for ask, aside in self._unanswered() if aside]

    def _unanswered(self) -> list[tuple[Ask, bool]]:
        return [
            (Ask(each.root, stream, asked.command, asked.id, asked.agent, asked.epoch), bool(asked.aside))
            for each in self.resources().values()
            for stream, _, asked in asked_of(each)
        ]

    def claims(self) -> dict[tuple[str, str], str]:
        """(scope, item) -> who holds it, exclusive and counted ones. Fails where an event claims what another stream has."""
        held: dict[tuple[str, str], str] = {}
        for event in self.log:
            for release in event.releases:
                if held.get((release.scope, release.item)) == event.stream:
                    del held[release.scope, release.item]
            for claim in event.claims:
                holder = held.setdefault((claim.scope, claim.item), event.stream)
                assert holder == event.stream, f"{event.id} claims {claim}, which is {holder}'s"
        return held

    def asides(self) -> list[Json]:
        """What was asked without waiting for it."""
        return [event.data for event in self.log if event.type == events.STEP_REQUESTED and "aside" in event.data]

    # --- how it runs ---

    def settle(self) -> None:
        """Every root with something open takes turns until none adds anything: order and repetition must not matter."""
        for _ in range(100):
            before = len(self.log)
            for root in sorted({each.root for each in self.resources().values() if each.open}):
                self.take_turn(root)
            if len(self.log) == before:
                return
        raise AssertionError(f"the turns never end: {[event.type for event in self.log[-8:]]}")

    def take_turn(self, root: str, triggers: Triggers = Triggers()) -> None:
        turn = self.turn(root, {each.stream: each for each in self.resources().values() if each.root == root}, triggers)
        turn.run()
        for stream in turn.waits_for:
            self.waits.setdefault(stream, set()).add(root)
        for event in self._append(turn):
            if event.type == events.PROCESS_FAILED and event.stream in self.waits:
                for waiter in self.waits.pop(event.stream):
                    self.take_turn(waiter, Triggers(failed={event.stream: event.data["error"]}))

    def turn(self, root: str, resources: dict[str, Resource], triggers: Triggers = Triggers()) -> Turn:
        return Turn(
            self.catalogue, resources, self.fleet, root=root, now=self.now, new_id=self._new_id, ids=self._next_number,
            secret=lambda count: bytes(range(count)), settings=self.settings, triggers=triggers, correlation="a story",
            last_resort=self.last_resort,
            others=lambda other: {each.stream: each for each in self.resources().values() if each.root == other},
        )

    def _append(self, turn: Turn) -> list[Recorded]:
        writes: list[Write] = turn.writes()
        count = sum(len(write.events) for write in writes)
        if not count:
            return []
        self.appends += 1
        first = len(self.log) + 1
        recorded = Appended(first, first + count - 1, self.now).recorded(writes)
        for write in writes:
            assert write.expected == self.resource(write.stream).version, f"{write.stream} was decided on an old version"
        for event in recorded:
            unknown = event.data.keys() - events.KEYS[event.type] - {"changes"}
            assert not unknown, f"{event.type} holds {sorted(unknown)}: see `An event's form` in docs/adding.md"
        self.log += recorded
        self.fleet.apply(recorded)
        return recorded

    def _new_id(self) -> str:
        return f"id-{next(self._uuids)}"

    def _next_number(self, category: str) -> int:
        return next(self._numbers.setdefault(category, itertools.count(1)))


AnyStory = TypeVar("AnyStory", bound=Story)


def sim_inventory(hosts: int = 1, kind: str = "sim") -> Json:
    """What a ping of an agent with some hosts answers."""
    resources: list[Json] = []
    for number in range(1, hosts + 1):
        resources.append({"type": "storagePool", "uuid": f"pool-{number}", "kind": kind, "hostUuid": f"host-{number}"})
        resources.append({"type": "host", "uuid": f"host-{number}", "kind": kind, "physicalHostUuid": "physical"})
    return {"options": {}, "resources": [*resources, {"type": "physicalHost", "uuid": "physical", "kind": kind}]}


def a_cloud(hosts: int = 1, slots: int | None = None, catalogue: Catalogue = CATALOGUE) -> Story:
    """A story with an account, an image, and an agent whose ping was answered with some simulated hosts."""
    story = furnished(Story(catalogue=catalogue), hosts)
    if slots is not None:
        from commands.turns.decide import Update

        for host in [each for each in story.resources().values() if each.type == "host"]:
            story.command(host.stream, Update({"computeFree": slots}))
    return story


def furnished(story: AnyStory, hosts: int = 1) -> AnyStory:
    """With all of that in it."""
    story.create("account", uuid="admin", name="admin", kind="admin")
    story.create("image", uuid="sim:busybox", format="sim", isPublic=True, accountId=1, kind="sim")
    story.create("agent", uri="sim://", uuid="agent", managedConfig=False, name="sim")
    story.answer_all(lambda ask: sim_inventory(hosts))
    return story


__all__ = ["START", "Ask", "Story", "a_cloud", "empty", "evolve", "furnished", "sim_inventory"]

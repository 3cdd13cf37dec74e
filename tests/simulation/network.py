"""NATS as a simulation has it: messages get lost, come twice, late and out of order; the server goes away and takes what was on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client

from agents import wire
from agents.wire import HandlerAnswer, Message, Presence
from commands.sending.bus import Bus
from tests.simulation.loop import Process, current_process, inside
from tests.simulation.weather import Weather


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a subscriber's callback gets."""

    subject: str
    reply: str
    data: bytes


@dataclass(eq=False)
class Subscription:
    network: Network
    pattern: str
    deliver: Callable[[Delivery], Coroutine[Any, Any, None] | None]
    process: Process

    async def unsubscribe(self) -> None:
        self.network.forget(self)


class Network:
    """One NATS server, as everybody sees it."""

    def __init__(self, weather: Weather, overheard: Callable[[str, bytes], None] = lambda subject, payload: None) -> None:
        """`overheard`: told of everything that anybody publishes."""
        self.weather, self.overheard = weather, overheard
        self.up = True
        self.life = 0
        """How often it was away so far."""
        self._subscriptions: list[Subscription] = []
        self._cut: set[str] = set()

    def reaches(self, process: Process) -> bool:
        return self.up and process.name not in self._cut

    def cut_off(self, process: Process) -> None:
        self._cut.add(process.name)

    def heal(self) -> None:
        if self._cut:
            self.life += 1
        self.up = True
        self._cut.clear()

    def go_down(self) -> None:
        self.up = False
        self.life += 1

    def subscribe(self, pattern: str, deliver: Callable[[Delivery], Coroutine[Any, Any, None] | None]) -> Subscription:
        subscription = Subscription(self, pattern, deliver, current_process())
        self._subscriptions.append(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        """From the process that is at work; never raises."""
        if not self.reaches(current_process()):
            return
        self.overheard(subject, payload)
        loop = asyncio.get_running_loop()
        for each in self._subscriptions:
            if each.process.alive and matches(each.pattern, subject) and not self.weather.strikes(self.weather.loss):
                for _ in range(2 if self.weather.strikes(self.weather.doubling) else 1):
                    with inside(each.process):
                        loop.call_later(self.weather.message_delay(), self._arrive, each, Delivery(subject, reply, payload), self.life)

    def _arrive(self, to: Subscription, what: Delivery, life: int) -> None:
        if life != self.life or not self.reaches(to.process) or to not in self._subscriptions:
            return
        if (coroutine := to.deliver(what)) is not None:
            asyncio.get_running_loop().create_task(coroutine).add_done_callback(lambda done: done.cancelled() or done.exception())


def matches(pattern: str, subject: str) -> bool:
    """Only the forms in use: `a.b.>`, `a.b.*` and plain names."""
    if pattern.endswith(".>"):
        return subject.startswith(pattern[:-1])
    if pattern.endswith(".*"):
        return subject.startswith(pattern[:-1]) and "." not in subject[len(pattern) - 1 :]
    return pattern == subject


class SimulatedBus(Bus):
    """The engine's end, with the public face of commands.sending.bus."""

    def __init__(self, network: Network, process: Process) -> None:
        self.url = "simulated"
        self.on_reply = lambda message, subject: None
        self.awaited = {}
        self.on_presence = lambda presence: None
        self._network, self._process = network, process
        self._listening: dict[int, Subscription] = {}

    @property
    def connected(self) -> bool:
        return self._network.reaches(self._process)

    @property
    def connections(self) -> int:
        return self._network.life + 1

    async def start(self) -> None:
        self._network.subscribe(wire.ALL_PRESENCE, self._heard_presence)

    async def listen(self, partition: int) -> None:
        if partition not in self._listening:
            self._listening[partition] = self._network.subscribe(wire.replies(partition), self._heard_reply)

    def ignore(self, partition: int) -> None:
        if (subscription := self._listening.pop(partition, None)) is not None:
            self._network.forget(subscription)

    async def publish(self, subject: str, payload: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        self._network.publish(subject, payload, reply)

    async def close(self) -> None:
        for partition in list(self._listening):
            self.ignore(partition)

    def _heard_reply(self, delivery: Delivery) -> None:
        of_handler = delivery.subject.split(".")[3].startswith(wire.HANDLERS_REPLIES)
        answer = HandlerAnswer.decode(delivery.data) if of_handler else Message.decode(delivery.data)
        self._hand_on(answer, delivery.subject)

    def _heard_presence(self, delivery: Delivery) -> None:
        self.on_presence(Presence.decode(delivery.data))


class SimulatedClient(Client):
    """What agents/process/agent.py uses of a connection of NATS' client."""

    def __init__(self, network: Network, process: Process) -> None:
        self._network, self._process = network, process
        self.stats = {"reconnects": 0}

    @property
    def is_connected(self) -> bool:
        return self._network.reaches(self._process)

    @property
    def is_closed(self) -> bool:
        return False

    @property
    def max_payload(self) -> int:
        return 1 << 20

    async def publish(self, subject: str, payload: bytes = b"", reply: str = "", headers: Any = None) -> None:
        self._network.publish(subject, payload, reply)

    async def subscribe(self, subject: str, queue: str = "", cb: Any = None, **_: Any) -> Any:  # type: ignore[override]
        return self._network.subscribe(subject, cb)

    async def flush(self, timeout: int = 10) -> None:
        await asyncio.sleep(0)
        if not self.is_connected:
            raise ConnectionError("NATS is away")

    async def close(self) -> None:
        """The process ends: nobody hears it."""

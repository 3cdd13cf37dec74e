"""From NATS and the log to whom it may concern, each once: one subscription to NATS a subject, whatever the number of subscribers.

    NATS --subject--> Index of that subject --name--> subscribers --view--> a line, written once for all who see it alike

With NATS away all stay subscribed, and go on hearing when it is there again.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from nats.aio.msg import Msg

from agents.wire import HANDLERS_REPLIES
from commands.catalogue.ids import number_of
from commands.errors import Refused
from commands.sending.connection import Connection
from gateway.bus import names
from gateway.bus.index import Index
from gateway.bus.subscriber import Json, Subscriber, View, encoded, event

log = structlog.get_logger("corral.subscriptions")

PING_MILLIS = "api.sub.ping.interval.millis"
MOST_PINGS = 8640
"""Of a subscription: half a day of them, then its client subscribes anew."""

MOST_SUBSCRIBERS = 20_000
HEARD_SECONDS = 2.0
"""For NATS to know of a new subscription, before its client is told that it hears."""

TICK = 0.25

Look = Callable[[View], Json | None]
"""An event's data as this one may see it."""


class TooManySubscribers(Refused):
    def __init__(self) -> None:
        super().__init__("Service Unavailable", f"{MOST_SUBSCRIBERS} subscribe already: subscribe to another server", status=503)


@dataclass(order=True, slots=True)
class _Due:
    at: float
    order: int
    who: Subscriber


class Hub:
    """Of one server. `run` as a task; it starts and closes the connection to NATS."""

    def __init__(self, nats: Connection, settings: Mapping[str, Any]) -> None:
        self.nats = nats
        self._settings = settings
        self._indexes: dict[str, Index[Subscriber]] = {}
        """NATS subject -> who wants what of it. PUBLISHED and CHANGES are every subscriber's."""
        self._subscribers: set[Subscriber] = set()
        self.agents: set[int] = set()
        """Those whose own events somebody here wants."""
        self._stopped: str | None = None
        self._pings: list[_Due] = []
        self._order = itertools.count()
        self.dropped = 0
        """Subscribers that read too slowly."""
        self._watchers: set[Subscriber] = set()
        self.watched = asyncio.Event()
        """Set while somebody wants to hear of changes."""
        self.following = asyncio.Event()
        """Set while whoever tells of them (gateway.bus.changes) misses none."""

    def __len__(self) -> int:
        return len(self._subscribers)

    async def run(self) -> None:
        """Until it is cancelled; then all subscriptions end."""
        await self.nats.listen(names.ALL_PUBLISHED, self._on_published)
        await self.nats.start()
        try:
            while True:
                await asyncio.sleep(TICK)
                self._ping_who_is_due()
        finally:
            self.stop()
            await self.nats.close()

    def stop(self) -> None:
        """Ends all, now and from now on."""
        self._stopped = "the server stops: subscribe again"
        for each in list(self._subscribers):
            each.end(self._stopped)

    def end_watchers(self, reason: str) -> None:
        """Of those who want to hear of changes."""
        for each in list(self._watchers):
            each.end(reason)

    # --- subscribers ---

    async def add(self, subscriber: Subscriber) -> None:
        """It hears from when this returns. Its first event, a ping, waits for it. Raises TooManySubscribers."""
        if len(self._subscribers) >= MOST_SUBSCRIBERS:
            raise TooManySubscribers
        subscriber.on_end = self.remove
        subscriber.subjects = names.narrowed(frozenset().union(*map(names.subjects, subscriber.names)))
        subscriber.put(_transport_ping())
        self._subscribers.add(subscriber)
        fresh = [subject for subject in subscriber.subjects if subject not in self._indexes]
        for subject in (*subscriber.subjects, names.ALL_PUBLISHED):
            self._indexes.setdefault(subject, Index()).add(subscriber.names, subscriber)
            if (agent := names.agent_of(subject)) is not None:
                self.agents.add(agent)
        self._expect_ping(subscriber)
        if any(names.may_be(wanted, change) for wanted in subscriber.names for change in names.CHANGES):
            self._watchers.add(subscriber)
            self.watched.set()
        if self._stopped is not None:
            subscriber.end(self._stopped)
            return
        for subject in fresh:
            await self.nats.listen(subject, self._heard_on(subject))
        if subscriber.subjects:
            await self.nats.reach(HEARD_SECONDS)
        if subscriber in self._watchers:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARD_SECONDS):
                    await self.following.wait()
        for subject in fresh:
            if subject not in self._indexes:  # who wanted it is gone again
                self.nats.ignore(subject)

    def remove(self, subscriber: Subscriber) -> None:
        """It hears nothing more."""
        if subscriber not in self._subscribers:
            return
        self._subscribers.discard(subscriber)
        self._watchers.discard(subscriber)
        if not self._watchers:
            self.watched.clear()
        for subject in (*subscriber.subjects, names.ALL_PUBLISHED):
            index = self._indexes.get(subject)
            if index is None:
                continue
            index.remove(subscriber.names, subscriber)
            if not index:
                del self._indexes[subject]
                self.agents.discard(names.agent_of(subject) or 0)
                if subject != names.ALL_PUBLISHED:
                    self.nats.ignore(subject)
        if subscriber.too_slow:
            self.dropped += 1
            log.warning("A subscriber is dropped", action="subscriber-dropped", reason=subscriber.ended, names=subscriber.names[:10])

    def listeners(self, name: str, subject: str) -> list[Subscriber]:
        """Who wants this name of what comes on a subject."""
        index = self._indexes.get(subject)
        return index.find(name) if index is not None else []

    # --- events ---

    def tell(self, name: str, document: Json, *, subject: str = names.ALL_PUBLISHED, look: Look | None = None) -> None:
        """Those who want an event of this name get it: as it is, or with its data as each may see it."""
        wanting = self.listeners(name, subject)
        if not wanting:
            return
        lines: dict[object, bytes] = {}
        for each in wanting:
            view = each.view
            alike = view if look is not None else (view.stripped, view.plain_ids)
            if (line := lines.get(alike)) is None:
                line = lines[alike] = _line(name, document, view, look)
            each.put(line)

    async def publish(self, document: Json) -> None:
        """An event of anybody's, to the subscribers of every server."""
        self.tell(document["name"], document)
        await self.nats.publish(names.published_subject(document["name"]), encoded(document))

    def told_reply(self, document: Json) -> None:
        """An answer, for those who watch answers: under the name of what it answers."""
        asked = (document.get("previousNames") or [None])[0]
        if isinstance(asked, str):
            name = names.plain(asked) + names.DONE
            self.tell(name, {**document, "name": name, "replyTo": None}, subject=names.ALL_REPLIES)

    def _heard_on(self, subject: str) -> Callable[[Msg], Any]:
        async def heard(message: Msg) -> None:
            if (document := _read(message)) is None:
                return
            if subject == names.ALL_REPLIES:
                if HANDLERS_REPLIES not in message.subject:
                    self.told_reply(document)
                return
            if message.subject.startswith("corral.agent."):
                name = names.agents_event(message.subject)
            else:
                name = str(document.get("name"))
            self.tell(name, _for_http(document), subject=subject)

        return heard

    async def _on_published(self, message: Msg) -> None:
        document = _read(message)
        if document is not None and isinstance(document.get("name"), str):
            self.tell(document["name"], document)

    # --- pings ---

    def _expect_ping(self, subscriber: Subscriber) -> None:
        at = asyncio.get_running_loop().time() + self._settings[PING_MILLIS] / 1000
        heapq.heappush(self._pings, _Due(at, next(self._order), subscriber))

    def _ping_who_is_due(self) -> None:
        """One ping for all whose time it is."""
        now = asyncio.get_running_loop().time()
        ping = _transport_ping() if self._pings and self._pings[0].at <= now else b""
        while self._pings and self._pings[0].at <= now:
            subscriber = heapq.heappop(self._pings).who
            if subscriber not in self._subscribers:
                continue
            subscriber.pings += 1
            if subscriber.pings >= MOST_PINGS:
                subscriber.end("a subscription lasts for half a day: subscribe again")
                continue
            subscriber.put(ping)
            self._expect_ping(subscriber)


def _transport_ping() -> bytes:
    """It shows that the connection lives. Nobody answers it: it has no replyTo."""
    return encoded(event("ping", data={"options": {}}))


def _read(message: Msg) -> Json | None:
    if (message.headers or {}).get("Status"):
        return None
    try:
        document = orjson.loads(message.data)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        log.warning("A message on NATS is no event", action="event-malformed", subject=message.subject)
        return None
    return document


def _for_http(document: Json) -> Json:
    """With the name under which its answer is published over HTTP."""
    reply = document.get("replyTo")
    if not isinstance(reply, str) or not reply.startswith("corral."):
        return document
    context = document.get("context")
    stream = context.get("stream") if isinstance(context, dict) else None
    return {**document, "replyTo": names.answer_name(reply, stream if isinstance(stream, str) else "")}


def _line(name: str, document: Json, view: View, look: Look | None) -> bytes:
    told = {**document, "name": names.plain(name) if view.stripped else name}
    if view.plain_ids and isinstance(told.get("resourceId"), str):
        number = number_of(told["resourceId"], plain=True)
        told["resourceId"] = told["resourceId"] if number is None else str(number)
    if look is not None:
        told["data"] = look(view)
    return encoded(told)

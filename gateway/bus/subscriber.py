"""One subscriber: what it wants, and what waits until it reads on. Bounded: who does not read is told why it hears no more.

    open --end(reason)--> ended: what waits is read out (or, too slow, dropped), then the reason, as the last event
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.access.caller import Caller

Json = dict[str, Any]

MOST_BYTES = 1024 * 1024
"""What may wait for one subscriber (a single event may have more)."""

ENDED = "subscription.ended"
"""The name of the last event of a subscription that the server ends."""


@dataclass(frozen=True, slots=True)
class View:
    """As whom an event is seen: what may differ between two subscribers that hear the same."""

    stripped: bool
    """Names are told without their qualifier."""
    plain_ids: bool
    caller: Caller
    base: str
    """Under which URL the resources' links stand."""


class Subscriber:
    """`put` never waits; `take` does."""

    def __init__(self, names: tuple[str, ...], view: View, most_bytes: int = MOST_BYTES) -> None:
        self.names, self.view = names, view
        self.subjects: frozenset[str] = frozenset()
        """Where the hub listens for it."""
        self.pings = 0
        self.ended: str | None = None
        """Why; None: it goes on."""
        self.over = asyncio.Event()
        """Set once it has ended."""
        self.too_slow = False
        self.on_end: Callable[[Subscriber], None] = lambda subscriber: None
        self._most_bytes = most_bytes
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._news = asyncio.Event()

    def put(self, line: bytes) -> None:
        """An event for it, as JSON. Too much of what it does not read ends it."""
        if self.ended is not None:
            return
        if self._waiting and self._bytes + len(line) > self._most_bytes:
            waiting = len(self._waiting)
            self._waiting.clear()
            self.too_slow = True
            self.end(f"you read too slowly: {waiting} events ({self._bytes} bytes) waited and are lost. Subscribe again, and read faster")
            return
        self._waiting.append(line)
        self._bytes += len(line)
        self._news.set()

    def end(self, reason: str) -> None:
        if self.ended is None:
            self.ended = reason
            self._waiting.append(last_event(reason))
            self._news.set()
            self.over.set()
            self.on_end(self)

    async def take(self) -> list[bytes]:
        """All that waits, at least one event; nothing: it has ended, and all was taken."""
        while not self._waiting and self.ended is None:
            self._news.clear()
            await self._news.wait()
        taken = list(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        return taken


def last_event(reason: str) -> bytes:
    return encoded(event(ENDED, transitioning="error", transitioningMessage=reason))


def event(name: str, **more: Any) -> Json:
    """An event document of Cattle's form: all its keys are there."""
    return {
        "name": name, "id": str(uuid.uuid4()), "time": int(time.time() * 1000), "replyTo": None, "resourceType": None, "resourceId": None,
        "data": None, "previousIds": None, "previousNames": None, "publisher": None, "transitioning": None, "transitioningMessage": None,
        "transitioningInternalMessage": None, "transitioningProgress": None, "timeoutMillis": None, "context": None, **more,
    }  # fmt: skip


def encoded(document: Json) -> bytes:
    """One line: compact, and text as it is, since scripts read it without knowing backslashes."""
    return orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)

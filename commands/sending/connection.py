"""A connection to NATS that is never given up: what is listened to before NATS is there, or while it is away, is heard once it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

log = structlog.get_logger("corral.bus")

PENDING_BYTES = 64 * 1024 * 1024
"""What a subscription may have waiting before NATS' client drops messages (what matters is asked again)."""
PING_SECONDS = 10
"""NATS pings: a connection whose other end vanished without a word is noticed after two of them."""
FLUSH_SECONDS = 6 * PING_SECONDS
"""Longer than that takes: by then there is another connection, or an answer."""

Heard = Callable[[Msg], Awaitable[None]]


@dataclass(slots=True)
class _Listening:
    heard: Heard
    queue: str = ""
    subscription: Subscription | None = None


def nobody_heard(message: Msg) -> bool:
    """Whether it is NATS' own answer that nobody listens where something was said. A hint at most: any watcher hides it."""
    return (message.headers or {}).get("Status") == "503"


class Connection:
    """`await start()` ... `await close()`. NATS may be away at the start, too."""

    def __init__(self, url: str, name: str, *, echo: bool = True, options: Mapping[str, Any] | None = None) -> None:
        """`url`: one address, or several with commas. `echo`: whether it hears what it says itself. `options`: what else NATS' client
        is to know, as its key and whose certificates it believes."""
        self.url = url
        self._options = options or {}
        self._name, self._echo = name, echo
        self._nats = Client()
        self._listening: dict[str, _Listening] = {}
        self._flushing: set[asyncio.Task[bool]] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._connections = 0
        self._subscribing = False
        self._unsubscribing: set[asyncio.Task[None]] = set()

    @property
    def connected(self) -> bool:
        return self._nats.is_connected

    @property
    def connections(self) -> int:
        """How often it was connected so far: who sees another number knows that messages were lost in between."""
        return self._connections

    async def start(self) -> None:
        """Connects, or goes on trying in the background when NATS does not answer within two seconds."""
        self._connecting = asyncio.create_task(self._connect())
        await asyncio.wait({self._connecting}, timeout=2.0)

    async def listen(self, subject: str, heard: Heard, queue: str = "") -> None:
        """Hears a subject from now on, or as soon as NATS is there. `queue`: each message goes to one of all that name this queue."""
        self._listening.setdefault(subject, _Listening(heard, queue))
        if not self._subscribing:
            return
        try:
            await self._subscribe(subject)
        except Exception as error:  # the connection broke in this moment: all are subscribed to with the next
            log.warning("A subject can't be listened to yet", action="subscribe-failed", subject=subject, error=repr(error))

    def ignore(self, subject: str) -> None:
        """Hears it no more. (What was on its way still comes.)"""
        listening = self._listening.pop(subject, None)
        if listening is not None and listening.subscription is not None and not self._nats.is_closed:
            task = asyncio.create_task(_unsubscribe(listening.subscription))
            self._unsubscribing.add(task)
            task.add_done_callback(self._unsubscribing.discard)

    async def publish(self, subject: str, payload: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """Fire and forget: raises nothing when NATS is away."""
        if not self._nats.is_connected:
            return
        try:
            await self._nats.publish(subject, payload, reply=reply, headers=headers)
        except Exception as error:  # closed or draining between the check and the call; what matters is sent again
            log.warning("A message could not be published", action="publish-failed", subject=subject, error=str(error))

    async def reach(self, seconds: float) -> bool:
        """Waits until NATS has taken all that was said and asked of it. False: it is away, or too slow."""
        if not self._nats.is_connected:
            return False
        flushing = asyncio.create_task(self._flush())  # never cancelled: else the client is deaf once its answer comes after all
        self._flushing.add(flushing)
        flushing.add_done_callback(self._flushing.discard)
        done, _ = await asyncio.wait({flushing}, timeout=seconds)
        return bool(done) and flushing.result()

    async def _flush(self) -> bool:
        """The client writes the ping of a flush ahead of what still waits to be written: only a second one comes behind all of it."""
        try:
            for _ in range(2):
                await self._nats.flush(FLUSH_SECONDS)
        except Exception as error:  # the client raises its own, asyncio's and the system's errors here
            log.debug("NATS does not take what is said", action="flush-failed", error=repr(error))
            return False
        return True

    async def close(self) -> None:
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if not self._nats.is_closed:
            try:
                await asyncio.wait_for(self._nats.close(), 2.0)
            except TimeoutError:
                log.warning("NATS did not close in time", action="nats-close")
        for each in self._flushing:
            each.cancel()

    async def _connect(self) -> None:
        while True:
            try:
                await self._nats.connect(
                    [address.strip() for address in self.url.split(",")],
                    name=self._name, max_reconnect_attempts=-1, reconnect_time_wait=1, connect_timeout=2,
                    ping_interval=PING_SECONDS, max_outstanding_pings=2, error_cb=self._on_error, allow_reconnect=True, flush_timeout=2,
                    reconnected_cb=self._on_reconnect, no_echo=not self._echo, **self._options,
                )  # fmt: skip
                self._subscribing = True  # from here on the client itself renews subscriptions after every reconnect
                await self._subscribe_to_all()
                self._connections += 1
                return
            except Exception as error:  # the client raises its own, asyncio's and the system's errors here
                log.warning("NATS does not answer; it is tried again", action="nats-away", url=self.url, error=str(error))
                await self._start_over()
                await asyncio.sleep(0.5)

    async def _start_over(self) -> None:
        """A connection that never was, or broke before it heard anything."""
        self._subscribing = False
        for listening in self._listening.values():
            listening.subscription = None
        client, self._nats = self._nats, Client()
        try:
            await asyncio.wait_for(client.close(), 2.0)
        except Exception as error:
            log.debug("A broken connection did not close in order", action="nats-close", error=repr(error))

    async def _on_reconnect(self) -> None:
        log.info("NATS is there again", action="nats-back", url=self.url)
        self._connections += 1
        await self._subscribe_to_all()

    async def _subscribe_to_all(self) -> None:
        """The client itself renews those that it had."""
        for subject in list(self._listening):
            await self._subscribe(subject)

    async def _subscribe(self, subject: str) -> None:
        listening = self._listening.get(subject)
        if listening is None or listening.subscription is not None:
            return
        subscription = await self._nats.subscribe(subject, listening.queue, cb=listening.heard, pending_bytes_limit=PENDING_BYTES)
        if self._listening.get(subject) is listening and listening.subscription is None:
            listening.subscription = subscription
        else:  # nobody wants it any more, or it was subscribed to twice at once
            await _unsubscribe(subscription)

    async def _on_error(self, error: Exception) -> None:
        log.warning("NATS reports an error", action="nats-error", error=repr(error))


async def _unsubscribe(subscription: Subscription) -> None:
    try:
        await subscription.unsubscribe()
    except Exception as error:  # the connection went meanwhile, and the subscription with it
        log.debug("A subscription could not be ended", action="unsubscribe", error=str(error))

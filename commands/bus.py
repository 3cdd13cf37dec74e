"""The engine's end of NATS: publishes commands, hears replies and heartbeats. Nothing that matters lives in it.

NATS may be away, at the start too: the connection is tried for ever, and what could not be published is sent again by
the dispatch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from agents import wire
from agents.wire import HANDLERS_REPLIES, HandlerAnswer, Message, Presence

log = structlog.get_logger("corral.bus")

PENDING_BYTES = 64 * 1024 * 1024
"""What a subscription may have waiting before NATS' client drops messages (the dispatch asks again for what was lost)."""


class Bus:
    """One NATS connection. `on_reply(message, command id)`, `on_unheard(command id)` and `on_presence(presence)` are set by their users."""

    def __init__(self, url: str, name: str = "corral engine") -> None:
        self.url = url
        self.on_reply: Callable[[Message, str], None] = lambda message, ask: None
        self.on_unheard: Callable[[str], None] = lambda ask: None
        self.on_presence: Callable[[Presence], None] = lambda presence: None
        self._name = name
        self._nats = Client()
        self._replies: dict[int, Subscription | None] = {}
        self._presence: Subscription | None = None
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

    async def _connect(self) -> None:
        while True:
            try:
                await self._nats.connect(
                    [address.strip() for address in self.url.split(",")],
                    name=self._name, max_reconnect_attempts=-1, reconnect_time_wait=1, connect_timeout=2,
                    ping_interval=10, max_outstanding_pings=2, error_cb=self._on_error, allow_reconnect=True, flush_timeout=2,
                    reconnected_cb=self._on_reconnect,
                )
                self._subscribing = True  # from here on the client itself renews subscriptions after every reconnect
                self._presence = await self._nats.subscribe(wire.ALL_PRESENCE, cb=self._presence_message)
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
        self._replies = dict.fromkeys(self._replies)
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
        for partition in list(self._replies):
            await self._subscribe(partition)

    async def listen(self, partition: int) -> None:
        """Hears the replies of a partition from now on, or as soon as NATS is there."""
        self._replies.setdefault(partition)
        if not self._subscribing:
            return
        try:
            await self._subscribe(partition)
        except Exception as error:  # the connection broke in this moment: all are subscribed to with the next
            log.warning("Replies can't be listened to yet", action="subscribe-failed", partition=partition, error=repr(error))

    def ignore(self, partition: int) -> None:
        """Another engine has the partition now. (Its late messages are dropped by whoever reads them.)"""
        subscription = self._replies.pop(partition, None)
        if subscription is not None and not self._nats.is_closed:
            task = asyncio.create_task(self._unsubscribe(subscription))
            self._unsubscribing.add(task)
            task.add_done_callback(self._unsubscribing.discard)

    async def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        """Fire and forget: raises nothing when NATS is away."""
        if not self._nats.is_connected:
            return
        try:
            await self._nats.publish(subject, payload, reply=reply)
        except Exception as error:  # closed or draining between the check and the call; the dispatch sends again
            log.warning("A message could not be published", action="publish-failed", subject=subject, error=str(error))

    async def close(self) -> None:
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if not self._nats.is_closed:
            try:
                await asyncio.wait_for(self._nats.close(), 2.0)
            except TimeoutError:
                log.warning("NATS did not close in time", action="nats-close")

    async def _subscribe(self, partition: int) -> None:
        if self._replies.get(partition) is None:
            subject = wire.replies(partition)
            subscription = await self._nats.subscribe(subject, cb=self._reply_message, pending_bytes_limit=PENDING_BYTES)
            if partition in self._replies:
                self._replies[partition] = subscription
            else:  # lost while it was subscribed to
                await self._unsubscribe(subscription)

    async def _unsubscribe(self, subscription: Subscription) -> None:
        try:
            await subscription.unsubscribe()
        except Exception as error:  # the connection went meanwhile, and the subscription with it
            log.debug("A subscription could not be ended", action="unsubscribe", error=str(error))

    async def _reply_message(self, message: Msg) -> None:
        ask = message.subject.rpartition(".")[2]
        of_handler = message.subject.split(".")[3].startswith(HANDLERS_REPLIES)
        nobody = (message.headers or {}).get("Status") == "503"
        if nobody or not (message.data or of_handler):  # NATS' own word that nobody listens: a hint at most, since any watcher hides it
            log.debug("Nobody listens for a command", action="no-responders", subject=message.subject)
            self.on_unheard(ask)
            return
        try:
            decoded = HandlerAnswer.decode(message.data) if of_handler else Message.decode(message.data)
        except ValueError as error:
            log.warning("A reply is not a message", action="reply-malformed", subject=message.subject, error=str(error))
            return
        self.on_reply(decoded, ask)

    async def _presence_message(self, message: Msg) -> None:
        try:
            presence = Presence.decode(message.data)
        except ValueError as error:
            log.warning("A heartbeat is malformed", action="presence-malformed", subject=message.subject, error=str(error))
            return
        if message.subject != wire.presence_subject(presence.agent):  # who may publish where is for NATS' permissions to say
            log.warning("A heartbeat in another agent's name", action="presence-foreign", subject=message.subject, agent=presence.agent)
            return
        self.on_presence(presence)

    async def _on_error(self, error: Exception) -> None:
        log.warning("NATS reports an error", action="nats-error", error=repr(error))

"""What an agent says: final answers are kept on disk first, then everything is published, later if NATS is away.

    put -> (final: recorded) -> published and flushed -> gone
                                `-> NATS away: kept, up to MOST, and published when it is back
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog
from nats.aio.client import Client
from nats.errors import MaxPayloadError

from agents.process import failpoints
from agents.process.connection import arrived
from agents.process.ledger import Ledger
from agents.wire import Message

log = structlog.get_logger("corral.agent.outbox")

MOST = 10_000
"""Messages kept while NATS is away. What is dropped beyond is on disk: it is answered again when it is asked for again."""
RETRY_SECONDS = 0.2
BATCH = 256


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One reply on its way."""

    reply: Message
    """`name` is its subject; empty: nobody waits for it."""
    copies: int = 1
    keep: dict[str, bytes] = field(default_factory=dict)
    """Answers to record before anything is sent, by command id."""
    recorded: Callable[[], None] | None = None
    """Called when `keep` is on disk."""


class Outbox:
    """`put` from the loop's thread; `record` and `send` are run as tasks."""

    def __init__(self, ledger: Ledger, connection: Callable[[], Client | None]) -> None:
        self._ledger = ledger
        self._connection = connection
        self._unrecorded: deque[Outgoing] = deque()
        self._unsent: deque[Outgoing] = deque(maxlen=MOST)
        self._to_record = asyncio.Event()
        self._to_send = asyncio.Event()
        self._sending = 0

    @property
    def empty(self) -> bool:
        return not self._unrecorded and not self._unsent and not self._sending

    def put(self, outgoing: Outgoing) -> None:
        if outgoing.keep:
            self._unrecorded.append(outgoing)
            self._to_record.set()
        else:
            self._unsent.append(outgoing)
            self._to_send.set()

    async def record(self) -> None:
        """Puts final answers on disk, all that wait in one commit."""
        while True:
            await self._to_record.wait()
            self._to_record.clear()
            batch = list(self._unrecorded)
            failpoints.reach("before", "answer", _commands(batch))
            try:
                await asyncio.to_thread(self._ledger.answer, {command: reply for each in batch for command, reply in each.keep.items()})
            except Exception as error:  # a full disk, say: the work is done, and saying so is better than doing it again
                log.error("Answers could not be kept on disk; they are sent nevertheless", action="ledger-failed", error=repr(error))
            for each in batch:
                self._unrecorded.popleft()
                if each.recorded is not None:
                    each.recorded()
                self._unsent.append(each)
            failpoints.reach("after", "answer", _commands(batch))
            self._to_send.set()

    async def send(self) -> None:
        """Publishes, and makes sure that NATS has got it. What is sent twice in a bad moment is recognised by its reader."""
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            while self._unsent:
                batch = [self._unsent.popleft() for _ in range(min(BATCH, len(self._unsent)))]
                self._sending = len(batch)
                while not await self._published(batch):  # noqa: ASYNC110 - whether a shared connection is back is nobody's event
                    await asyncio.sleep(RETRY_SECONDS)
                self._sending = 0

    async def _published(self, batch: list[Outgoing]) -> bool:
        client = self._connection()
        if client is None or not client.is_connected:
            return False
        failpoints.reach("before", "reply", _commands(batch))
        try:
            for each in batch:
                for _ in range(each.copies if each.reply.name else 0):
                    await self._publish(client, each.reply)
            await arrived(client)
        except Exception as error:  # lost in this moment: the whole batch again
            log.warning("Answers could not be published; they are kept", action="publish-failed", error=repr(error), answers=len(batch))
            return False
        failpoints.reach("after", "reply", _commands(batch))
        return True

    async def _publish(self, client: Client, reply: Message) -> None:
        payload = reply.encode()
        try:
            await client.publish(reply.name, payload)
        except MaxPayloadError:
            said = f"the answer of {len(payload)} bytes is larger than NATS carries ({client.max_payload}): raise its max_payload"
            log.error("An answer is too large", action="answer-too-large", subject=reply.name, bytes=len(payload))
            short = replace(reply, data={}, transitioning="error", transitioningMessage=said)
            await client.publish(reply.name, short.encode())


def _commands(batch: Sequence[Outgoing]) -> list[str]:
    """What they answer."""
    return [name for each in batch for name in each.reply.previousNames or ()]

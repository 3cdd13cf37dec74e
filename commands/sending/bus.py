"""The engine's end of NATS: publishes commands, hears replies and heartbeats. Nothing that matters lives in it.

NATS may be away, at the start too: the connection is tried for ever, and what could not be published is sent again by
the dispatch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from nats.aio.msg import Msg

from agents import wire
from agents.wire import HANDLERS_REPLIES, HandlerAnswer, Message, Presence
from commands.sending.connection import Connection, nobody_heard

log = structlog.get_logger("corral.bus")


def is_foreign(subject: str, reply: str) -> bool:
    """Whether an answer came elsewhere than its command said: who was not asked gives it. Told in the log."""
    if subject == reply:
        return False
    log.warning("An answer in another's name is dropped", action="reply-foreign", subject=subject, expected=reply)
    return True


class Bus:
    """One NATS connection. `on_reply(message, subject)`, `on_unheard(command id)` and `on_presence(presence)` are set by their users."""

    def __init__(self, url: str, name: str = "corral engine", options: Mapping[str, Any] | None = None) -> None:
        self.on_reply: Callable[[Message, str], None] = lambda message, subject: None
        self.awaited: dict[str, Callable[[Message], None]] = {}
        """Reply subject -> who alone is told of the first answer there, instead of `on_reply`. Whoever puts it here takes it out."""
        self.on_unheard: Callable[[str], None] = lambda ask: None
        self.on_presence: Callable[[Presence], None] = lambda presence: None
        self._connection = Connection(url, name, options=options)

    @property
    def connected(self) -> bool:
        return self._connection.connected

    @property
    def connections(self) -> int:
        """How often it was connected so far: who sees another number knows that messages were lost in between."""
        return self._connection.connections

    async def start(self) -> None:
        """Connects, or goes on trying in the background when NATS does not answer within two seconds."""
        await self._connection.listen(wire.ALL_PRESENCE, self._presence_message)
        await self._connection.start()

    async def listen(self, partition: int) -> None:
        """Hears the replies of a partition from now on, or as soon as NATS is there."""
        await self._connection.listen(wire.replies(partition), self._reply_message)

    def ignore(self, partition: int) -> None:
        """Another engine has the partition now. (Its late messages are dropped by whoever reads them.)"""
        self._connection.ignore(wire.replies(partition))

    async def publish(self, subject: str, payload: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """Fire and forget: raises nothing when NATS is away."""
        await self._connection.publish(subject, payload, reply, headers)

    async def close(self) -> None:
        await self._connection.close()

    async def _reply_message(self, message: Msg) -> None:
        of_handler = message.subject.split(".")[3].startswith(HANDLERS_REPLIES)
        if nobody_heard(message) or not (message.data or of_handler):
            log.debug("Nobody listens for a command", action="no-responders", subject=message.subject)
            self.on_unheard(wire.replied_to(message.subject))
            return
        try:
            decoded = HandlerAnswer.decode(message.data) if of_handler else Message.decode(message.data)
        except ValueError as error:
            log.warning("A reply is not a message", action="reply-malformed", subject=message.subject, error=str(error))
            return
        self._hand_on(decoded, message.subject)

    def _hand_on(self, answer: Message, subject: str) -> None:
        if (told := self.awaited.pop(subject, None)) is not None:
            told(answer)
        else:
            self.on_reply(answer, subject)

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

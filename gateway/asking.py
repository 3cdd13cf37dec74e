"""A question to an agent while somebody waits for the answer to a request: asked once, answered soon or not at all. Nothing is recorded."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import structlog
from nats.aio.msg import Msg

from agents.wire import Message, command_subject, gateway_replies, gateway_reply_subject
from commands.errors import Refused
from commands.sending.connection import Connection
from gateway.live.asking import AgentAway

log = structlog.get_logger("corral.asking")

Json = dict[str, Any]


class AgentRefuses(Refused):
    """The agent's own answer is an error."""

    def __init__(self, message: str) -> None:
        super().__init__("AgentError", message, status=502)


class Asking:
    """Over a gateway's connection to NATS, at a reply subject of its own."""

    def __init__(self, nats: Connection) -> None:
        self._nats = nats
        self._name = uuid.uuid4().hex
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._listens = False

    async def ask(self, agent: int, name: str, data: Json, seconds: float, context: Json) -> Json:
        """The answer's data. `context`: the correlation and the stream that it is about, for the agent's log. Raises AgentAway,
        AgentRefuses."""
        if not self._nats.connected:
            raise AgentAway("NATS is away, over which agents are asked: try again when it is back (it is tried all the time)")
        if not self._listens:
            await self._nats.listen(gateway_replies(self._name), self._heard)
            await self._nats.reach(seconds)
            self._listens = True
        ident = str(uuid.uuid4())
        subject = gateway_reply_subject(self._name, agent, ident)
        answer = self._waiting[subject] = asyncio.get_running_loop().create_future()
        message = Message(
            id=ident, name=name, replyTo=subject, data=data, publisher="corral", timeoutMillis=int(seconds * 1000), context=context
        )
        try:
            await self._nats.publish(command_subject(agent, name), message.encode(), subject)
            async with asyncio.timeout(seconds):
                told = await answer
        except TimeoutError:
            raise AgentAway(f"agent 1a{agent} did not answer {name} within {seconds:.0f} seconds: does it run? (corral hosts)") from None
        finally:
            del self._waiting[subject]
        if told.transitioning == "error":
            raise AgentRefuses(told.transitioningMessage or f"{name} failed")
        return dict(told.data)

    async def _heard(self, message: Msg) -> None:
        answer = self._waiting.get(message.subject)
        if answer is None or answer.done() or not message.data:
            return
        try:
            told = Message.decode(message.data)
        except ValueError as error:
            log.warning("A reply is not a message", action="reply-malformed", subject=message.subject, error=str(error))
            return
        if told.transitioning != "yes":
            answer.set_result(told)

"""What agents are asked and told beside all processes, and is no event: who wants the answer waits a while, and else asks anew."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable

from agents.wire import Message, command_subject, partition_of, reply_subject
from commands.catalogue.catalogue import Catalogue
from commands.catalogue.ids import api_id
from commands.resource import Json, Resource
from commands.sending.bus import Bus

PATIENCE = 30.0
"""Seconds for which an answer is worth something; after that it is asked again anyway."""


def question(catalogue: Catalogue, agent: Resource, name: str, data: Json, seconds: float, context: Json | None = None) -> Message:
    """A command to an agent that none of its processes gives. Its answer goes to the engine that has the agent's partition."""
    ident = str(uuid.uuid4())
    return Message(
        id=ident,
        name=name,
        replyTo=reply_subject(partition_of(agent.stream), agent.id, ident),
        resourceType="agent",
        resourceId=api_id("agent", agent.id, catalogue),
        data=data,
        publisher="corral",
        timeoutMillis=int(seconds * 1000),
        context=context,
    )


class Questions:
    """Somebody's at an engine. `seconds`: for which an answer counts."""

    def __init__(self, bus: Bus, catalogue: Catalogue, seconds: float = PATIENCE) -> None:
        self._bus, self._catalogue, self._seconds = bus, catalogue, seconds
        self._asked: deque[tuple[float, str]] = deque()
        """(until when its answer counts, its subject), in this order."""

    async def ask(self, agent: Resource, name: str, data: Json, told: Callable[[Message], None], context: Json | None = None) -> None:
        """`told`: called with the first answer, if one comes in time."""
        now = asyncio.get_running_loop().time()
        self._forget(now)
        message = question(self._catalogue, agent, name, data, self._seconds, context)
        reply = message.replyTo or ""
        self._asked.append((now + self._seconds, reply))
        self._bus.awaited[reply] = told
        await self._bus.publish(command_subject(agent.id, name), message.encode(), reply)

    def _forget(self, now: float) -> None:
        while self._asked and self._asked[0][0] <= now:
            self._bus.awaited.pop(self._asked.popleft()[1], None)

"""What is asked of an agent beside all processes, and is no event: nobody waits for it, and where no answer comes it is asked anew."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

from agents.wire import Message, command_subject, partition_of, reply_subject
from commands.catalogue.catalogue import Catalogue
from commands.catalogue.ids import api_id
from commands.resource import Json, Resource
from commands.sending.bus import Bus

PATIENCE = 30.0
"""Seconds for which an answer is worth something; after that it is asked again anyway."""


class Questions:
    """Of one engine."""

    def __init__(self, bus: Bus, catalogue: Catalogue) -> None:
        self._bus, self._catalogue = bus, catalogue
        self._asked: dict[str, float] = {}
        """Reply subject -> until when its answer counts."""

    async def ask(self, agent: Resource, name: str, data: Json, told: Callable[[Message], None], context: Json | None = None) -> None:
        """`told`: called with the answer, if one comes in time."""
        now = asyncio.get_running_loop().time()
        self._forget(now)
        ident = str(uuid.uuid4())
        reply = reply_subject(partition_of(agent.stream), agent.id, ident)
        self._asked[reply] = now + PATIENCE
        self._bus.awaited[reply] = told
        message = Message(
            id=ident,
            name=name,
            replyTo=reply,
            resourceType="agent",
            resourceId=api_id("agent", agent.id, self._catalogue),
            data=data,
            publisher="corral",
            timeoutMillis=int(PATIENCE * 1000),
            context=context,
        )
        await self._bus.publish(command_subject(agent.id, name), message.encode(), reply)

    def _forget(self, now: float) -> None:
        for reply in [reply for reply, until in self._asked.items() if until <= now]:
            del self._asked[reply]
            self._bus.awaited.pop(reply, None)

"""Agents that have no NATS have no heartbeat of their own: they are pinged while they subscribe, and their answers are their heartbeats.

    subscribed to ping;agent=7 --every few seconds--> ping, replyTo reply.presence.a7.<id> --publish--> corral.presence.a7

One that stops subscribing, or answers no more, falls silent as any agent does (commands.watching.presence).
"""

from __future__ import annotations

import asyncio
import uuid

from agents.wire import PRESENCE_SECONDS, Presence, presence_subject
from commands.catalogue.catalogue import Catalogue
from commands.catalogue.ids import api_id
from gateway.bus import names
from gateway.bus.hub import Hub
from gateway.bus.names import AnswerName
from gateway.bus.subscriber import Json, event

LOOK = 0.25

TELLS_OF_NO_INSTANCES = "its answers to pings tell of no instances"
"""A bash script's mostly: nothing can be concluded from it."""


class Heartbeats:
    """Of the agents that subscribe here. `run` as a task."""

    def __init__(self, hub: Hub, catalogue: Catalogue, seconds: float = PRESENCE_SECONDS) -> None:
        self._hub, self._catalogue, self._seconds = hub, catalogue, seconds
        self._due: dict[int, float] = {}

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            for agent in self._due.keys() - self._hub.agents:
                del self._due[agent]
            for agent in self._hub.agents:
                if self._due.get(agent, now) <= now:
                    self._ping(agent)
                    self._due[agent] = now + self._seconds
            await asyncio.sleep(LOOK)

    def _ping(self, agent: int) -> None:
        ident = str(uuid.uuid4())
        ping = event(
            f"ping;agent={agent}", id=ident, replyTo=names.heartbeat_name(agent, ident), resourceType="agent",
            resourceId=api_id("agent", agent, self._catalogue),
            data={"resources": [], "options": {"instances": True}}, publisher="corral", timeoutMillis=int(self._seconds * 1000),
        )  # fmt: skip
        self._hub.tell(str(ping["name"]), ping, subject=f"corral.agent.a{agent}.>")


async def heard(hub: Hub, answer: AnswerName, said: Json) -> None:
    """The answer to a ping. One that is an error is no sign of life that could be relied on."""
    if answer.agent is None or said["transitioning"] == "error":
        return
    presence = presence_of(answer.agent, said)
    hub.told_reply({**said, "previousNames": ["ping"]})
    await hub.nats.publish(presence_subject(answer.agent), presence.encode())


def presence_of(agent: int, said: Json) -> Presence:
    """What an answer to a ping tells of the agent: where it echoes the option, of its instances too."""
    data = said["data"] or {}
    options, resources = data.get("options"), data.get("resources")
    told = isinstance(options, dict) and options.get("instances") is True and isinstance(resources, list)
    instances = {
        str(each["uuid"]): str(each.get("state"))
        for each in (resources or () if told else ())
        if isinstance(each, dict) and each.get("type") == "instance" and each.get("uuid")
    }
    return Presence(agent=agent, uuid="", instances=instances, trouble=None if told else TELLS_OF_NO_INSTANCES)

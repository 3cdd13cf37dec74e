"""Heartbeats: what an agent's silence, its return and its farewell lead to."""

from __future__ import annotations

import asyncio

from agents.wire import Presence, presence_subject
from eventstore.memory import MemoryStore
from tests.support.cloud import a_running_cloud


async def test_an_agent_that_says_goodbye_gets_no_instances_until_it_is_back(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url) as cloud:
        [agent] = [each.id for each in cloud.engine.fleet.all("agent")]
        answers = cloud.agent.behave
        await cloud.agent.subscription.unsubscribe()
        farewell = Presence(agent=agent, uuid="x", leaving=True)
        await cloud.agent.nats.publish(presence_subject(agent), farewell.encode())
        await cloud.until(f"agent-{agent}", "reconnecting")
        created = await cloud.create("container", imageUuid="sim:x")
        removed = await cloud.until(created.stream, "removed")
        assert "its agent is reconnecting" in removed.fields["transitioningMessage"]
        cloud.agent.behave = answers
        await cloud.agent.listen(agent)
        await asyncio.sleep(1.1)  # the ping has been waited for a while: a heartbeat has it sent again at once
        await cloud.agent.nats.publish(presence_subject(agent), Presence(agent=agent, uuid="x").encode())
        await cloud.until(f"agent-{agent}", "active", seconds=3)

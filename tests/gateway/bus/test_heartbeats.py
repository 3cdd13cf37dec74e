"""Agents without NATS are pinged while they subscribe; what they answer are their heartbeats."""

from __future__ import annotations

import asyncio
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg

from agents.wire import Presence, presence_subject
from gateway.bus.heartbeats import TELLS_OF_NO_INSTANCES, presence_of
from tests.support.http import Api
from tests.support.subscriber import subscribed

INSTANCE = {"type": "instance", "uuid": "u", "state": "running"}


@pytest.mark.parametrize(
    ("data", "instances", "trouble"),
    [
        (None, {}, TELLS_OF_NO_INSTANCES),
        ({}, {}, TELLS_OF_NO_INSTANCES),
        ({"resources": [INSTANCE]}, {}, TELLS_OF_NO_INSTANCES),
        ({"resources": [INSTANCE], "options": {"instances": "true"}}, {}, TELLS_OF_NO_INSTANCES),
        ({"resources": "many", "options": {"instances": True}}, {}, TELLS_OF_NO_INSTANCES),
        ({"resources": [], "options": {"instances": True}}, {}, None),
        ({"resources": [INSTANCE, {"type": "host", "uuid": "h"}, 7], "options": {"instances": True}}, {"u": "running"}, None),
    ],
)
def test_only_who_says_that_it_told_all_is_believed_about_what_is_missing(
    data: Any, instances: dict[str, str], trouble: str | None
) -> None:
    presence = presence_of(7, {"data": data})
    assert (presence.agent, presence.instances, presence.trouble) == (7, instances, trouble)


async def test_an_answered_ping_is_a_heartbeat_and_one_that_failed_is_none(api: Api, nats_url: str) -> None:
    number = await api.add("agent", uri="event://x", managedConfig=False)
    await api.settled()
    heard: list[Presence] = []
    client = await nats.connect(nats_url)

    async def on_presence(message: Msg) -> None:
        heard.append(Presence.decode(message.data))

    await client.subscribe(presence_subject(number), cb=on_presence)
    await client.flush()
    async with subscribed(api.http, "ping", "compute.*", agent=f"1a{number}") as agent, subscribed(api.http, "ping.reply") as watcher:
        ping = await agent.named("ping")
        assert ping["data"] == {"resources": [], "options": {"instances": True}}
        assert (ping["resourceType"], ping["resourceId"]) == ("agent", f"1a{number}")
        assert (await agent.answer(ping, {}, transitioning="error")).status_code == 201
        assert (await agent.answer(ping, {"resources": [INSTANCE], "options": {"instances": True}})).status_code == 201
        async with asyncio.timeout(20):
            while not heard:
                await asyncio.sleep(0.01)
        assert [each.instances for each in heard] == [{"u": "running"}]
        assert (await watcher.named("ping.reply"))["data"]["resources"] == [INSTANCE]
        await agent.until(lambda event: event["name"] == "ping" and event["id"] != ping["id"])
    await client.close()

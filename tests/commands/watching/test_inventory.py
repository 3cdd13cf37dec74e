"""What an agent at work has that is new: asked for now and then, made once, whoever owns what is known."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

from agents.wire import UNDERLAY, Message
from commands.accepting import executions
from commands.accepting.service import Actor
from commands.catalogue.tasks import BY_NAME, PING
from commands.watching.inventory import EVERY, LOOK
from eventstore.memory import MemoryStore
from tests.support.cloud import Cloud, a_running_cloud
from tests.support.story import sim_inventory

OFTEN = {EVERY: 0.1}
"""With each look."""


def more(*elements: dict[str, Any]) -> dict[str, Any]:
    """What the agent had at first, with more behind what that hangs on."""
    told = sim_inventory(1)
    return {**told, "resources": [*elements, *told["resources"]]}


POOL = {"type": "storagePool", "uuid": "second-pool", "kind": "sim", "hostUuid": "second"}
HOST = {"type": "host", "uuid": "second", "kind": "sim", "name": "the second", "physicalHostUuid": "metal"}
METAL = {"type": "physicalHost", "uuid": "metal", "kind": "sim"}


async def until_there(cloud: Cloud, type_name: str, uuid: str) -> Any:
    async with asyncio.timeout(20):
        while (found := cloud.engine.fleet.by_uuid(type_name, uuid)) is None or found.state != "active":
            await asyncio.sleep(0.05)
    return found


async def test_a_host_with_a_pool_that_is_new_is_made_while_the_agent_stays_active(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url, settings=OFTEN) as cloud:
        [agent] = cloud.engine.fleet.all("agent")
        cloud.agent.inventory = more(POOL, HOST, METAL)
        pool = await until_there(cloud, "storagePool", "second-pool")
        host, metal = await until_there(cloud, "host", "second"), await until_there(cloud, "physicalHost", "metal")
        assert (host.name, host.row["agentId"], host.row["physicalHostId"]) == ("the second", agent.id, metal.id)
        assert host.row["accountId"] == agent.row["accountId"]
        assert [each.id for each in cloud.engine.fleet.pools_of(host.id)] == [pool.id]
        types = [event.type for event in await cloud.store.read(agent.stream)]
        first = len(cloud.agent.commands("ping"))
        async with asyncio.timeout(20):
            while len(cloud.agent.commands("ping")) < first + 2:
                await asyncio.sleep(0.05)
        assert len([each for each in cloud.engine.fleet.all("host") if each.row["uuid"] == "second"]) == 1
        assert [event.type for event in await cloud.store.read(agent.stream)] == types, "to ask is no event"
        assert cloud.agent.commands("ping")[-1].data["options"] == {"resources": True, "instances": True}


async def test_what_another_agent_says_for_it_brings_nothing(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url, settings=OFTEN) as cloud:
        honest = cloud.agent.answer

        async def lied_about(message: Message, data: dict[str, Any]) -> None:
            reply = message.replyTo or ""
            foreign = reply.replace(".a1.", ".a999.")
            assert foreign != reply
            await cloud.agent.nats.publish(foreign, message.reply(more({**METAL, "uuid": "a lie"})).encode())
            await honest(message, data)

        cloud.agent.inventory = more(METAL)
        with patch.object(cloud.agent, "answer", lied_about):
            await until_there(cloud, "physicalHost", "metal")
        assert cloud.engine.fleet.by_uuid("physicalHost", "a lie") is None


async def test_what_is_known_is_left_as_it_is_but_for_the_metal_it_stands_on_and_where_others_find_it(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url, settings=OFTEN) as cloud:
        [host] = cloud.engine.fleet.all("host")
        name = host.row.get("name")
        other = {**HOST, "uuid": host.row["uuid"], "name": "renamed", "data": {UNDERLAY: "10.0.0.9", "other": 1}}
        cloud.agent.inventory = {"resources": [other, METAL]}
        metal = await until_there(cloud, "physicalHost", "metal")
        async with asyncio.timeout(20):
            seen = host
            while (seen.row.get("physicalHostId"), seen.data.get(UNDERLAY)) != (metal.id, "10.0.0.9"):
                await asyncio.sleep(0.05)
                seen = cloud.engine.fleet.resources[host.stream]
        assert (seen.row.get("name"), seen.data.get("other")) == (name, None)


async def test_an_answer_that_is_rubbish_or_lacks_a_host_changes_nothing_and_it_is_asked_again(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url, settings=OFTEN) as cloud:
        known = len(cloud.engine.fleet.resources)
        rubbish: dict[str, Any]
        for rubbish in ({"resources": "none"}, {"resources": [POOL]}, {"resources": [{**METAL, "data": 7}]}):
            cloud.agent.inventory = rubbish
            first = len(cloud.agent.commands("ping"))
            async with asyncio.timeout(20):
                while len(cloud.agent.commands("ping")) < first + 1:
                    await asyncio.sleep(0.05)
        assert len(cloud.engine.fleet.resources) == known
        cloud.agent.inventory = more(METAL)
        await until_there(cloud, "physicalHost", "metal")


async def test_the_task_that_pings_asks_all_at_once_whatever_the_schedule(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url, settings={EVERY: 0}) as cloud:
        cloud.agent.inventory = more(METAL)
        await asyncio.sleep(3 * LOOK)
        assert cloud.engine.fleet.by_uuid("physicalHost", "metal") is None, "it is asked when it becomes active alone"
        await executions.begin(cloud.commands, BY_NAME[PING].number, Actor())
        await until_there(cloud, "physicalHost", "metal")

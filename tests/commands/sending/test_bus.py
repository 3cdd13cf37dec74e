"""The engine's end of NATS: several addresses, and a NATS that comes late or comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg

from agents.process.connection import connect, disconnect
from agents.wire import Message, Presence, presence_subject, replied_to, reply_subject
from commands.sending.bus import Bus
from commands.sending.connection import Connection
from deploy.embedded import EmbeddedNats, hold
from tests.support.servers import standing_still
from tests.support.waiting import happens

NOBODY = "nats://127.0.0.1:1"


async def test_of_several_addresses_the_one_that_answers_is_used(nats_url: str) -> None:
    bus = Bus(f"{NOBODY}, {nats_url}")
    await bus.start()
    await happens(lambda: bus.connected)
    await bus.close()
    client = await asyncio.wait_for(connect(f"{nats_url},{NOBODY}", "test"), 20)
    assert client.is_connected
    await disconnect(client)


async def test_a_heartbeat_counts_only_on_the_subject_of_its_agent(nats_url: str) -> None:
    bus = Bus(nats_url)
    seen: list[tuple[int, str]] = []
    bus.on_presence = lambda presence: seen.append((presence.agent, presence.uuid))
    await bus.start()
    await happens(lambda: bus.connections == 1)
    client = await nats.connect(nats_url)

    async def own_one_heard() -> bool:
        await client.publish(presence_subject(7), Presence(agent=1, uuid="in another's name").encode())
        await client.publish(presence_subject(7), Presence(agent=7, uuid="own").encode())
        await client.flush()
        return bool(seen)

    async with asyncio.timeout(20):
        while not await own_one_heard():
            await asyncio.sleep(0.05)
    assert set(seen) == {(7, "own")}
    await client.close()
    await bus.close()


@pytest.mark.timeout(60)
async def test_what_was_listened_to_before_nats_came_and_while_it_was_away_is_heard_once_it_is_there(tmp_path: Path) -> None:
    with hold(tmp_path) as home:
        server = EmbeddedNats(home, preferred=0)
        await server.start()
        await server.stop()
        bus = Bus(server.url)
        heard: list[str] = []
        seen: list[int] = []
        bus.on_reply = lambda message, subject: heard.append(replied_to(subject))
        bus.on_presence = lambda presence: seen.append(presence.agent)
        await bus.start()
        assert not bus.connected
        await bus.listen(1)
        await server.start()
        await happens(lambda: bus.connections == 1)
        await bus.listen(2)
        await server.stop()
        await happens(lambda: not bus.connected)
        await bus.listen(3)
        bus.ignore(1)
        await server.start()
        await happens(lambda: bus.connections == 2)

        async def everything_said() -> bool:
            for partition in (1, 2, 3):
                await client.publish(reply_subject(partition, 7, f"ask-{partition}"), Message().encode())
            await client.publish(presence_subject(7), Presence(agent=7, uuid="seven").encode())
            await client.flush()
            return {"ask-2", "ask-3"} <= set(heard) and bool(seen)

        client = await nats.connect(server.url)
        async with asyncio.timeout(20):
            while not await everything_said():
                await asyncio.sleep(0.05)
        assert "ask-1" not in heard
        await client.close()
        await bus.close()
        await server.stop()


@pytest.mark.timeout(60)
async def test_what_nats_confirms_too_late_leaves_a_connection_hearing(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def hear(message: Msg) -> None:
        heard.append(message.data)

    with hold(tmp_path) as home:
        async with EmbeddedNats(home, preferred=0) as server:
            connection = Connection(server.url, "test")
            await connection.listen("corral.test", hear)
            await connection.start()
            await happens(lambda: connection.connected)
            async with standing_still(server):
                assert not await connection.reach(0.5)
            assert await connection.reach(10)
            await connection.publish("corral.test", b"again")
            await happens(lambda: heard == [b"again"], 5)  # sooner than the client itself finds that its connection is dead
            await connection.close()

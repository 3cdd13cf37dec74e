"""An agent's connection to a NATS that stands still for a while."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from agents.process.connection import connect, disconnect, reached
from deploy.embedded import EmbeddedNats, hold
from tests.support.servers import standing_still
from tests.support.waiting import happens

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedNats]:
    with hold(tmp_path) as home:
        async with EmbeddedNats(home, preferred=0) as nats:
            yield nats


async def test_what_nats_confirms_too_late_leaves_an_agent_s_connection_hearing(server: EmbeddedNats) -> None:
    client = await connect(server.url, "test")
    heard: list[bytes] = []

    async def hear(message: Msg) -> None:
        heard.append(message.data)

    await client.subscribe("corral.test", cb=hear)
    async with standing_still(server):
        with pytest.raises(TimeoutError):
            await reached(client, 1)
    await reached(client, 10)
    await client.publish("corral.test", b"again")
    await happens(lambda: heard == [b"again"], 5)  # sooner than the client itself finds that its connection is dead
    await disconnect(client)

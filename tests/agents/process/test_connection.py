"""When what was sent to NATS counts as arrived: while all is slow, and when the connection is another meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from nats.aio.client import Client

from agents.process.connection import arrived, reached


class SlowClient(Client):
    """Its pings are answered when `answer` is set."""

    def __init__(self) -> None:
        self.stats = {"reconnects": 0}
        self.answer = asyncio.Event()
        self.connected = True

    @property
    def is_connected(self) -> bool:
        return self.connected

    async def flush(self, timeout: int = 10) -> None:
        await self.answer.wait()


async def test_what_is_slow_has_arrived_in_the_end_though_others_give_it_up() -> None:
    client = SlowClient()
    waiting = asyncio.create_task(arrived(client))
    with pytest.raises(TimeoutError, match="within"):
        await reached(client, 0.01)
    await asyncio.wait({waiting}, timeout=1.2)
    assert not waiting.done(), "a connection that lasts is waited for"
    client.answer.set()
    await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize("again", [True, False], ids=["there is another", "there is none"])
async def test_what_was_sent_over_a_connection_that_is_gone_is_to_be_sent_again(again: bool) -> None:
    client = SlowClient()
    waiting = asyncio.create_task(arrived(client))
    await asyncio.sleep(0)
    if again:
        client.stats["reconnects"] += 1
    else:
        client.connected = False
    with pytest.raises(ConnectionError, match="lost before"):
        await asyncio.wait_for(waiting, 5)
    client.answer.set()

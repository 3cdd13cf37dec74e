"""What the server tells is put into force as a whole, kept over restarts, and let go when it no longer says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import dns.message
import pytest

from agents.driver import DriverError
from agents.network import membership
from agents.network.membership import Networks
from agents.network.responder import Responder
from agents.network.segments import Segment
from tests.agents.network.test_segments import SEGMENT, told
from tests.support.waiting import happens


class Bridges:
    """An engine that makes them at once. `used`: those that instances are on."""

    def __init__(self) -> None:
        self.there: dict[int, Segment] = {}
        self.used: set[int] = set()
        self.refuses = ""

    async def ensure(self, segment: Segment, mtu: int) -> None:
        if self.refuses:
            raise DriverError(self.refuses)
        if any(each.subnet == segment.subnet and number != segment.number for number, each in self.there.items()):
            raise DriverError("another network of this host has these addresses")
        self.there[segment.number] = segment

    async def present(self) -> set[int]:
        return set(self.there)

    async def release(self, segment: int) -> bool:
        if segment in self.used:
            return False
        del self.there[segment]
        return True


class Agent:
    """An agent's networks; in a namespace without its engine's bridges, as where the engine is elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.bridges = Bridges()
        self.responder = Responder(folder / "none", 0)
        self.networks = Networks(self.bridges, "10.0.0.1", self.responder)

    async def answers(self, name: str) -> bool:
        """An instance that asks for an address."""
        reply = await self.responder.respond("10.42.0.5", dns.message.make_query(name, "A").to_wire())
        return reply is not None and bool(reply.answer)


@pytest.fixture
async def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Agent]:
    monkeypatch.setattr(membership, "SOON_SECONDS", 0.05)
    monkeypatch.setattr(membership, "AGAIN_SECONDS", 0.05)
    agent = Agent(tmp_path)
    await agent.networks.open(tmp_path / "agent")
    yield agent
    await agent.networks.close()


ALONE: dict[str, Any] = {**SEGMENT, "hosts": ["10.0.0.1"]}
STARTING: dict[str, Any] = {
    "uuid": "i1",
    "nics": [{"network": {"kind": "network", "name": "inner"}, "subnetId": 7, "ipAddresses": [{"address": "10.42.0.5", "subnetId": 7}]}],
}


async def test_a_start_waits_until_the_server_has_told_of_the_instance(agent: Agent) -> None:
    starting = asyncio.create_task(agent.networks.prepare(STARTING))
    await agent.networks.apply(told({**ALONE, "endpoints": []}, position=1))
    await asyncio.sleep(0.1)
    assert not starting.done()
    assert (await agent.networks.apply(told(ALONE, position=2)))["trouble"] == {}
    [attachment] = await asyncio.wait_for(starting, 10)
    assert (attachment.bridge, attachment.address) == ("corral-s7", "10.42.0.5")
    assert attachment.names == (), "nobody has the gateway's address here"


async def test_a_start_does_not_wait_for_ever(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "KNOWN_SECONDS", 0.1)
    with pytest.raises(DriverError, match=r"network inner \(10.42.0.5\)"):
        await agent.networks.prepare(STARTING)
    assert await agent.networks.prepare({"uuid": "i2", "nics": []}) == []


async def test_without_the_engines_interfaces_a_network_of_this_host_alone_works_and_another_says_why_not(agent: Agent) -> None:
    await agent.networks.apply(told(ALONE))
    assert await agent.networks.prepare(STARTING)
    answer = await agent.networks.apply(told(SEGMENT))
    assert "10.0.0.2" in answer["trouble"]["7"]
    with pytest.raises(DriverError, match="its engine runs elsewhere"):
        await agent.networks.prepare(STARTING)


async def test_an_older_document_changes_nothing_and_the_same_again_does_no_harm(agent: Agent) -> None:
    await agent.networks.apply({**told(ALONE, position=5), "version": "new"})
    assert (await agent.networks.apply({**told(position=4), "version": "old"}))["version"] == "new"
    assert set(agent.bridges.there) == {7}
    assert (await agent.networks.apply({**told(ALONE, position=5), "version": "new"}))["version"] == "new"
    with pytest.raises(DriverError, match="can't be understood"):
        await agent.networks.apply({"version": "x"})
    assert agent.networks.version == "new"


async def test_a_bridge_goes_when_no_instance_is_on_it_any_more(agent: Agent) -> None:
    await agent.networks.apply(told(ALONE))
    agent.bridges.used.add(7)
    await agent.networks.apply(told(position=10))
    assert set(agent.bridges.there) == {7}, "one is on it still"
    agent.bridges.used.clear()
    await happens(lambda: not agent.bridges.there)


async def test_what_an_engine_refuses_is_tried_again(agent: Agent) -> None:
    agent.bridges.refuses = "the Docker engine can't be reached"
    assert agent.bridges.refuses in (await agent.networks.apply(told(ALONE)))["trouble"]["7"]
    agent.bridges.refuses = ""
    await happens(lambda: 7 in agent.bridges.there)


async def test_what_was_told_is_in_force_again_after_a_restart_and_stays_until_the_server_says_more(agent: Agent, tmp_path: Path) -> None:
    await agent.networks.apply(told(ALONE, position=100))
    again = Agent(tmp_path)
    await again.networks.open(tmp_path / "agent")
    await happens(lambda: 7 in again.bridges.there)
    assert again.networks.version == "v1"
    await again.networks.apply({**told(position=1), "version": ""})  # a server whose log began anew
    assert (again.networks.version, again.bridges.there) == ("", {})
    await again.networks.close()


async def test_an_agent_that_was_told_nothing_yet_takes_nothing_away(tmp_path: Path, agent: Agent) -> None:
    fresh = Agent(tmp_path)
    fresh.bridges.there[7] = Segment(7, 3, "u", "", "10.42.0.0/24", "10.42.0.1")
    await fresh.networks.open(tmp_path / "fresh")
    await asyncio.sleep(0.3)
    assert set(fresh.bridges.there) == {7}
    await fresh.networks.apply({**told(), "version": ""})
    assert fresh.bridges.there == {}
    await fresh.networks.close()


async def test_names_of_a_network_whose_addresses_are_anothers_here_are_told_to_nobody(agent: Agent) -> None:
    other = {"instance": "i8", "name": "other", "address": "10.42.0.5"}
    secret = {"instance": "i9", "name": "secret", "address": "10.42.0.9"}
    overlapping = {**ALONE, "number": 8, "network": 4, "uuid": "u8", "endpoints": [other, secret]}
    await agent.networks.apply(told(ALONE))
    assert set((await agent.networks.apply(told(ALONE, overlapping, position=10)))["trouble"]) == {"8"}
    assert [await agent.answers(name) for name in ("web", "other", "secret")] == [True, False, False]


async def test_names_are_answered_while_the_engine_is_away(agent: Agent) -> None:
    await agent.networks.apply(told(ALONE))
    agent.bridges.refuses = "the Docker engine can't be reached"
    assert (await agent.networks.apply(told(ALONE, position=10)))["trouble"]
    assert await agent.answers("web")
    await agent.networks.apply(told(position=11))
    assert not await agent.answers("web")

"""Throttles: no more commands in flight to an agent, and no more processes at work, than the settings say. What waits is not forgotten."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from nats.aio.msg import Msg

from agents.wire import Message
from commands.engine import vitals
from commands.resource import Resource
from commands.turns.interventions import ForceRemove
from eventstore import Store
from tests.support.cloud import Cloud, ScriptedAgent, a_running_cloud

VOLUME, ACTIVATE = "storage.volume.activate", "compute.instance.activate"


class Holding:
    """An agent's behaviour: it answers commands about volumes only when they are let go."""

    def __init__(self) -> None:
        self.asked: list[Message] = []
        self.most = 0
        self._waiting: dict[str, Message] = {}

    async def __call__(self, message: Message) -> Any:
        if message.name != VOLUME:
            return {}
        if message.id not in {each.id for each in self.asked}:
            self.asked.append(message)
            self._waiting[message.id] = message
            self.most = max(self.most, len(self._waiting))
        return None

    async def let_go(self, agent: ScriptedAgent, count: int) -> None:
        """The longest asked first."""
        for each in list(self._waiting.values())[:count]:
            del self._waiting[each.id]
            await agent.answer(each, {})

    async def heard(self, count: int) -> None:
        """Waits until so many were asked, and a moment more for those that must not be."""
        async with asyncio.timeout(20):
            while len(self.asked) < count:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert len(self.asked) == count


async def made(cloud: Cloud, count: int) -> list[Resource]:
    return [await cloud.create("container", imageUuid="sim:x", name=f"c{number}") for number in range(count)]


async def all_run(cloud: Cloud, holding: Holding, created: list[Resource]) -> None:
    """Lets go until they do."""
    async with asyncio.timeout(20):
        while [each for each in created if (await cloud.resource(each.stream)).state != "running"]:
            await holding.let_go(cloud.agent, len(created))
            await asyncio.sleep(0.02)


def is_sorted(messages: list[Message]) -> bool:
    epochs = [each.epoch for each in messages]
    return epochs == sorted(epochs)


async def test_no_more_commands_than_set_are_in_flight_to_an_agent_and_the_oldest_go_first(store: Store, nats_url: str) -> None:
    holding = Holding()
    async with a_running_cloud(store, nats_url, behave=holding, settings={"agent.commands.in.flight": 3}) as cloud:
        created = await made(cloud, 8)
        await holding.heard(3)
        [(_, in_flight, waiting)] = cloud.engine._dispatch.loads()
        assert (in_flight, waiting) == (3, 5)
        await holding.let_go(cloud.agent, 2)
        await holding.heard(5)
        await holding.let_go(cloud.agent, 5)
        await holding.heard(8)
        await holding.let_go(cloud.agent, 3)
        for each in created:
            await cloud.until(each.stream, "running")
        assert holding.most == 3
        assert is_sorted(holding.asked)
        assert not list(cloud.engine._dispatch.loads())


async def test_waiting_for_others_is_no_silence_and_one_that_hangs_keeps_nobody_waiting(store: Store, nats_url: str) -> None:
    holding = Holding()
    settings = {"agent.commands.in.flight": 1, "agent.silence.seconds": 2}
    async with a_running_cloud(store, nats_url, behave=holding, settings=settings) as cloud:
        first, second, third = await made(cloud, 3)
        await holding.heard(1)
        # Past its deadline the first is parked, and only then is the second asked, whose own time begins.
        await holding.heard(2)
        recorded = await store.read_all(0, 1000)
        asked = (holding.asked[0].context or {})["stream"]
        assert {e.root for e in recorded if e.type == "process-parked"} == {e.root for e in recorded if e.stream == asked}
        await holding.let_go(cloud.agent, 2)
        await holding.heard(3)
        await holding.let_go(cloud.agent, 1)
        for each in (first, second, third):
            await cloud.until(each.stream, "running")


async def test_what_waits_for_an_agent_is_asked_in_its_order_after_a_restart_too(store: Store, nats_url: str) -> None:
    holding = Holding()
    settings = {"agent.commands.in.flight": 2}
    async with a_running_cloud(store, nats_url, behave=holding, settings=settings) as cloud:
        created = await made(cloud, 6)
        await holding.heard(2)
        number = next(iter(cloud.engine.fleet.all("agent"))).id
    after = Holding()
    async with a_running_cloud(store, nats_url, behave=after, settings=settings) as cloud:
        await cloud.agent.listen(number)
        for count in range(2, 6):
            await after.heard(count)
            await after.let_go(cloud.agent, 1)
        await after.heard(6)
        await after.let_go(cloud.agent, 6)
        for each in created:
            await cloud.until(each.stream, "running")
        assert after.most == 2
        assert is_sorted(after.asked[2:]), "the first two are of the partitions that were gained first; no other overtakes"
        assert {each.id for each in holding.asked} <= {each.id for each in after.asked}, "the same commands"


async def test_after_a_restart_a_root_that_waits_for_its_agent_is_read_only_when_it_is_its_turn(store: Store, nats_url: str) -> None:
    holding = Holding()
    settings = {"agent.commands.in.flight": 2}
    async with a_running_cloud(store, nats_url, behave=holding, settings={**settings, "agent.commands.in.flight": 6}) as cloud:
        created = await made(cloud, 6)
        await holding.heard(6)
        number = next(iter(cloud.engine.fleet.all("agent"))).id
    waiting = [each for each in await store.due_work(range(16)) if each.waits_for == number]
    assert {each.root for each in waiting} == {each.stream for each in created}
    after = Holding()
    async with a_running_cloud(store, nats_url, behave=after, settings=settings) as cloud:
        await cloud.agent.listen(number)
        await after.heard(2)
        asked = {(each.context or {})["stream"] for each in after.asked}
        read = [each.stream for each in created if each.stream in cloud.engine._roots]
        assert len(asked) == len(read) == 2
        [late] = [each for each in holding.asked if each.id not in {known.id for known in after.asked}][-1:]
        await cloud.agent.answer(late, {})  # what the engine before asked, and this one has not asked again yet
        taken = (late.context or {})["stream"]
        async with asyncio.timeout(10):
            while not any(event.type == "step-succeeded" and event.stream == taken for event in await store.read(taken)):
                await asyncio.sleep(0.02)
        await all_run(cloud, after, created)
        assert late.id not in {each.id for each in after.asked}, "what is answered is not asked again"


async def test_what_waits_for_its_place_at_an_agent_goes_on_when_the_agent_is_gone(store: Store, nats_url: str) -> None:
    settings = {"agent.commands.in.flight": 1}
    async with a_running_cloud(store, nats_url, behave=Holding(), settings=settings) as cloud:
        created = await made(cloud, 3)
        number = next(iter(cloud.engine.fleet.all("agent"))).id
    async with a_running_cloud(store, nats_url, behave=Holding(), settings=settings) as cloud:
        await cloud.commands.intervene("agent", number, ForceRemove("its machine burnt down"), cloud.actor)
        for each in created:
            await cloud.until(each.stream, "removed")


async def test_what_waits_for_its_place_at_an_agent_takes_no_place_among_the_processes_at_work(store: Store, nats_url: str) -> None:
    holding = Holding()
    settings = {"engine.processes": 2, "agent.commands.in.flight": 1}
    async with a_running_cloud(store, nats_url, behave=holding, settings=settings) as cloud:
        [first] = await made(cloud, 1)
        await holding.heard(1)
        others = await made(cloud, 4)
        async with asyncio.timeout(20):
            while len([each for each in await store.due_work(range(16)) if each.waits_for is not None]) < 5:
                await asyncio.sleep(0.02)
        assert len(holding.asked) == 1
        assert cloud.engine.vitals()["processes"] == {"atWork": 1, "waiting": 0, "turns": 0}
        await all_run(cloud, holding, [first, *others])


async def test_no_more_processes_than_set_are_at_work_first_come_first_served_and_an_engine_tells_so(
    store: Store, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vitals, "SECONDS", 0.2)
    holding = Holding()
    async with a_running_cloud(store, nats_url, behave=holding, settings={"engine.processes": 2}) as cloud:
        told: list[dict[str, Any]] = []

        async def on_vitals(message: Msg) -> None:
            told.append(orjson.loads(message.data))

        await cloud.agent.nats.subscribe("corral.engine.test", cb=on_vitals)
        [first] = await made(cloud, 1)  # with it the image is there, and nobody waits for another
        await holding.heard(1)
        await holding.let_go(cloud.agent, 1)
        await cloud.until(first.stream, "running")
        created = await made(cloud, 6)
        await holding.heard(3)
        assert cloud.engine.vitals()["processes"] == {"atWork": 2, "waiting": 4, "turns": 0}
        async with asyncio.timeout(20):
            while not told or told[-1]["processes"]["waiting"] != 4:
                await asyncio.sleep(0.05)
        for count in range(4, 8):
            await holding.let_go(cloud.agent, 1)
            await holding.heard(count)
        await holding.let_go(cloud.agent, 2)
        for each in created:
            await cloud.until(each.stream, "running")
        requested = await store.read_all(0, 1000, types=["step-requested"])
        begun = [event.root for event in requested if event.data["command"] == VOLUME][1:]
        assert set(begun[:2]) == {each.stream for each in created[:2]}, "these were at work at the same time"
        assert begun[2:] == [each.stream for each in created[2:]]


async def test_what_is_parked_makes_room_and_goes_on_when_it_is_answered(store: Store, nats_url: str) -> None:
    holding = Holding()
    settings = {"engine.processes": 1, "agent.silence.seconds": 1}
    async with a_running_cloud(store, nats_url, behave=holding, settings=settings) as cloud:
        first, second = await made(cloud, 2)
        await holding.heard(1)
        async with asyncio.timeout(20):
            while len(holding.asked) < 2:
                await asyncio.sleep(0.02)
        assert (await cloud.resource(first.stream)).state == "starting"
        await holding.let_go(cloud.agent, 2)
        await cloud.until(first.stream, "running")
        await cloud.until(second.stream, "running")


@pytest.mark.parametrize("throttle", ["agent.commands.in.flight", "engine.processes"])
async def test_what_waits_goes_on_as_soon_as_a_throttle_is_raised(store: Store, nats_url: str, throttle: str) -> None:
    holding = Holding()
    async with a_running_cloud(store, nats_url, behave=holding, settings={throttle: 1}) as cloud:
        created = await made(cloud, 4)
        await holding.heard(1)
        cloud.settings[throttle] = 3
        cloud.engine.settings_changed()
        await holding.heard(3)
        await all_run(cloud, holding, created)
        assert holding.most == 3


async def test_how_long_silence_is_waited_out_changes_for_what_is_asked_already(store: Store, nats_url: str) -> None:
    holding = Holding()
    async with a_running_cloud(store, nats_url, behave=holding) as cloud:
        [created] = await made(cloud, 1)
        await holding.heard(1)
        cloud.settings["agent.silence.seconds"] = 1
        cloud.engine.settings_changed()
        async with asyncio.timeout(20):
            while not [each for each in await store.read_root(created.root or created.stream) if each.type == "process-parked"]:
                await asyncio.sleep(0.02)
        await all_run(cloud, holding, [created])

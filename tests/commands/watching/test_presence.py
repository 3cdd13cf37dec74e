"""Heartbeats: what an agent's silence, its return and its farewell lead to."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping
from types import MappingProxyType

import pytest

from agents.wire import LAST_TIME, Presence, presence_subject
from commands.logic.discovery import DISCONNECTED
from commands.turns.interventions import DeclareDead, ForceRemove
from commands.watching.endings import SETTLED, Endings
from commands.watching.presence import FAILED, GRACE
from eventstore.memory import MemoryStore
from tests.support.cloud import Cloud, a_running_cloud


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


beats = itertools.count(1)


def later() -> int:
    """The time of a heartbeat that what happened until now has settled for, each newer than the one before."""
    return int((time.time() + SETTLED) * 1000) + next(beats)


async def heartbeat(cloud: Cloud, agent: int, at: int | None = None, running: Mapping[str, str] = MappingProxyType({})) -> None:
    presence = Presence(agent=agent, uuid="x", instances=dict(running), time=at or later())
    await cloud.agent.nats.publish(presence_subject(agent), presence.encode())
    await cloud.agent.nats.flush()
    await asyncio.sleep(0.1)


async def one_that_runs(cloud: Cloud, triggered: str) -> tuple[int, str, str]:
    [agent] = [each.id for each in cloud.engine.fleet.all("agent")]
    created = await cloud.create("container", imageUuid="sim:x", instanceTriggeredStop=triggered)
    running = await cloud.until(created.stream, "running")
    return agent, running.stream, running.row["uuid"]


@pytest.mark.parametrize(("triggered", "state"), [("stop", "stopped"), ("remove", "removed"), ("restart", "running")])
async def test_what_ends_by_itself_is_followed_up_as_it_says_itself(nats_url: str, triggered: str, state: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url) as cloud:
        agent, stream, uuid = await one_that_runs(cloud, triggered)
        await heartbeat(cloud, agent, running={uuid: "running"})
        await heartbeat(cloud, agent, running={uuid: "stopped"})
        assert (await cloud.resource(stream)).state == "running"  # one heartbeat may be older than the start
        await heartbeat(cloud, agent)
        while not [each for each in cloud.agent.heard if each.name == "compute.instance.deactivate"]:
            await asyncio.sleep(0.01)
        await cloud.until(stream, state)
        starts = [each for each in cloud.agent.heard if each.name == "compute.instance.activate"]
        assert len(starts) == (2 if triggered == "restart" else 1)
        [restart] = [each for each in await cloud.store.read(stream) if each.data.get("reason", "").startswith("it ended by itself")]
        assert restart.data["process"] == "instance.restart"
        assert restart.metadata["correlation"] == f"corral:ended-{stream}"


async def test_heartbeats_that_are_as_old_as_the_start_or_come_twice_say_nothing(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url) as cloud:
        agent, stream, uuid = await one_that_runs(cloud, "stop")
        now = int(time.time() * 1000)
        await heartbeat(cloud, agent, now)  # told before the start, say, and late
        await heartbeat(cloud, agent, now + 1)
        at = later()
        await heartbeat(cloud, agent, at)
        await heartbeat(cloud, agent, at)
        await heartbeat(cloud, agent, at - 2000)
        assert (await cloud.resource(stream)).state == "running"
        await heartbeat(cloud, agent, running={uuid: "running"})


@pytest.mark.parametrize("at", [-1, LAST_TIME + 1, 2**63 - 1])
async def test_a_heartbeat_of_a_time_that_is_no_date_is_dropped(nats_url: str, at: int) -> None:
    async with a_running_cloud(MemoryStore(), nats_url) as cloud:
        agent, stream, _ = await one_that_runs(cloud, "stop")
        odd = Presence(agent=agent, uuid="x", time=at)
        await cloud.agent.nats.publish(presence_subject(agent), odd.encode())
        await cloud.agent.nats.flush()
        await heartbeat(cloud, agent)
        await heartbeat(cloud, agent)
        await cloud.until(stream, "stopped")


async def test_a_heartbeat_that_can_not_be_compared_keeps_no_other_from_it(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_running_cloud(MemoryStore(), nats_url) as cloud:
        agent, stream, _ = await one_that_runs(cloud, "stop")
        as_ever, failures = Endings.hear, [RuntimeError("this one fails")]

        async def hear(self: Endings, presence: Presence) -> None:
            if failures:
                raise failures.pop()
            await as_ever(self, presence)

        monkeypatch.setattr(Endings, "hear", hear)
        for _ in range(3):
            await heartbeat(cloud, agent)
        await cloud.until(stream, "stopped")
        assert not failures


async def test_an_agent_that_can_not_see_its_engine_says_nothing_about_what_runs(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url) as cloud:
        agent, stream, _ = await one_that_runs(cloud, "remove")
        for _ in range(3):
            blind = Presence(agent=agent, uuid="x", trouble="the engine does not answer")
            await cloud.agent.nats.publish(presence_subject(agent), blind.encode())
            await cloud.agent.nats.flush()
            await asyncio.sleep(0.05)
        assert (await cloud.resource(stream)).state == "running"


async def test_an_engine_that_starts_anew_learns_of_what_ended_before(nats_url: str) -> None:
    store = MemoryStore()
    async with a_running_cloud(store, nats_url) as cloud:
        agent, stream, _ = await one_that_runs(cloud, "stop")
        cloud.engine._wakeups.endings = None
        endings = Endings(cloud.commands, cloud.engine.fleet)
        for _ in range(2):
            await endings.hear(Presence(agent=agent, uuid="x", time=later()))
        await cloud.until(stream, "stopped")


async def test_what_was_started_again_since_it_was_missed_is_not_ended_by_an_engine_whose_follower_lags(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url) as cloud:
        agent, stream, _ = await one_that_runs(cloud, "stop")
        lagging = Endings(cloud.commands, cloud.engine.fleet)
        await lagging.hear(Presence(agent=agent, uuid="x", time=later()))
        for verb, state in (("stop", "stopped"), ("start", "running")):
            await cloud.commands.run("instance", 1, verb, {}, cloud.actor)
            await cloud.until(stream, state)
        before = await cloud.store.read(stream)
        await lagging.hear(Presence(agent=agent, uuid="x", time=later()))
        assert await cloud.store.read(stream) == before


async def test_what_is_on_its_way_or_was_stopped_is_not_missed(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url) as cloud:
        agent, stream, _ = await one_that_runs(cloud, "remove")
        await cloud.commands.run("instance", 1, "stop", {}, cloud.actor)
        await cloud.until(stream, "stopped")
        for _ in range(3):
            await heartbeat(cloud, agent)
        assert (await cloud.resource(stream)).state == "stopped"


@pytest.mark.parametrize(("triggered", "state"), [("stop", "stopped"), ("restart", "running")])
async def test_what_ran_on_a_host_that_is_removed_is_stopped_or_placed_on_another(nats_url: str, triggered: str, state: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url, hosts=2) as cloud:
        _, stream, _ = await one_that_runs(cloud, triggered)
        host = (await cloud.resource("instanceHostMap-1")).row["hostId"]
        await cloud.commands.intervene("host", host, ForceRemove("burnt down"), cloud.actor)
        async with asyncio.timeout(10):
            while await cloud.store.used(f"host-{host}/compute"):
                await asyncio.sleep(0.02)
        ended = await cloud.until(stream, state)
        assert (ended.row["allocationState"] == "active") is (state == "running")


async def test_an_agent_that_stays_silent_is_noted_as_disconnected_until_it_answers_and_what_it_runs_is_left_alone(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url) as cloud:
        agent, stream, _ = await one_that_runs(cloud, "restart")
        settings = cloud.engine.settings
        assert isinstance(settings, dict)
        settings |= {FAILED: 1, GRACE: 2}
        await cloud.agent.subscription.unsubscribe()
        async with asyncio.timeout(60):
            while not (silent := await cloud.resource(f"agent-{agent}")).data.get(DISCONNECTED):
                await asyncio.sleep(0.1)
        assert silent.state == "reconnecting"
        assert (await cloud.resource(stream)).state == "running"
        await cloud.agent.listen(agent)
        await cloud.agent.nats.publish(presence_subject(agent), Presence(agent=agent, uuid="x").encode())
        back = await cloud.until(f"agent-{agent}", "active", seconds=60)
        assert not back.data.get(DISCONNECTED)
        assert (await cloud.resource(stream)).state == "running"


async def test_what_ran_on_a_host_that_was_declared_dead_runs_on_another(nats_url: str) -> None:
    async with a_running_cloud(MemoryStore(), nats_url, hosts=2) as cloud:
        _, stream, _ = await one_that_runs(cloud, "restart")
        host = (await cloud.resource("instanceHostMap-1")).row["hostId"]
        await cloud.commands.intervene("host", host, DeclareDead("burnt down"), cloud.actor)
        async with asyncio.timeout(60):
            while await cloud.store.used(f"host-{host}/compute"):
                await asyncio.sleep(0.02)
        await cloud.until(stream, "running", seconds=60)
        [restart] = [each for each in await cloud.store.read(stream) if each.data.get("reason", "").startswith("it ended with its host")]
        assert restart.data["reason"] == f"it ended with its host: host {host} was declared dead: burnt down"

"""Tasks at work: one server leads, every engine does its share, and each execution comes to an end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from commands import events
from commands.accepting import executions
from commands.accepting.seed import seed
from commands.accepting.service import Actor, Commands
from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.fields import date_text
from commands.catalogue.tasks import BY_NAME, CLEANUP, PING, PURGE, REPLAY, RETRY, TASKS
from commands.resource import Resource
from commands.settings.settings import DEFAULTS
from commands.snapshots import folded_on
from commands.watching.task_runner import TaskRunner
from eventstore import Event, Store, Write
from tests.commands.engine.test_throttles import Holding, made
from tests.support.cloud import a_running_cloud

NEVER = {task.schedule: 0 for task in TASKS}


def runner(store: Store, holder: str = "here", **settings: Any) -> TaskRunner:
    chosen = {**DEFAULTS, **NEVER, "task.initial.delay.seconds": 0, **settings}
    return TaskRunner(Commands(store, CATALOGUE, chosen), chosen, holder)


async def rows(store: Store) -> list[Resource]:
    """All executions there are."""
    found = folded_on({}, (await store.load(("taskInstance",), (), "")).events).values()
    return sorted((each for each in found if not each.removed), key=lambda each: each.id)


def commands_of(store: Store) -> Commands:
    return Commands(store, CATALOGUE, DEFAULTS)


async def test_what_is_begun_is_ended_by_whoever_leads(store: Store) -> None:
    await executions.begin(commands_of(store), BY_NAME[PURGE].number, Actor(1))
    leader, other = runner(store), runner(store, "there")
    await leader.look()
    await other.look()
    [execution] = await rows(store)
    assert (execution.row["serverId"], execution.row["exception"]) == ("here", None)
    assert execution.row["endTime"] >= execution.row["startTime"]
    assert not execution.held


async def test_tasks_are_begun_by_their_schedule_on_one_server(store: Store) -> None:
    schedule: dict[str, Any] = {BY_NAME[PURGE].schedule: 3600, BY_NAME[PING].schedule: 3600}
    both = [runner(store, holder, **schedule) for holder in ("here", "there")]
    for _ in range(3):
        for each in both:
            await each.look()
    assert sorted(each.row["name"] for each in await rows(store)) == [PING, PURGE]
    assert {each.row["serverId"] for each in await rows(store)} == {"here"}


async def test_a_schedule_that_is_changed_counts_at_once(store: Store) -> None:
    chosen: dict[str, Any] = {**DEFAULTS, **NEVER, "task.initial.delay.seconds": 0}
    leader = TaskRunner(commands_of(store), chosen, "here")
    await leader.look()
    assert await rows(store) == []
    chosen[BY_NAME[PURGE].schedule] = 1
    async with asyncio.timeout(20):
        while len(await rows(store)) < 2:
            await leader.look()
            await asyncio.sleep(0.05)


async def test_the_first_execution_waits_for_its_delay(store: Store) -> None:
    settings: dict[str, Any] = {BY_NAME[PURGE].schedule: 1, "task.initial.delay.seconds": 3600}
    leader = runner(store, **settings)
    for _ in range(2):
        await leader.look()
    assert await rows(store) == []


async def test_the_next_leader_ends_what_a_dead_one_began(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.watching.task_runner.LEASE_SECONDS", 0.3)
    dead = runner(store, "dead")
    await dead.look()
    await executions.begin(commands_of(store), BY_NAME[PURGE].number, Actor(1))
    successor = runner(store, "successor")
    async with asyncio.timeout(20):
        while (await rows(store))[0].row.get("endTime") is None:
            await successor.look()
            await asyncio.sleep(0.02)
    assert (await rows(store))[0].row["serverId"] == "successor"


async def test_a_leader_that_stops_leaves_the_lease_to_others(store: Store) -> None:
    task = asyncio.create_task(runner(store, "first").run())
    async with asyncio.timeout(20):
        while not await store.leases("tasks"):
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task}, timeout=10)
    second = runner(store, "second")
    await second.look()
    assert [each.holder for each in await store.leases("tasks")] == ["second"]


async def test_old_executions_are_forgotten_and_young_ones_and_those_under_way_stay(store: Store) -> None:
    def text(days: float) -> str:
        return date_text(store.now() - timedelta(days=days))

    for number, (began, ended) in enumerate(((30.0, 8.0), (30.0, 6.0), (30.0, None)), 101):
        changes = {"name": PING, "taskId": 3, "startTime": text(began), "endTime": text(ended) if ended else None}
        await store.append([Write(f"taskInstance-{number}", 0, (Event(events.CREATED, {"changes": changes}),))])
    await executions.begin(commands_of(store), BY_NAME[CLEANUP].number, Actor(1))
    await runner(store).look()
    assert [each.id for each in await rows(store) if each.row["name"] == PING] == [102, 103]
    [cleanup] = [each for each in await rows(store) if each.row["name"] == CLEANUP]
    assert (cleanup.row["exception"], bool(cleanup.row["endTime"])) == (None, True)


async def test_what_goes_wrong_is_told_on_the_execution(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: TaskRunner) -> None:
        raise ValueError("there is no more room")

    monkeypatch.setattr(TaskRunner, "_clean_up", broken)
    await executions.begin(commands_of(store), BY_NAME[CLEANUP].number, Actor(1))
    await runner(store).look()
    [execution] = await rows(store)
    assert execution.row["exception"] == "ValueError: there is no more room"
    assert execution.row["endTime"]


# --- every engine's share ---


async def test_a_retry_sends_again_at_once_what_is_unanswered(store: Store, nats_url: str) -> None:
    heard: list[str] = []
    holding = Holding()
    async with a_running_cloud(store, nats_url, behave=holding) as cloud:
        await made(cloud, 1)
        await holding.heard(1)
        for each in cloud.engine._dispatch._by_ask.values():
            each.until_resend = each.delay = 3600.0  # nothing but the task makes it send again
        before = len(cloud.agent.heard)
        await executions.begin(cloud.commands, BY_NAME[RETRY].number, cloud.actor)
        async with asyncio.timeout(20):
            while len(cloud.agent.heard) == before:
                await asyncio.sleep(0.01)
        heard += [each.id for each in cloud.agent.heard[before:]]
        assert set(heard) == {holding.asked[0].id}, "the same command, by its id"


@pytest.mark.parametrize(("name", "everything"), [(REPLAY, True), (PURGE, False)])
async def test_open_work_is_looked_for_at_once(
    store: Store, nats_url: str, name: str, everything: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("commands.engine.wakeups.WORK_SECONDS", 3600.0)
    asked: list[bool] = []
    due_work = type(store).due_work

    async def noted(self: Store, *arguments: Any, waiting: bool = True) -> Any:
        asked.append(waiting)
        return await due_work(self, *arguments, waiting=waiting)

    async with a_running_cloud(store, nats_url) as cloud:
        await asyncio.sleep(0.5)  # what the start looks for is over
        monkeypatch.setattr(type(store), "due_work", noted)
        await executions.begin(cloud.commands, BY_NAME[name].number, cloud.actor)
        async with asyncio.timeout(20):
            while not asked:
                await asyncio.sleep(0.01)
        assert asked[0] is everything


async def test_agents_that_are_not_heard_are_asked_before_their_time(store: Store, nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.watching.presence.LATELY", 2.0)
    async with a_running_cloud(store, nats_url) as cloud:
        await asyncio.sleep(3)  # the scripted agent tells nothing by itself
        [agent] = cloud.engine.fleet.all("agent")
        assert not agent.open
        assert "agent.reconnect" not in {each.data.get("process") for each in await store.read(agent.stream)}
        await executions.begin(cloud.commands, BY_NAME[PING].number, cloud.actor)
        async with asyncio.timeout(20):
            while "agent.reconnect" not in {each.data.get("process") for each in await store.read(agent.stream)}:
                await asyncio.sleep(0.05)


async def test_a_new_cloud_has_no_executions(store: Store) -> None:
    await seed(commands_of(store))
    assert await rows(store) == []

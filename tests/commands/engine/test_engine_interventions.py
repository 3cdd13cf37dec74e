"""Operators and the engine, over real NATS and a real log: retried, cancelled, forced; late answers, progress, turns that break."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from agents.wire import Message
from commands.engine import correspondence
from commands.engine.roots import Roots
from commands.turns.interventions import Cancel, ForceRemove, Intervention, Retry
from commands.turns.turn import Turn
from eventstore import ArchiveAway, Recorded, Resumed, Store
from tests.support.cloud import Cloud, a_running_cloud

ACTIVATE, DEACTIVATE = "compute.instance.activate", "compute.instance.deactivate"


async def silent_at(cloud: Cloud, command: str) -> None:
    """From now on the agent hears this command and does not answer it."""

    async def behave(message: Message) -> Any:
        return None if message.name == command else {}

    cloud.agent.behave = behave


async def until_heard(cloud: Cloud, command: str, count: int = 1) -> Message:
    async with asyncio.timeout(20):
        while len(heard := cloud.agent.commands(command)) < count:
            await asyncio.sleep(0.01)
    return heard[-1]


async def intervene(cloud: Cloud, stream: str, what: Intervention) -> None:
    kind, _, number = stream.rpartition("-")
    await cloud.commands.intervene(kind, int(number), what, cloud.actor)


async def test_a_retry_sends_at_once_what_is_unanswered_with_the_same_id(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:
        await silent_at(cloud, ACTIVATE)
        created = await cloud.create("container", imageUuid="sim:x")
        await until_heard(cloud, ACTIVATE, 2)  # the next one by itself comes two seconds later
        before = asyncio.get_running_loop().time()
        await intervene(cloud, created.stream, Retry("look again"))
        again = await until_heard(cloud, ACTIVATE, 3)
        assert asyncio.get_running_loop().time() - before < 1.9
        assert {each.id for each in cloud.agent.commands(ACTIVATE)} == {again.id}
        await cloud.agent.answer(again, {})
        await cloud.until(created.stream, "running")


async def test_a_late_success_of_a_cancelled_and_purged_start_is_undone_on_the_host(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url, settings={"object.remove.time.delay.seconds": 0}) as cloud:
        await silent_at(cloud, ACTIVATE)
        created = await cloud.create("container", imageUuid="sim:x")
        asked = await until_heard(cloud, ACTIVATE)
        await intervene(cloud, created.stream, Cancel("never mind"))
        await cloud.until(created.stream, "purged")
        own = asked.replyTo or ""
        lie = replace(asked, replyTo=own.replace(".a1.", ".a999."))
        assert lie.replyTo != own
        with capture_logs() as logs:
            await cloud.agent.answer(lie, {})  # by who was not asked
            async with asyncio.timeout(20):
                while not any(each.get("action") == "reply-foreign" for each in logs):
                    await asyncio.sleep(0.01)
        assert not [event for event in await store.read_all(0, 10_000) if event.data.get("late")]
        for _ in range(3):
            await cloud.agent.answer(asked, {})  # done after all, and said three times
        undo = await until_heard(cloud, "compute.instance.remove")
        assert undo.epoch > asked.epoch
        await asyncio.sleep(0.3)
        assert len(cloud.agent.commands("compute.instance.remove")) == 1
        late = [event for event in await store.read_all(0, 10_000) if event.data.get("late")]
        assert {event.data["id"] for event in late} == {asked.id, undo.id}


async def test_removing_a_host_by_force_frees_at_once_what_waits_for_it(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:
        created = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(created.stream, "running")
        await silent_at(cloud, DEACTIVATE)
        await intervene(cloud, created.stream, ForceRemove("stuck"))
        await cloud.until(created.stream, "purging")
        await until_heard(cloud, DEACTIVATE)
        assert await store.used("host-1/compute") == 1
        await intervene(cloud, "host-1", ForceRemove("burnt down"))
        await cloud.until(created.stream, "purged", seconds=3)
        assert await store.used("host-1/compute") == 0


async def test_progress_shows_on_the_instance_and_restarts_the_clock(store: Store, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url) as cloud:
        await silent_at(cloud, "storage.image.activate")
        created = await cloud.create("container", imageUuid="sim:x")
        pull = await until_heard(cloud, "storage.image.activate")
        for percent in range(10, 90, 10):
            report = pull.reply(transitioning="yes", message="pulling", progress=percent)
            await cloud.agent.nats.publish(pull.replyTo or "", report.encode())
            await asyncio.sleep(0.3)
        told = [event for event in await store.read_all(0, 10_000) if event.type == "progressed" and event.stream == created.stream]
        assert 1 <= len(told) <= 3
        assert told[-1].data["message"] == "pulling"
        assert 5 < told[-1].data["percent"] <= 85
        await cloud.agent.answer(pull, {})
        await cloud.until(created.stream, "running")


async def test_a_root_whose_archive_is_away_says_so_and_goes_on_once_it_is_back(
    store: Store, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(roots: Sequence[str], form: str) -> Resumed:
        raise ArchiveAway("the archive's file is not there: put it there again")

    async with a_running_cloud(store, nats_url) as cloud:
        created = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(created.stream, "running")
        with monkeypatch.context() as patched:
            patched.setattr(store, "resume_roots", away)
            cloud.engine._roots.forget(created.stream)
            await cloud.commands.run("instance", created.id, "stop", {}, cloud.actor)
            async with asyncio.timeout(10):
                while not (parked := (await cloud.resource(created.stream)).open["state"].parked):
                    await asyncio.sleep(0.02)
            assert parked.startswith("the archive's file is not there: put it there again. It is tried again at least every")
        stopped = await cloud.until(created.stream, "stopped")
        assert not stopped.open


async def test_a_command_that_can_not_be_sent_again_as_its_archive_is_away_says_so_and_is_once_it_is_back(
    store: Store, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(message: Message) -> Any:
        return None

    async def away(root: str, to_position: int | None = None) -> list[Recorded]:
        raise ArchiveAway("the archive's file is not there: put it there again")

    async with a_running_cloud(store, nats_url, behave=silent) as cloud:
        created = await cloud.create("container", imageUuid="sim:x")
        async with asyncio.timeout(30):
            while not (pulls := cloud.agent.commands("storage.image.activate")):
                await asyncio.sleep(0.01)
    monkeypatch.setattr(correspondence, "RESEND_AGAIN_SECONDS", 0.2)
    monkeypatch.setattr(Roots, "when_asked", lambda self, root, ask: None)  # as where a snapshot was taken since
    with monkeypatch.context() as patched:
        patched.setattr(store, "read_root", away)
        async with a_running_cloud(store, nats_url) as cloud:
            shared = "imageStoragePoolMap-1"
            async with asyncio.timeout(30):
                while not (parked := (await cloud.resource(shared)).open["state"].parked):
                    await asyncio.sleep(0.02)
            why = "the archive's file is not there: put it there again"
            assert parked == f"storage.image.activate can't be sent again: {why}. It is tried again every 0 s"
            await asyncio.sleep(1)
            assert [event.type for event in await store.read(shared)].count("process-parked") == 1
            patched.undo()
            await cloud.agent.nats.subscribe("corral.agent.a1.>", cb=cloud.agent.on_command)
            await cloud.until(created.stream, "running", seconds=30)
            again = cloud.agent.commands("storage.image.activate")[0]
            assert (again.id, again.data) == (pulls[0].id, pulls[0].data)


async def test_a_turn_that_breaks_parks_its_process_with_the_reason_and_goes_on_once_it_is_mended(
    store: Store, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(turn: Turn, resource: Any) -> None:
        raise ZeroDivisionError("a bug")

    async with a_running_cloud(store, nats_url) as cloud:
        with monkeypatch.context() as patched:
            patched.setattr("commands.logic.placement.place", broken)
            created = await cloud.create("container", imageUuid="sim:x")
            async with asyncio.timeout(10):
                while not (parked := (await cloud.resource(created.stream)).open["state"].parked):
                    await asyncio.sleep(0.02)
            assert "Corral itself failed (TypeError" in parked or "Corral itself failed (ZeroDivisionError" in parked
            other = await cloud.create("host", uuid="another", kind="sim")
            await cloud.until(other.stream, "active")  # others are not held up by it
        await intervene(cloud, created.stream, Retry("mended"))
        running = await cloud.until(created.stream, "running")
        assert not running.open

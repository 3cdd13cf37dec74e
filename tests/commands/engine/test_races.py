"""What comes at a bad moment: commands to what is at work, answers that repeat, events that arrive while their root is read."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from commands.catalogue.builtin import CATALOGUE
from commands.engine import wakeups
from commands.engine.engine import Engine
from commands.engine.roots import Roots, as_asked
from commands.resource import fold, fold_all
from commands.sending.bus import Bus
from commands.settings.settings import DEFAULTS
from commands.snapshots import frozen
from commands.turns.decide import Delete, Run
from commands.turns.fleet import Fleet
from commands.turns.remaining import untouched, work
from commands.turns.turn import Answer, Triggers
from eventstore import Claim, Resumed, Store
from eventstore.memory import MemoryStore
from tests.support.cloud import a_running_cloud
from tests.support.story import Story, a_cloud

INSTANCE = "instance-1"
ACTIVATE = "compute.instance.activate"


def starting() -> Story:
    """Its volume is active; the host is asked to start it."""
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    while story.asks()[0].command != ACTIVATE:
        story.answer(story.asks()[0])
    return story


def running() -> Story:
    story = starting()
    story.answer_all()
    return story


# --- answers ---


def test_an_error_that_is_answered_twice_counts_once_and_what_comes_after_it_nothing() -> None:
    story = starting()
    [ask] = story.asks()
    story.answer(ask, error="no")
    before = len(story.log)
    story.answer(ask, error="no")
    story.answer(ask)
    assert len(story.log) == before
    assert story.resource(INSTANCE).state == "starting"


def test_of_two_answers_in_one_turn_each_is_the_cause_of_what_follows_from_it() -> None:
    story = a_cloud(hosts=2)
    story.create("container", imageId=1, accountId=1, startOnCreate=False)
    another_map(story)
    another_map(story)
    story.command(INSTANCE, Run("start"))
    story.answer(story.asks()[0])
    asks = story.asks()
    assert [ask.command for ask in asks] == ["storage.volume.activate"] * 2
    story.take_turn(INSTANCE, Triggers(answers=tuple(Answer(ask.id, ask.command, {}) for ask in asks)))
    for ask in asks:
        answered, ended = [event for event in story.log if event.stream == ask.stream][-2:]
        assert (answered.type, ended.type) == ("step-succeeded", "process-succeeded")
        assert ended.metadata["causation"] == answered.id


def test_a_request_that_the_agent_knows_a_newer_one_than_is_made_anew_while_it_is_waited_for() -> None:
    """Two requests about one thing on the agent's side (two maps of a volume, say): the older one must not wait for ever."""
    story = starting()
    [ask] = story.asks()
    story.take_turn(ask.root, Triggers(answers=(Answer(ask.id, ask.command, {}, "behind", stale=True),)))
    [again] = story.asks()
    assert (again.command, again.stream) == (ask.command, ask.stream)
    assert again.id != ask.id
    assert again.epoch > ask.epoch
    story.answer(ask, error="late")
    story.answer(again)
    assert story.resource(INSTANCE).state == "running"


# --- commands to what is at work ---


def test_a_stop_during_a_restart_leaves_it_stopped() -> None:
    story = running()
    story.command(INSTANCE, Run("restart"))
    assert story.resource(INSTANCE).state == "stopping"
    story.command(INSTANCE, Run("stop"))
    story.answer_all()
    assert story.resource(INSTANCE).state == "stopped"


def test_a_second_stop_does_not_take_back_a_delete() -> None:
    story = running()
    story.command(INSTANCE, Delete())
    story.command(INSTANCE, Run("stop"))
    story.answer_all()
    assert story.resource(INSTANCE).state == "removed"


def test_a_deallocation_that_a_delete_supersedes_is_taken_to_its_end() -> None:
    story = running()
    story.command(INSTANCE, Run("stop", {"deallocateFromHost": True}))
    while story.asks()[0].command != "storage.volume.remove":
        story.answer(story.asks()[0])
    story.command(INSTANCE, Delete())
    assert story.answer_all() == ["storage.volume.remove"]
    instance, volume_map = story.resource(INSTANCE), story.resource("volumeStoragePoolMap-1")
    assert (instance.state, instance.row["allocationState"], volume_map.state) == ("removed", "inactive", "removed")


def test_an_update_of_a_volume_does_not_fail_the_start_of_its_instance() -> None:
    story = starting()
    story.command("volume-1", Run("update"))
    story.answer_all()
    assert (story.resource(INSTANCE).state, story.resource("volume-1").state) == ("running", "active")


def test_a_volume_that_is_deleted_while_it_is_deactivated_is_deactivated_all_the_same() -> None:
    story = running()
    story.command(INSTANCE, Run("stop"))
    story.answer(story.asks()[0])
    assert story.resource("volume-1").state == "deactivating"
    story.command("volume-1", Delete())
    assert story.answer_all()[0] == "storage.volume.deactivate"
    assert (story.resource("volume-1").state, story.resource(INSTANCE).state) == ("removed", "stopped")


def test_an_image_that_is_taken_out_of_its_pool_while_it_is_waited_for_is_put_there_again() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    story.command("imageStoragePoolMap-1", Delete())
    assert story.answer_all()[0] == "storage.image.activate"
    assert story.resource(INSTANCE).state == "running"
    assert story.resource("imageStoragePoolMap-2").state == "active"
    releases = [each for event in story.log if event.stream == "imageStoragePoolMap-1" for each in event.releases]
    assert [(each.scope, each.item) for each in releases] == [("imageStoragePoolMap.imageId+storagePoolId", "[1,1]")]


def test_a_purge_of_an_old_image_map_does_not_hide_the_new_one() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    story.command("imageStoragePoolMap-1", Delete())
    story.answer_all()
    story.pass_time(61)
    assert story.resource("imageStoragePoolMap-1").state == "purged"
    story.create("container", imageId=1, accountId=1)
    assert "storage.image.activate" not in story.answer_all()
    assert story.fleet.image_in_pool(1, 1) == story.resource("imageStoragePoolMap-2")


def test_a_map_to_a_host_that_is_removed_while_its_instance_starts_has_it_stopped_there() -> None:
    story = starting()
    story.command("instanceHostMap-1", Delete())
    assert [ask.command for ask in story.asks()] == ["compute.instance.deactivate"]
    story.answer_all()
    assert story.resource("instanceHostMap-1").state == "removed"


def test_two_maps_of_a_volume_to_one_pool_fetch_its_image_once() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1, startOnCreate=False)
    another_map(story)
    another_map(story)
    story.command(INSTANCE, Run("start"))
    assert story.answer_all().count("storage.image.activate") == 1
    assert [each.stream for each in story.resources().values() if each.type == "imageStoragePoolMap"] == ["imageStoragePoolMap-1"]
    assert story.resource(INSTANCE).state == "running"


def test_a_start_that_finds_no_place_leaves_nothing_allocated_whatever_maps_its_volume_has() -> None:
    story = a_cloud(slots=0)
    story.create("container", imageId=1, accountId=1, startOnCreate=False)
    another_map(story)
    story.command(INSTANCE, Run("start"))
    instance = story.resource(INSTANCE)
    assert (instance.state, instance.row["allocationState"]) == ("stopped", "inactive")


def another_map(story: Story) -> None:
    """As the API makes it: the volume's, to the first host's pool."""
    turn = story.turn(INSTANCE, story.resources())
    turn.create("volumeStoragePoolMap", {"volumeId": 1, "storagePoolId": 1}, run=False)
    story._append(turn)
    story.settle()


def test_work_is_done_only_if_nobody_wrote_to_what_the_turn_left_alone() -> None:
    story = starting()
    [ask] = story.asks()
    story.answer(ask)
    story.command(INSTANCE, Run("stop"))
    while len(story.asks()) == 1 and story.asks()[0].command != "storage.volume.deactivate":
        story.answer(story.asks()[0])
    resources = {each.stream: each for each in story.resources().values() if each.root == INSTANCE}
    [ask] = story.asks()
    turn = story.turn(INSTANCE, resources, Triggers())
    turn.run()
    assert work(turn) == ([], [])
    assert untouched(turn) == {stream: each.version for stream, each in resources.items()}


# --- what the engine remembers ---


def test_what_is_followed_while_a_root_is_read_is_not_lost() -> None:
    log = [event for event in running().log if event.root == INSTANCE]
    roots = Roots()
    roots.expect(INSTANCE)
    for event in log[-5:]:
        assert roots.follow(event)
    roots.put(INSTANCE, fold_all(log[:-3]))  # read before the last three were there, and after two that came twice
    roots.expected(INSTANCE)
    whole = Roots()
    assert roots.get(INSTANCE) == whole.put(INSTANCE, fold_all(log))


def test_a_root_that_is_read_tells_how_it_was_when_each_unanswered_command_was_asked() -> None:
    log = [event for event in running().log if event.root == INSTANCE]
    requests = [event for event in log if event.type == "step-requested"]
    for request in requests:
        until = [event for event in log if event.position <= request.position]
        version = max(event.version for event in until if event.stream == INSTANCE) + 1
        later = replace(log[0], position=10_000, version=version, type="progressed", data={"pid": "?", "percent": 1})
        roots = Roots()
        roots.put(INSTANCE, *as_asked(Resumed([], [*until, later])))
        assert roots.when_asked(INSTANCE, request.data["id"]) == fold_all(until)
        assert roots.when_asked(INSTANCE, request.data["id"]) is None  # told once
    whole = Roots()
    whole.put(INSTANCE, *as_asked(Resumed([], log)))
    assert all(whole.when_asked(INSTANCE, request.data["id"]) is None for request in requests)  # all have answers


def test_a_snapshot_taken_since_a_command_was_asked_tells_nothing_of_how_the_root_was_then() -> None:
    log = [event for event in running().log if event.root == INSTANCE]
    request = [event for event in log if event.type == "step-requested"][-1]
    until = [event for event in log if event.position <= request.position]
    sibling = next(event.stream for event in until if event.stream not in (INSTANCE, request.stream))
    for since, known in ((0, True), (1, False)):
        mine = [event for event in until if event.stream == sibling]
        taken = replace(frozen(fold(sibling, mine)), position=request.position - 1 + 2 * since)
        others = [event for event in until if event.stream != sibling]
        roots = Roots()
        roots.put(INSTANCE, *as_asked(Resumed([taken], others)))
        assert (roots.when_asked(INSTANCE, request.data["id"]) is not None) is known


def test_a_claim_whose_append_had_no_answer_counts_once_it_is_in_the_log_and_only_then() -> None:
    story = running()
    [event] = [event for event in story.log if any(claim.limit is not None for claim in event.claims)]
    claim = next(each for each in event.claims if each.limit is not None)
    fleet = Fleet()
    fleet.note(claim)
    assert fleet.used(claim.scope) == 1
    fleet.apply([event])
    assert fleet.used(claim.scope) == 1
    fleet.unclaim(claim)  # Unavailable, though it landed
    assert fleet.used(claim.scope) == 1
    other = Claim(claim.scope, "instance-2", 1, 9)
    fleet.note(other)
    fleet.unclaim(other)  # refused
    assert fleet.used(claim.scope) == 1


def test_a_host_that_was_full_is_not_believed_to_be_so_for_ever() -> None:
    fleet = Fleet()
    fleet.full("host-1/compute", 5)
    assert fleet.used("host-1/compute") == 5
    fleet.forget_full("host-1/compute")
    assert fleet.used("host-1/compute") == 0


# --- the engine, with a log in memory ---


async def test_an_image_that_failed_is_fetched_again_for_the_next_at_once(nats_url: str, monkeypatch: Any) -> None:
    failing = [True]

    async def behave(message: Any) -> Any:
        if message.name == "storage.image.activate" and failing[0]:
            failing[0] = False
            return "no such image"
        return {}

    async with a_running_cloud(MemoryStore(), nats_url, behave=behave) as cloud:
        first = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(first.stream, "removed")
        monkeypatch.setattr(wakeups, "WORK_SECONDS", 3600.0)
        await asyncio.sleep(1.1)
        second = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(second.stream, "running", seconds=3)


async def test_an_answer_that_the_log_cannot_hold_is_an_error(nats_url: str) -> None:
    async def behave(message: Any) -> Any:
        return {"+data": {"text": "\0"}} if message.name == "storage.volume.activate" else {}

    async with a_running_cloud(MemoryStore(), nats_url, behave=behave) as cloud:
        created = await cloud.create("container", imageUuid="sim:x")
        removed = await cloud.until(created.stream, "removed")
        assert "storage.volume.activate can't be taken in" in removed.fields["transitioningMessage"]


async def test_nothing_is_left_to_do_once_everything_rests(nats_url: str) -> None:
    store: Store = MemoryStore()
    async with a_running_cloud(store, nats_url) as cloud:
        created = await cloud.create("container", imageUuid="sim:registered-with-it")
        await cloud.until(created.stream, "running")
        assert await store.due_work(range(16), 1000) == []


async def test_an_engine_that_was_stopped_takes_no_more_turns(nats_url: str) -> None:
    store: Store = MemoryStore()
    async with a_running_cloud(store, nats_url) as cloud:
        created = await cloud.create("container", imageUuid="sim:x")
        await cloud.until(created.stream, "running")
        engine = cloud.engine
    engine.schedule(created.stream)  # as an answer that comes late does


async def test_a_second_engine_takes_over_in_the_middle_and_finishes_what_the_first_began(nats_url: str) -> None:
    store: Store = MemoryStore()
    bus = Bus(nats_url, "second")
    await bus.start()
    answers = asyncio.Event()

    async def behave(message: Any) -> Any:
        return {} if answers.is_set() else None

    try:
        async with a_running_cloud(store, nats_url, behave=behave) as cloud:
            created = [await cloud.create("container", imageUuid="sim:x") for _ in range(8)]
            while not cloud.agent.commands("storage.image.activate"):
                await asyncio.sleep(0.01)
            second = asyncio.create_task(Engine(store, bus, CATALOGUE, DEFAULTS, holder="second").run())
            try:
                held = cloud.engine._partitions.held
                await store.give_up(list(held.values()))  # as if it had been paused for longer than its leases last
                answers.set()
                for each in created:
                    await cloud.until(each.stream, "running", seconds=20)
                asked = [message.data["instanceHostMap"]["instance"]["id"] for message in cloud.agent.commands(ACTIVATE)]
                assert {each.id for each in created} == set(asked)
            finally:
                second.cancel()
                await asyncio.wait({second}, timeout=10)
    finally:
        await bus.close()

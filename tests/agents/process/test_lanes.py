"""What an agent is told about one thing, over a real NATS: epochs, their order, and what takes the place of what."""

from __future__ import annotations

import asyncio
import time

import pytest

from agents.simulated import Knobs
from agents.wire import Message
from tests.agents.conftest import StartSimulated
from tests.agents.orders import Ear, activate, command, deactivate, in_pool, instance, on_pool, purge


async def test_a_command_behind_a_newer_epoch_is_stale_and_does_nothing(start_simulated: StartSimulated, ear: Ear) -> None:
    _, driver = await start_simulated()
    web = instance()
    await ear.ask(activate(web, 10, agent=ear.agent))
    await ear.ask(deactivate(web, 20, agent=ear.agent))
    late = await ear.ask(activate(web, 15, agent=ear.agent))
    assert late.transitioning == "error"
    assert (late.context or {})["stale"] is True
    assert "epoch 15" in str(late.transitioningMessage)
    assert "epoch 20" in str(late.transitioningMessage)
    assert await driver.instances() == {}


async def test_a_removed_instance_stays_removed_for_older_commands(start_simulated: StartSimulated, ear: Ear) -> None:
    """The tombstone: its root volume's removal counts for the instance, though no command about the instance bore that epoch."""
    _, driver = await start_simulated()
    web = instance()
    await ear.ask(activate(web, 10, agent=ear.agent))
    await ear.ask(purge(web, 30, agent=ear.agent))
    late = await ear.ask(activate(web, 25, agent=ear.agent))
    assert (late.context or {}).get("stale") is True
    assert driver.boxes()[web["uuid"]].state == "removed"
    restored = await ear.ask(activate(web, 40, agent=ear.agent))
    assert restored.transitioning is None
    assert driver.boxes()[web["uuid"]].created == 2


async def test_an_old_removal_of_the_root_volume_spares_an_instance_started_since(start_simulated: StartSimulated, ear: Ear) -> None:
    _, driver = await start_simulated()
    web = instance()
    await ear.ask(activate(web, 40, agent=ear.agent))
    assert ((await ear.ask(purge(web, 30, agent=ear.agent))).context or {}).get("stale") is True
    assert await driver.instances() == {web["uuid"]: "running"}


async def test_an_old_removal_of_an_image_spares_one_that_is_back_in_the_pool(start_simulated: StartSimulated, ear: Ear) -> None:
    """Nothing waits for such a removal: the pool may have its image again while it is still on its way."""
    await start_simulated()

    def image(verb: str, epoch: int, pool: int) -> Message:
        data = in_pool("sim:x")
        data["imageStoragePoolMap"]["storagePoolId"] = pool
        return command(f"storage.image.{verb}", data, epoch, agent=ear.agent)

    assert (await ear.ask(image("activate", 40, 1))).transitioning is None
    assert ((await ear.ask(image("remove", 30, 1))).context or {}).get("stale") is True
    assert (await ear.ask(image("remove", 30, 2))).transitioning is None  # another pool of the same agent
    assert (await ear.ask(image("remove", 50, 1))).transitioning is None


async def test_epochs_and_answers_outlive_the_agent(start_simulated: StartSimulated, ear: Ear) -> None:
    first, _ = await start_simulated()
    web = instance()
    sent = deactivate(web, 20, agent=ear.agent)
    answer = await ear.ask(sent)
    await first.stop()
    _, driver = await start_simulated()
    assert (await ear.ask(sent)).id == answer.id
    assert ((await ear.ask(activate(web, 10, agent=ear.agent))).context or {}).get("stale") is True
    assert driver.boxes() == {}


async def test_a_newer_request_takes_over_what_is_under_way(start_simulated: StartSimulated, ear: Ear) -> None:
    _, driver = await start_simulated(Knobs(delay={"compute.instance.activate": 0.4}))
    web = instance()
    older, newer = activate(web, 10, agent=ear.agent), activate(web, 12, agent=ear.agent)
    began = time.monotonic()
    await ear.send(older)
    await asyncio.sleep(0.1)
    answer = await ear.ask(newer)
    assert answer.transitioning is None
    assert time.monotonic() - began < 0.75  # done once, not one after the other
    assert (ear.finals(older.id)[0].context or {}).get("stale") is True
    assert driver.boxes()[web["uuid"]].created == 1


async def test_a_volume_in_two_pools_is_activated_in_both(start_simulated: StartSimulated, ear: Ear) -> None:
    await start_simulated(Knobs(delay={"storage.volume.activate": 0.2}))
    here, there = on_pool(instance()), on_pool(instance())
    there["volumeStoragePoolMap"]["volume"] = here["volumeStoragePoolMap"]["volume"]
    there["volumeStoragePoolMap"]["storagePool"] = {"uuid": "pool2"}
    both = [command("storage.volume.activate", data, epoch, agent=ear.agent) for data, epoch in ((here, 10), (there, 12))]
    await ear.send(*both)
    for each in both:
        assert (await ear.wait_for(each.id))[0].transitioning is None


async def test_the_removals_of_a_root_volume_from_its_pools_are_not_in_each_others_way(start_simulated: StartSimulated, ear: Ear) -> None:
    """In whatever order they arrive: each ends what the instance has here, and none is about what another is about."""
    _, driver = await start_simulated()
    web = instance()
    await ear.ask(activate(web, 10, agent=ear.agent))
    removals = []
    for epoch in (36, 35, 31, 34, 32, 33):
        data = on_pool(web)
        data["volumeStoragePoolMap"]["storagePool"] = {"uuid": f"pool{epoch}"}
        removals.append(command("storage.volume.remove", data, epoch, agent=ear.agent))
    await ear.send(*removals[:3])
    for each in removals[:3]:
        assert (await ear.wait_for(each.id))[0].transitioning is None
    for each in removals[3:]:
        assert (await ear.ask(each)).transitioning is None
    for behind in (activate(web, 35, agent=ear.agent), deactivate(web, 20, agent=ear.agent)):
        assert ((await ear.ask(behind)).context or {}).get("stale") is True
    assert driver.boxes()[web["uuid"]].state == "removed"
    assert (await ear.ask(activate(web, 40, agent=ear.agent))).transitioning is None
    assert ((await ear.ask(purge(web, 39, agent=ear.agent))).context or {}).get("stale") is True


@pytest.mark.parametrize("device", [0, 1])
async def test_several_maps_of_a_volume_to_one_pool_are_not_in_each_others_way(
    start_simulated: StartSimulated, ear: Ear, device: int
) -> None:
    await start_simulated(Knobs(delay={"storage.volume.activate": 0.1}))
    web = instance()

    def by_map(verb: str, number: int, epoch: int) -> Message:
        data = on_pool(web, device)
        data["volumeStoragePoolMap"]["id"] = number
        return command(f"storage.volume.{verb}", data, epoch, agent=ear.agent)

    siblings = [by_map("activate", number, 20 + number) for number in (6, 1, 5, 2, 4, 3)]
    await ear.send(*siblings)
    for each in siblings:
        assert (await ear.wait_for(each.id))[0].transitioning is None
    late = (by_map("remove", 1, 25), by_map("deactivate", 9, 25), by_map("activate", 6, 25))
    for each in late:  # but what is contrary, or of the same map, must not come after what is newer
        assert ((await ear.ask(each)).context or {}).get("stale") is True
    removals = [by_map("remove", number, 40 - number) for number in (1, 2, 3)]
    for each in removals:
        assert (await ear.ask(each)).transitioning is None
    assert ((await ear.ask(by_map("activate", 4, 38))).context or {}).get("stale") is True


async def test_a_stop_overtakes_the_starts_that_wait(start_simulated: StartSimulated, ear: Ear) -> None:
    """start 10 runs, stop 20 and a late duplicate start 15 wait: at the end it is stopped, and 15 did nothing."""
    _, driver = await start_simulated(Knobs(delay={"compute.instance.activate": 0.2}))
    web = instance()
    start, again, stop = activate(web, 10, agent=ear.agent), activate(web, 15, agent=ear.agent), deactivate(web, 20, agent=ear.agent)
    await ear.send(start)
    await asyncio.sleep(0.1)
    await ear.send(stop, again)
    for each in (start, stop, again):
        await ear.wait_for(each.id)
    assert ear.finals(start.id)[0].transitioning is None
    assert ear.finals(stop.id)[0].transitioning is None
    assert (ear.finals(again.id)[0].context or {}).get("stale") is True
    assert await driver.instances() == {}


async def test_a_start_that_did_not_begin_gives_way_to_a_newer_stop(start_simulated: StartSimulated, ear: Ear) -> None:
    _, driver = await start_simulated(Knobs(delay={"storage.volume.activate": 0.2}))
    web = instance()
    volume = command("storage.volume.activate", on_pool(web), 5, agent=ear.agent)
    start, stop = activate(web, 10, agent=ear.agent), deactivate(web, 20, agent=ear.agent)
    await ear.send(volume, start, stop)
    await ear.wait_for(stop.id)
    assert (ear.finals(start.id)[0].context or {}).get("stale") is True
    assert ear.finals(volume.id)[0].transitioning is None
    assert driver.boxes() == {}


async def test_different_instances_run_side_by_side_up_to_the_limit(start_simulated: StartSimulated, ear: Ear) -> None:
    await start_simulated(Knobs(delay={"compute.instance.activate": 0.2}), concurrency=4)
    sent = [activate(instance(f"web{each}"), agent=ear.agent) for each in range(8)]
    began = time.monotonic()
    await ear.send(*sent)
    for each in sent:
        await ear.wait_for(each.id)
    # Two rounds of four: one after the other would be 1.6 seconds, without a limit 0.2.
    assert 0.4 <= time.monotonic() - began < 1.2


async def test_hundreds_of_commands_at_once_are_all_answered_once(start_simulated: StartSimulated, ear: Ear) -> None:
    _, driver = await start_simulated()
    sent = [activate(instance(f"web{each}"), each + 1, agent=ear.agent) for each in range(300)]
    await ear.send(*sent, *sent)
    for each in sent:
        await ear.wait_for(each.id)
    assert {box.created for box in driver.boxes().values()} == {1}
    assert len(await driver.instances()) == 300


async def test_images_need_no_epoch_and_are_activated_once_for_all_that_ask(start_simulated: StartSimulated, ear: Ear) -> None:
    await start_simulated(Knobs(delay={"storage.image.activate": 0.3}))
    asks: list[Message] = [command("storage.image.activate", in_pool("sim:foo"), each, agent=ear.agent) for each in (30, 20, 30)]
    began = time.monotonic()
    await ear.send(*asks)
    for each in asks:
        await ear.wait_for(each.id)
    assert time.monotonic() - began < 0.55

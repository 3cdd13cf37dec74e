"""An instance's life, told by its events: what each command leads to, and what happens when agents fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from commands.errors import Conflict, NotFound
from commands.turns.decide import Delete, Run
from tests.support.story import Ask, Story, a_cloud

INSTANCE = "instance-1"
ACTIVATE = "compute.instance.activate"
DEACTIVATE = "compute.instance.deactivate"


def running(story: Story | None = None, **fields: object) -> Story:
    story = story or a_cloud()
    story.create("container", name="web", imageId=1, accountId=1, **fields)
    story.answer_all()
    return story


def failing(command: str, times: int = 1000) -> Callable[[Ask], Any]:
    """An agent that answers a command with an error, so many times."""
    left = [times]

    def agent(ask: Ask) -> Any:
        if ask.command == command and left[0] > 0:
            left[0] -= 1
            return f"Failing [{ask.command}]"
        return {}

    return agent


def states(story: Story) -> dict[str, str]:
    return {each.stream: each.state for each in story.resources().values() if each.root == INSTANCE}


def test_a_created_container_runs_after_four_appends_when_its_image_is_in_the_pool() -> None:
    story = running()
    events, appends = len(story.log), story.appends
    story.create("container", imageId=1, accountId=1)
    assert story.resource("instance-2").state == "starting"
    assert story.answer_all() == ["storage.volume.activate", ACTIVATE]
    assert story.resource("instance-2").state == "running"
    assert len(story.log) - events <= 25
    assert story.appends - appends <= 5


def test_everything_that_a_running_instance_needs_is_active() -> None:
    story = running()
    assert states(story) == {
        INSTANCE: "running",
        "volume-1": "active",
        "instanceHostMap-1": "active",
        "volumeStoragePoolMap-1": "active",
    }
    instance = story.resource(INSTANCE)
    assert instance.row["allocationState"] == "active"
    assert instance.row["firstRunning"]
    assert not any(each.open for each in story.resources().values())


def test_an_instance_that_is_not_to_be_started_stays_stopped() -> None:
    story = a_cloud()
    created = story.create("container", imageId=1, accountId=1, startOnCreate=False)
    assert created.state == "stopped"
    assert story.asks() == []


@pytest.mark.parametrize("on_create", [None, False])
def test_a_start_that_comes_before_the_creation_was_looked_at_starts_what_is_created_first(on_create: bool | None) -> None:
    story = a_cloud()
    stream = story.request("container", imageId=1, accountId=1, startOnCreate=on_create, ports=["80:8080/tcp"])
    story.command(stream, Run("start"))
    before = len(story.log)
    story.command(stream, Run("start"))
    assert len(story.log) == before
    story.answer_all()
    assert states(story) == {
        INSTANCE: "running",
        "volume-1": "active",
        "instanceHostMap-1": "active",
        "volumeStoragePoolMap-1": "active",
        "port-1": "active",
    }


def test_a_creation_that_fails_in_the_name_of_a_start_removes_the_instance_too() -> None:
    story = a_cloud()
    stream = story.request("container", imageId=1, accountId=1, ports=["no port"])
    story.command(stream, Run("start"))
    story.answer_all()
    instance = story.resource(stream)
    assert instance.state == "removed"
    assert "port" in instance.fields["transitioningMessage"]


def test_what_is_activated_before_its_creation_was_looked_at_is_created_first() -> None:
    story = a_cloud()
    network = story.create("network", accountId=1)
    stream = story.request("subnet", accountId=1, networkId=network.id, networkAddress="10.1.0.0")
    story.command(stream, Run("activate"))
    subnet = story.resource(stream)
    assert subnet.state == "active"
    assert subnet.row["startAddress"]


def test_starting_twice_is_starting_once() -> None:
    story = running()
    before = len(story.log)
    story.command(INSTANCE, Run("start"))
    assert len(story.log) == before


def test_an_absent_instance_cannot_start() -> None:
    with pytest.raises(NotFound, match="cannot start an instance that is absent"):
        a_cloud().command("instance-9", Run("start"))


def test_a_removed_instance_cannot_start_and_the_refusal_says_when_it_could() -> None:
    story = running()
    story.command(INSTANCE, Delete())
    story.answer_all()
    with pytest.raises(Conflict, match=r"web is removed: instance\.start is possible when it is stopped or creating"):
        story.command(INSTANCE, Run("start"))


def test_a_stopped_instance_keeps_its_place_and_starts_there_again() -> None:
    story = running()
    story.command(INSTANCE, Run("stop"))
    assert story.resource(INSTANCE).state == "stopping"
    assert story.answer_all() == [DEACTIVATE, "storage.volume.deactivate"]
    assert states(story) == {
        INSTANCE: "stopped",
        "volume-1": "inactive",
        "instanceHostMap-1": "inactive",
        "volumeStoragePoolMap-1": "inactive",
    }
    assert story.fleet.used("host-1/compute") == 1
    story.command(INSTANCE, Run("start"))
    story.answer_all()
    assert story.resource(INSTANCE).state == "running"
    assert len([each for each in story.resources().values() if each.type == "instanceHostMap"]) == 1


def test_a_stop_that_deallocates_frees_the_host_and_the_next_start_is_placed_anew() -> None:
    story = running()
    story.command(INSTANCE, Run("stop", {"deallocateFromHost": True}))
    story.answer_all()
    instance = story.resource(INSTANCE)
    assert (instance.state, instance.row["allocationState"]) == ("stopped", "inactive")
    assert story.resource("instanceHostMap-1").state == "removed"
    assert story.fleet.used("host-1/compute") == 0
    story.command(INSTANCE, Run("start"))
    story.answer_all()
    assert story.resource(INSTANCE).state == "running"
    assert story.resource("instanceHostMap-2").state == "active"
    assert story.fleet.used("host-1/compute") == 1


def test_a_restart_stops_and_starts_and_shows_every_state_between() -> None:
    story = running()
    before = len(story.log)
    story.command(INSTANCE, Run("restart"))
    story.answer_all()
    assert story.resource(INSTANCE).state == "running"
    seen = [
        via
        for event in story.log[before:]
        if event.stream == INSTANCE and event.data.get("field") == "state" and (via := event.data.get("via"))
    ]
    assert seen == ["restarting", "stopping", "starting"]


def test_deleting_a_running_instance_stops_it_first_and_purging_leaves_nothing_on_the_host() -> None:
    story = running()
    assert story.command(INSTANCE, Delete()).state == "stopping"
    story.answer_all()
    removed = story.resource(INSTANCE)
    assert removed.state == "removed"
    assert removed.row["removed"]
    story.pass_time(61)
    assert story.answer_all() == ["storage.volume.remove"]
    assert story.resource(INSTANCE).state == "purged"
    assert story.fleet.used("host-1/compute") == 0
    story.pass_time(61)
    story.answer_all()
    assert set(states(story).values()) == {"purged"}


def test_a_removed_instance_is_restored_with_its_volume() -> None:
    story = running()
    story.command(INSTANCE, Delete())
    story.answer_all()
    story.command(INSTANCE, Run("restore"))
    restored = story.resource(INSTANCE)
    assert (restored.state, restored.row["removed"], restored.row["removeTime"]) == ("stopped", None, None)
    assert story.resource("volume-1").state == "inactive"
    story.command(INSTANCE, Run("start"))
    story.answer_all()
    assert story.resource(INSTANCE).state == "running"


def test_a_stop_supersedes_a_start_under_way() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    assert story.resource(INSTANCE).state == "starting"
    story.command(INSTANCE, Run("stop"))
    assert "process-cancelled" in story.types(INSTANCE)
    story.answer_all()
    assert story.resource(INSTANCE).state == "stopped"
    assert not any(each.open for each in story.resources().values())


def test_a_create_whose_compute_fails_three_times_is_removed_with_the_error_on_it() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    agent = failing(ACTIVATE)
    tries = 0
    for _ in range(10):
        tries += story.answer_all(agent).count(ACTIVATE)
        story.pass_time(5)
    instance = story.resource(INSTANCE)
    assert tries == 3
    assert instance.state == "removed"
    assert instance.fields["transitioningMessage"] == f"Failing [{ACTIVATE}]"
    assert instance.fields["transitioning"] == "error"


def test_a_later_start_that_fails_stops_the_instance_and_a_good_one_clears_the_error() -> None:
    story = running()
    story.command(INSTANCE, Run("stop"))
    story.answer_all()
    story.command(INSTANCE, Run("start"))
    for _ in range(3):
        story.answer_all(failing(ACTIVATE))
        story.pass_time(5)
    story.answer_all()
    instance = story.resource(INSTANCE)
    assert (instance.state, instance.fields["transitioning"]) == ("stopped", "error")
    story.command(INSTANCE, Run("start"))
    story.answer_all()
    instance = story.resource(INSTANCE)
    assert (instance.state, "transitioning" in instance.fields) == ("running", False)


def test_a_start_goes_on_when_the_second_try_succeeds() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    agent = failing(ACTIVATE, times=1)
    story.answer_all(agent)
    story.pass_time(1)
    story.answer_all(agent)
    assert story.resource(INSTANCE).state == "running"


def test_an_image_that_cannot_be_fetched_fails_all_who_wait_for_it() -> None:
    story = a_cloud()
    for _ in range(3):
        story.create("container", imageId=1, accountId=1)
    assert [ask.command for ask in story.asks()] == ["storage.image.activate"]
    story.answer_all(failing("storage.image.activate", times=1))
    messages = {story.resource(f"instance-{number}").fields["transitioningMessage"] for number in (1, 2, 3)}
    assert messages == {"Failing [storage.image.activate]"}
    assert {story.resource(f"instance-{number}").state for number in (1, 2, 3)} == {"removed"}


def test_an_image_is_fetched_once_for_all_who_wait_for_it() -> None:
    story = a_cloud()
    for _ in range(5):
        story.create("container", imageId=1, accountId=1)
    assert story.answer_all().count("storage.image.activate") == 1
    assert {story.resource(f"instance-{number}").state for number in range(1, 6)} == {"running"}


def test_an_instance_without_a_host_is_removed_and_says_why_host_by_host() -> None:
    story = a_cloud(hosts=2, slots=0)
    story.create("container", imageId=1, accountId=1)
    story.answer_all()
    instance = story.resource(INSTANCE)
    assert instance.state == "removed"
    message = instance.fields["transitioningMessage"]
    assert message.startswith("Failed to find a placement : ")
    assert message.count("full, 0 of 0 free, 1 needed") == 2


def test_instances_spread_evenly_over_the_hosts() -> None:
    story = a_cloud(hosts=3, slots=10)
    for _ in range(6):
        story.create("container", imageId=1, accountId=1)
    story.answer_all()
    assert [story.fleet.used(f"host-{number}/compute") for number in (1, 2, 3)] == [2, 2, 2]


def test_a_requested_host_is_taken_or_the_reason_is_given() -> None:
    story = a_cloud(hosts=3)
    story.create("container", imageId=1, accountId=1, requestedHostId=2)
    story.create("container", imageId=1, accountId=1, requestedHostId=9)
    story.answer_all()
    assert story.resource("instanceHostMap-1").row["hostId"] == 2
    assert "the request names other hosts" in story.resource("instance-2").fields["transitioningMessage"]


def test_a_first_host_is_taken_once_and_where_it_is_full_another() -> None:
    story = a_cloud(hosts=3, slots=1)
    for _ in range(2):
        story.create("container", imageId=1, accountId=1, firstHostId=2)
    story.answer_all()
    assert [story.resource(f"instanceHostMap-{number}").row["hostId"] for number in (1, 2)] == [2, 1]
    assert {story.resource(f"instance-{number}").get("firstHostId") for number in (1, 2)} == {None}
    story.create("container", imageId=1, accountId=1, firstHostId=1, requestedHostId=3)
    story.answer_all()
    assert story.resource("instanceHostMap-3").row["hostId"] == 3, "where it has to go comes first"


def test_a_teardown_that_fails_is_asked_again_until_it_is_done_and_says_so_meanwhile() -> None:
    story = running()
    story.command(INSTANCE, Run("stop"))
    agent = failing(DEACTIVATE, times=4)
    for _ in range(4):
        story.answer_all(agent)
        story.pass_time(16)
    parked = {event.stream: event.data["reason"] for event in story.log if event.type == "process-parked"}
    assert parked.keys() == {"instanceHostMap-1", INSTANCE}
    assert parked[INSTANCE].startswith("compute.instance.deactivate fails: Failing")
    story.answer_all(agent)
    assert story.resource(INSTANCE).state == "stopped"


def test_replies_cannot_change_what_a_thing_is() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)

    def agent(ask: Ask) -> Any:
        if ask.command == ACTIVATE:
            harmful = {"id": 7, "uuid": "x", "kind": "y", "accountId": 9, "state": "z"}
            return {"instance": {**harmful, "+data": {"+fields": {"dockerIp": "10.0.0.2"}}}}
        return {}

    story.answer_all(agent)
    instance = story.resource(INSTANCE)
    assert (instance.id, instance.kind, instance.row["accountId"], instance.state) == (1, "container", 1, "running")
    assert instance.fields["dockerIp"] == "10.0.0.2"


def test_every_event_names_the_command_that_it_came_from_and_its_cause() -> None:
    story = running()
    events = {event.id for event in story.log}
    for event in story.log:
        assert event.metadata["correlation"] == "a story"
        if cause := event.metadata.get("causation"):
            assert cause in events

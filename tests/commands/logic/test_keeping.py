"""What an instance runs with, taken from under it by whoever may: it is stopped or placed anew, and nothing is left running."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from commands.errors import Conflict
from commands.turns.decide import Command, Delete, Run, decide
from commands.turns.interventions import Cancel, ForceRemove
from tests.support.networks import a_network, of_type, on_network
from tests.support.story import Story, a_cloud

INSTANCE, MAP, VOLUME, VOLUME_MAP = "instance-1", "instanceHostMap-1", "volume-1", "volumeStoragePoolMap-1"
ACTIVATE, DEACTIVATE, REMOVE = "compute.instance.activate", "compute.instance.deactivate", "compute.instance.remove"


def running(hosts: int = 1, **row: object) -> Story:
    story = a_cloud(hosts=hosts)
    story.create("container", imageId=1, accountId=1, **row)
    story.answer_all()
    assert story.resource(INSTANCE).state == "running"
    return story


def by_force(story: Story, stream: str) -> None:
    story.command(stream, ForceRemove("in the way"))
    story.pass_time(0)


def run(story: Story, stream: str, *commands: Command) -> list[str]:
    """-> what was asked of agents meanwhile"""
    asked = []
    for each in commands:
        story.command(stream, each)
        asked += story.answer_all()
    return asked


def unseen(story: Story, stream: str, *commands: Command) -> None:
    """Commands that come before any engine takes a turn."""
    for each in commands:
        resource = story.resource(stream)
        turn = story.turn(resource.root, {stream: resource})
        decide(each, turn, resource.type, resource)
        story._append(turn)


def live_maps(story: Story, type_name: str = "instanceHostMap") -> list[str]:
    return [each.stream for each in of_type(story, type_name) if not each.removed]


def shares(story: Story) -> list[tuple[str, str]]:
    return [(item, holder) for (scope, item), holder in story.claims().items() if scope.endswith("/compute")]


# --- running ---


@pytest.mark.parametrize(("stream", "verb"), [(MAP, "deactivate"), (VOLUME_MAP, "deactivate"), (VOLUME, "deactivate")])
def test_what_runs_is_stopped_when_something_it_runs_with_is_deactivated(stream: str, verb: str) -> None:
    story = running()
    story.command(stream, Run(verb))
    story.answer_all()
    assert story.resource(INSTANCE).state == "stopped"
    assert story.resource(MAP).state == "inactive"
    assert DEACTIVATE in [event.data.get("command") for event in story.log]
    run(story, INSTANCE, Run("start"))
    assert story.resource(INSTANCE).state == "running"
    assert [story.resource(each).state for each in (MAP, VOLUME, VOLUME_MAP)] == ["active"] * 3


def test_what_runs_is_stopped_when_its_map_is_removed_by_force_and_the_agent_confirms_that_first() -> None:
    story = running()
    by_force(story, MAP)
    assert story.resource(INSTANCE).state == "stopping"
    [ask] = story.asks()
    assert ask.command == DEACTIVATE
    story.pass_time(1000)
    assert story.resource(INSTANCE).state == "stopping"
    assert shares(story) == [(INSTANCE, MAP)]
    story.answer_all()
    assert story.resource(INSTANCE).state == "stopped"
    assert story.resource(MAP).state == "purged"


def test_a_stop_waits_for_the_end_of_what_was_removed_by_force_a_moment_before() -> None:
    story = running()
    story.command(MAP, ForceRemove("in the way"))
    story.command(INSTANCE, Run("stop"))
    assert story.resource(INSTANCE).state == "stopping"
    assert [each.command for each in story.asks()] == [DEACTIVATE]
    story.answer_all()
    assert story.resource(INSTANCE).state == "stopped"


def test_what_runs_is_stopped_when_a_map_of_its_volume_is_removed_by_force_and_starts_with_another() -> None:
    story = running()
    by_force(story, VOLUME_MAP)
    story.answer_all()
    assert story.resource(INSTANCE).state == "stopped"
    assert "storage.volume.remove" in [event.data.get("command") for event in story.log]
    run(story, INSTANCE, Run("start"))
    assert story.resource(INSTANCE).state == "running"
    [again] = live_maps(story, "volumeStoragePoolMap")
    assert story.resource(again).state == "active"


def test_a_stop_that_is_cancelled_after_its_container_has_stopped_is_taken_up_again() -> None:
    story = running()
    story.command(INSTANCE, Run("stop"))
    story.answer(story.asks()[0])
    assert story.asks()[0].command == "storage.volume.deactivate"
    story.command(INSTANCE, Cancel("not now"))
    story.answer_all()
    assert story.resource(INSTANCE).state == "stopped"


def test_what_an_external_handler_started_in_its_own_way_is_left_alone() -> None:
    story = a_cloud()
    story.create("externalHandler", name="mine", processNames=["instance.start"])
    story.create("container", imageId=1, accountId=1)
    story.answer_all()
    story.pass_time(100)
    assert story.resource(INSTANCE).state == "running"
    assert live_maps(story) == []


def test_a_handler_that_refuses_the_stop_is_not_asked_for_ever() -> None:
    story = running()
    story.create("externalHandler", name="mine", processNames=["pre.instance.stop"])
    story.answer_all()
    story.command(MAP, Run("deactivate"))
    story.answer_all(lambda ask: "never" if ask.command.startswith("pre.instance.stop") else {}, limit=20)
    assert story.resource(INSTANCE).fields["transitioningMessage"] == "never"
    run(story, INSTANCE, Run("stop"))
    assert story.resource(INSTANCE).state == "stopped"


# --- stopped ---


def without_its_map(hosts: int = 1) -> Story:
    """It was deactivated, removed, and purged under it."""
    story = running(hosts)
    run(story, MAP, Run("deactivate"), Delete())
    story.pass_time(100)
    story.answer_all()
    assert (story.resource(MAP).state, story.resource(INSTANCE).state) == ("purged", "stopped")
    return story


def test_what_lost_its_map_is_placed_anew_by_its_start_and_holds_one_share() -> None:
    story = without_its_map()
    asked = run(story, INSTANCE, Run("start"))
    assert asked.count(ACTIVATE) == 1
    assert story.resource(INSTANCE).state == "running"
    [again] = live_maps(story)
    assert story.resource(again).state == "active"
    assert shares(story) == [(INSTANCE, again)]
    run(story, INSTANCE, Run("stop"), Delete())
    story.pass_time(100)
    story.answer_all()
    assert shares(story) == []


def test_what_is_placed_anew_goes_where_its_volume_is() -> None:
    story = without_its_map(hosts=2)
    pool = story.resource(VOLUME_MAP).row["storagePoolId"]
    host = story.resource(MAP).row["hostId"]
    for _ in range(2):  # the other host is the emptier one, or this one is: it is none of its business
        story.create("container", imageId=1, accountId=1, requestedHostId=host)
    story.answer_all()
    run(story, INSTANCE, Run("start"))
    [again] = [each for each in live_maps(story) if story.resource(each).row["instanceId"] == 1]
    assert host in story.fleet.hosts_of(pool)
    assert story.resource(again).row["hostId"] == host


def test_where_nothing_reaches_its_volume_a_start_says_so() -> None:
    story = a_cloud(hosts=2)
    story.create("container", imageId=1, accountId=1, startOnCreate=False, requestedHostId=1)
    [far] = [each for each in story.fleet.pools_of(2) if each.kind == "sim"]
    turn = story.turn(INSTANCE, {each.stream: each for each in story.resources().values() if each.root == INSTANCE})
    turn.create("volumeStoragePoolMap", {"volumeId": 1, "storagePoolId": far.id})
    story._append(turn)
    run(story, INSTANCE, Run("start"))
    instance = story.resource(INSTANCE)
    assert instance.state == "stopped"
    assert f"it does not reach storage pool 1sp{far.id}" in instance.fields["transitioningMessage"]
    assert live_maps(story) == []


@pytest.mark.parametrize("state", ["stopped", "running"])
def test_a_map_becomes_active_with_its_instance_alone(state: str) -> None:
    story = running()
    run(story, INSTANCE, Run("stop"))
    assert run(story, MAP, Run("activate")) == []
    assert story.resource(MAP).state == "inactive"
    assert "becomes active with its start" in story.resource(MAP).fields["transitioningMessage"]
    if state == "running":
        run(story, INSTANCE, Run("start"))
        assert story.resource(INSTANCE).state == "running"


def test_a_place_that_was_given_back_is_not_restored() -> None:
    story = running()
    run(story, INSTANCE, Run("stop", {"deallocateFromHost": True}))
    assert story.resource(MAP).state == "removed"
    run(story, MAP, Run("restore"))
    assert story.resource(MAP).state == "removed"
    assert "was given back" in story.resource(MAP).fields["transitioningMessage"]


def test_a_map_that_was_removed_by_force_and_is_restored_has_its_container_stopped_first() -> None:
    story = running()
    unseen(story, MAP, ForceRemove("in the way"), Run("restore"))
    story.pass_time(0)
    assert DEACTIVATE in story.answer_all()
    assert (story.resource(MAP).state, story.resource(INSTANCE).state) == ("inactive", "stopped")
    run(story, INSTANCE, Run("start"))
    assert story.resource(INSTANCE).state == "running"


def test_a_removal_of_what_starts_that_is_cancelled_leaves_nothing_running_and_no_public_port() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1, ports=["8080:80"])
    while story.asks()[0].command != ACTIVATE:
        story.answer(story.asks()[0])
    story.command(INSTANCE, Delete())
    story.command(INSTANCE, Cancel("keep it"))
    story.answer_all()
    assert (story.resource(INSTANCE).state, story.resource(MAP).state) == ("stopped", "inactive")
    assert [scope for scope, _ in story.claims() if scope.endswith("/port")] == []


# --- starting ---


@pytest.mark.parametrize("take", [by_force, lambda story, stream: story.command(stream, Delete())], ids=["by force", "in order"])
def test_a_start_whose_place_is_taken_away_does_not_end_as_running_without_one(take: Callable[[Story, str], None]) -> None:
    story = running()
    run(story, INSTANCE, Run("stop"))
    story.command(INSTANCE, Run("start"))
    while story.asks()[0].command != ACTIVATE:
        story.answer(story.asks()[0])
    take(story, MAP)
    story.answer_all()
    active = [each for each in live_maps(story) if story.resource(each).state == "active"]
    assert (story.resource(INSTANCE).state, len(active)) in (("running", 1), ("stopped", 0))
    run(story, INSTANCE, Run("start"))
    assert story.resource(INSTANCE).state == "running"


def test_what_was_removed_before_its_creation_ran_and_is_restored_has_all_that_it_asked_for() -> None:
    story = a_cloud()
    a_network(story)
    story.request("container", imageId=1, accountId=1, networkIds=[1], ports=["8080:80"])
    instance = story.resource(INSTANCE)
    assert instance.state == "creating"
    unseen(story, INSTANCE, Delete())
    story.settle()
    assert [each.type for each in story.resources().values() if each.root == INSTANCE] == ["instance"]
    run(story, INSTANCE, Run("restore"))
    assert {each.type for each in story.resources().values() if each.root == INSTANCE} >= {"volume", "nic", "port"}
    run(story, INSTANCE, Run("start"))
    assert story.resource(INSTANCE).state == "running"
    assert len(live_maps(story, "volumeStoragePoolMap")) == 1


# --- what a container uses ---


def taken_by(story: Story, ending: str) -> list[str]:
    return [holder for (scope, _), holder in story.claims().items() if scope.endswith(f"/{ending}")]


@pytest.mark.parametrize("type_name", ["ipAddress", "nic"])
def test_the_address_of_what_runs_is_no_others_before_it_has_stopped(type_name: str) -> None:
    story = a_cloud()
    a_network(story)
    on_network(story)
    story.answer_all()
    [address], [nic] = of_type(story, "ipAddress"), of_type(story, "nic")
    by_force(story, {"ipAddress": address, "nic": nic}[type_name].stream)
    story.pass_time(100_000)
    assert story.resource(INSTANCE).state == "running"
    assert taken_by(story, "address") == [address.stream]
    assert taken_by(story, "mac") == [nic.stream]
    run(story, INSTANCE, Run("stop"))
    story.pass_time(100_000)
    story.answer_all()
    assert story.resource(INSTANCE).state == "stopped"
    assert taken_by(story, "address") == []


def test_an_address_of_what_runs_can_be_deactivated_and_purged_by_hand_and_stays_its_own() -> None:
    story = a_cloud()
    a_network(story)
    on_network(story)
    story.answer_all()
    [address] = of_type(story, "ipAddress")
    run(story, address.stream, Run("deactivate"), Delete(), Run("purge"))
    assert story.resource(address.stream).state == "removed"
    assert "Stop that first" in story.resource(address.stream).fields["transitioningMessage"]
    assert taken_by(story, "address") == [address.stream]


def test_a_running_instance_can_still_not_be_removed_from_under_its_map() -> None:
    story = running()
    with pytest.raises(Conflict, match="deactivate it first"):
        story.command(MAP, Delete())

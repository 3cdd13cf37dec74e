"""A host that was declared dead: its instances end, and run elsewhere where they ask for it; what it may still run is not forgotten."""

from __future__ import annotations

import pytest

from commands.errors import Conflict
from commands.turns.decide import Delete, Ended, Run
from commands.turns.fleet import is_dead
from commands.turns.interventions import DeclareDead, ForceRemove, Intervention
from tests.support.handler_stories import a_handler
from tests.support.networks import of_type
from tests.support.story import Ask, Story, a_cloud, sim_inventory

INSTANCE, HERE = "instance-1", "instanceHostMap-1"
ACTIVATE, DEACTIVATE, REMOVE = "compute.instance.activate", "compute.instance.deactivate", "compute.instance.remove"
BURNT = DeclareDead("its rack burnt down")


def two_hosts() -> Story:
    """Each of an agent of its own."""
    story = a_cloud()
    story.create("agent", uri="sim://", uuid="other", managedConfig=False, name="other")
    story.answer_all(another_host)
    return story


def running(**row: object) -> Story:
    """On host 1 of the two."""
    story = two_hosts()
    story.create("container", imageId=1, accountId=1, validHostIds=[1, 2], requestedHostId=1, **row)
    story.answer_all()
    assert story.resource(INSTANCE).state == "running"
    turn = story.turn(INSTANCE, {INSTANCE: story.resource(INSTANCE)})
    turn.change(turn.resources[INSTANCE], {"requestedHostId": None})
    story._append(turn)
    return story


def another_host(ask: Ask) -> dict[str, object]:
    return {"resources": [{**each, "uuid": f"other-{each['uuid']}", **_of_others(each)} for each in sim_inventory()["resources"]]}


def _of_others(each: dict[str, str]) -> dict[str, str]:
    return {name: f"other-{each[name]}" for name in ("hostUuid", "physicalHostUuid") if name in each}


def others_answer(story: Story) -> list[str]:
    """All but the dead host's agent."""
    found: list[str] = []
    while asks := [each for each in story.asks() if each.agent != 1]:
        found.append(asks[0].command)
        story.answer(asks[0], {})
        assert len(found) < 50
    return found


def ends(story: Story) -> None:
    """What the watch does about what runs on a lost host."""
    for host in story.fleet.lost_hosts():
        position = story.resource(INSTANCE).position
        story.command(INSTANCE, Ended(f"it ended with {host.stream}", position, leaves=True))


def places(story: Story) -> list[tuple[int, str]]:
    return [(each.row["hostId"], each.state) for each in of_type(story, "instanceHostMap") if not each.removed]


def owed(story: Story) -> list[tuple[str, str]]:
    return [(each.stream, each.command) for each in story.asks() if each.agent == 1]


def test_it_is_out_of_service_at_once_with_the_reason_in_the_log() -> None:
    story = running()
    host = story.command("host-1", BURNT)
    assert (host.state, is_dead(host), host.data["dead"]) == ("inactive", True, "its rack burnt down")
    [said] = [event for event in story.log if event.data.get("reason")]
    assert (said.stream, said.data["process"], said.data["reason"]) == ("host-1", "host.deactivate", "its rack burnt down")
    before = len(story.log)
    story.command("host-1", BURNT)
    assert len(story.log) == before


@pytest.mark.parametrize("stream", [INSTANCE, "agent-1"])
def test_only_a_host_can_be_declared_dead(stream: str) -> None:
    with pytest.raises(Conflict, match="is no host"):
        running().command(stream, BURNT)


def test_one_that_is_removed_is_not_declared_dead() -> None:
    story = running()
    story.command("host-2", ForceRemove("sold"))
    with pytest.raises(Conflict, match="is removed"):
        story.command("host-2", BURNT)


@pytest.mark.parametrize(("wish", "state"), [("restart", "running"), ("stop", "stopped"), (None, "stopped"), ("remove", "removed")])
def test_its_instances_do_what_they_say_when_they_end_by_themselves(wish: str | None, state: str) -> None:
    story = running(instanceTriggeredStop=wish)
    story.command("host-1", BURNT)
    ends(story)
    others_answer(story)
    assert story.resource(INSTANCE).state == state
    assert places(story) == ([(2, "active")] if state == "running" else [])
    assert [scope for scope, _ in story.claims() if scope.endswith("/compute")] == (["host-2/compute"] if state == "running" else [])


def test_what_may_run_there_still_is_asked_for_until_its_agent_answers() -> None:
    story = running(instanceTriggeredStop="restart")
    story.command("host-1", BURNT)
    ends(story)
    others_answer(story)
    story.pass_time(3600)
    others_answer(story)
    assert owed(story) == [(HERE, DEACTIVATE), ("volumeStoragePoolMap-1", "storage.volume.remove")]
    assert story.resource(INSTANCE).state == "running"
    story.answer_all()
    assert [story.resource(each).state for each in (HERE, "volumeStoragePoolMap-1")] == ["purged", "purged"]
    assert (story.resource(INSTANCE).state, places(story)) == ("running", [(2, "active")])


def test_what_waited_for_it_goes_on_without_it() -> None:
    story = running()
    story.command(INSTANCE, Run("stop"))
    assert owed(story) == [(HERE, DEACTIVATE)]
    story.command("host-1", BURNT)
    story.pass_time(1)
    others_answer(story)
    assert (story.resource(INSTANCE).state, places(story)) == ("stopped", [])
    story.command(INSTANCE, Run("start"))
    others_answer(story)
    assert (story.resource(INSTANCE).state, places(story)) == ("running", [(2, "active")])


def test_a_stopped_instance_starts_elsewhere() -> None:
    story = running()
    story.command(INSTANCE, Run("stop"))
    story.answer_all()
    story.command("host-1", BURNT)
    story.command(INSTANCE, Run("start"))
    others_answer(story)
    assert (story.resource(INSTANCE).state, places(story)) == ("running", [(2, "active")])


def test_a_removed_instance_is_purged_and_its_place_there_is_still_asked_for() -> None:
    story = running()
    story.command("host-1", BURNT)
    story.command(INSTANCE, Delete())
    story.pass_time(120)
    others_answer(story)
    assert story.resource(INSTANCE).state == "purged"
    assert (HERE, DEACTIVATE) in owed(story)
    story.answer_all()
    assert story.resource(HERE).state == "purged"


def test_back_in_service_it_confirms_first_what_it_owes() -> None:
    story = running(instanceTriggeredStop="stop")
    story.command("host-1", BURNT)
    ends(story)
    story.pass_time(1)
    others_answer(story)
    story.command("host-2", Run("deactivate"))
    host = story.command("host-1", Run("activate"))
    assert (host.state, is_dead(host)) == ("active", False)
    story.command(INSTANCE, Run("start"))
    assert ACTIVATE not in [command for _, command in owed(story)]
    assert (HERE, DEACTIVATE) in owed(story)
    asked = story.answer_all()
    assert asked.index(DEACTIVATE) < asked.index(ACTIVATE)
    assert (story.resource(INSTANCE).state, places(story)) == ("running", [(1, "active")])


def test_an_instance_moves_away_from_a_host_that_died_meanwhile() -> None:
    story = running()
    story.command(INSTANCE, Run("migrate"))
    others_answer(story)
    assert owed(story) == [(HERE, DEACTIVATE)]
    story.command("host-1", BURNT)
    story.pass_time(1)
    others_answer(story)
    assert (story.resource(INSTANCE).state, places(story)) == ("running", [(2, "active")])
    assert (HERE, DEACTIVATE) in owed(story)


def test_one_that_moves_to_a_host_that_dies_goes_back() -> None:
    story = running()
    story.command(INSTANCE, Run("migrate"))
    while (asks := story.asks()) and asks[0].command != ACTIVATE:
        story.answer(asks[0], {})
    story.command("host-2", BURNT)
    story.pass_time(1)
    while asks := [each for each in story.asks() if each.agent == 1]:
        story.answer(asks[0], {})
    assert (story.resource(INSTANCE).state, places(story)) == ("running", [(1, "active")])
    assert "declared dead" in story.resource(INSTANCE).fields["transitioningMessage"]


def test_once_the_host_is_removed_nothing_is_owed() -> None:
    story = running()
    story.command("host-1", BURNT)
    ends(story)
    story.pass_time(1)
    others_answer(story)
    assert owed(story)
    story.command("host-1", Run("remove"))
    story.pass_time(1)
    assert owed(story) == []
    assert story.resource(HERE).state == "purged"


@pytest.mark.parametrize("gone", [BURNT, ForceRemove("its rack burnt down")])
def test_a_start_that_had_all_but_its_last_word_there_ends_and_what_follows_is_the_watch_s(gone: Intervention) -> None:
    """It runs there by then, as far as anybody knows: to take its place away would leave its map active, and nobody would end it."""
    story = two_hosts()
    a_handler(story, "post.instance.start")
    story.create("container", imageId=1, accountId=1, validHostIds=[1, 2], instanceTriggeredStop="restart")
    while (ask := story.asks()[0]).command != "post.instance.start;handler=demo":
        story.answer(ask, {})
    [(first, state)] = places(story)
    assert state == "active"
    story.command(f"host-{first}", gone)
    story.answer(ask, {}, passes=True)
    assert story.resource(INSTANCE).state == "running"
    assert places(story) == [(first, "active")]
    ends(story)
    dead_agent = story.resource(f"host-{first}").row["agentId"]
    while asks := [each for each in story.asks() if each.agent != dead_agent]:
        story.answer(asks[0], {}, passes=asks[0].command.startswith("post."))
    assert story.resource(INSTANCE).state == "running"
    assert places(story) == [(3 - first, "active")]

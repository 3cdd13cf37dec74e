"""Turns: silence, orphans, discovery, and what is left to do after them."""

from __future__ import annotations

from commands.catalogue.builtin import CATALOGUE
from commands.logic.placement import NotPlaced, place
from commands.resource import Resource, fold_all
from commands.turns.decide import Delete, Run, Update
from commands.turns.fleet import Fleet
from commands.turns.interventions import ForceRemove
from commands.turns.turn import Triggers
from commands.turns.world import World
from eventstore import Held, Loaded
from tests.support.story import Ask, Story, a_cloud, sim_inventory

INSTANCE = "instance-1"


def test_silence_parks_a_process_without_changing_its_state_and_the_answer_lets_it_go_on() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    story.answer(story.asks()[0])
    [ask] = story.asks()
    story.take_turn(INSTANCE, Triggers(silent=frozenset({ask.id})))
    instance, parked = story.resource(INSTANCE), story.resource(ask.stream)
    assert instance.state == "starting"
    assert "has not answered storage.volume.activate" in (parked.open["state"].parked or "")
    assert instance.open["state"].parked == parked.open["state"].parked
    story.take_turn(INSTANCE, Triggers(silent=frozenset({ask.id})))
    assert story.types(ask.stream).count("process-parked") == 1
    story.answer_all()
    assert story.resource(INSTANCE).state == "running"


def test_a_late_answer_to_a_superseded_command_is_recorded_and_changes_nothing_else() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    story.answer(story.asks()[0])
    [old] = story.asks()
    story.command(INSTANCE, Run("stop"))
    before = len(story.log)
    story.answer(old)
    story.answer(old)
    assert [(event.stream, event.type, event.data["late"]) for event in story.log[before:]] == [(old.stream, "step-succeeded", True)]
    story.answer_all()
    assert story.resource(INSTANCE).state == "stopped"


def test_a_turn_with_nothing_new_adds_nothing() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    before = len(story.log)
    for _ in range(3):
        story.take_turn(INSTANCE)
    assert len(story.log) == before


def test_a_second_agent_is_pinged_until_it_answers_and_then_brings_its_hosts() -> None:
    story = a_cloud()
    created = story.create("agent", uri="event://x", uuid="second", managedConfig=False)
    assert created.state == "activating"
    [ask] = story.asks()
    assert (ask.command, ask.agent) == ("ping", 2)
    inventory = sim_inventory()
    for element in inventory["resources"]:
        element["uuid"] += "-b"
        for key in ("hostUuid", "physicalHostUuid"):
            if key in element:
                element[key] += "-b"
    story.answer(ask, inventory)
    assert story.resource("agent-2").state == "active"
    assert {each.row["agentId"] for each in story.resources().values() if each.type == "host"} == {1, 2}


def test_hosts_that_are_known_are_not_created_again_nor_given_to_another_agent() -> None:
    story = a_cloud(hosts=2)
    story.create("agent", uri="event://x", uuid="second", managedConfig=False)
    story.answer_all(lambda ask: sim_inventory(hosts=2))
    hosts = [each for each in story.resources().values() if each.type == "host"]
    assert [each.row["agentId"] for each in hosts] == [1, 1]


def test_a_host_that_was_purged_is_made_anew_when_its_agent_tells_of_it_again() -> None:
    story = a_cloud()
    for stream in ("host-1", "physicalHost-1"):
        story.command(stream, ForceRemove("it burned down"))
    assert story.resource("host-1").state in ("removed", "purged")
    story.pass_time(100_000)
    assert {story.resource(each).state for each in ("host-1", "physicalHost-1")} == {"purged"}
    for _ in range(2):  # and the second time it is found
        story.command("agent-1", Run("reconnect"))
        story.answer_all(lambda ask: sim_inventory())
    host = story.resource("host-2")
    assert (host.state, host.row["uuid"], host.row["physicalHostId"]) == ("active", "host-1", 2)
    assert not story.resource("host-3").exists
    assert {each.row["hostId"] for each in story.resources().values() if each.type == "storagePoolHostMap"} == {1, 2}
    made = story.create("container", imageId=1, accountId=1)
    story.answer_all()
    assert story.resource(made.stream).state == "running"
    story.command(made.stream, Run("stop"))
    story.answer_all()
    assert story.claims()["host-2/compute", made.stream], "its pool is no shared storage, because it was that of the host before, too"


def test_a_host_that_is_removed_and_not_purged_yet_is_not_made_anew() -> None:
    story = a_cloud()
    story.command("host-1", Run("deactivate"))
    story.command("host-1", Delete())
    story.command("agent-1", Run("reconnect"))
    story.answer_all(lambda ask: sim_inventory())
    assert story.resource("host-1").state == "removed"
    assert not story.resource("host-2").exists


def test_an_agent_that_reconnects_is_asked_again_and_becomes_active() -> None:
    story = a_cloud()
    assert story.command("agent-1", Run("reconnect")).state == "reconnecting"
    story.answer_all(lambda ask: sim_inventory())
    assert story.resource("agent-1").state == "active"


def test_a_host_whose_agent_is_away_takes_no_instances() -> None:
    story = a_cloud()
    story.command("agent-1", Run("reconnect"))
    story.create("container", imageId=1, accountId=1)
    assert "its agent is reconnecting" in story.resource(INSTANCE).fields["transitioningMessage"]


def test_an_account_gets_a_key_and_a_registration_token_with_values_nobody_confuses() -> None:
    story = Story()
    story.create("account", uuid="admin", kind="admin")
    credentials = {each.kind: each for each in story.resources().values() if each.type == "credential"}
    assert set(credentials) == {"apiKey", "registrationToken"}
    key = credentials["apiKey"].row
    assert len(key["publicValue"]) == 20
    assert len(key["secretValue"]) == 40
    assert not set(key["secretValue"]) & set("O0lI+/=")


def test_lowering_what_is_free_leaves_those_that_run_and_refuses_new_ones() -> None:
    story = a_cloud(slots=2)
    for _ in range(2):
        story.create("container", imageId=1, accountId=1)
    story.answer_all()
    story.command("host-1", Update({"computeFree": 2}))
    story.create("container", imageId=1, accountId=1)
    assert "full, 0 of 2 free" in story.resource("instance-3").fields["transitioningMessage"]
    story.command(INSTANCE, Delete())
    story.answer_all()
    story.pass_time(61)
    story.answer_all()
    story.create("container", imageId=1, accountId=1)
    story.answer_all()
    assert story.resource("instance-4").state == "running"


def test_a_fleet_loaded_in_the_middle_knows_what_one_that_followed_from_the_start_knows() -> None:
    story = a_cloud(hosts=3)
    for _ in range(4):
        story.create("container", imageId=1, accountId=1)
    story.answer_all()
    middle = len(story.log) // 2
    early = story.log[:middle]
    claims: dict[tuple[str, str], Held] = {}
    for event in early:
        claims |= {(claim.scope, claim.item): Held(event.stream, claim) for claim in event.claims}
    loaded = Fleet.load(Loaded(middle, early, list(claims.values())))
    loaded.apply(story.log[middle - 5 :])  # an overlap changes nothing
    assert loaded.resources == story.fleet.resources
    for host in (1, 2, 3):
        assert loaded.used(f"host-{host}/compute") == story.fleet.used(f"host-{host}/compute")


def test_an_image_of_one_driver_is_not_placed_on_a_host_of_another() -> None:
    story = a_cloud()
    image = story.create("image", uuid="docker:nginx", format="docker", kind="docker", isPublic=True)
    found = place(World(CATALOGUE, {}, story.fleet), Resource("instance", 9), image, 1)
    assert isinstance(found, NotPlaced)
    assert "it is of kind sim, the image needs docker" in str(found)


def test_no_command_is_asked_twice_at_a_time_for_one_process() -> None:
    story = a_cloud()
    for _ in range(3):
        story.create("container", imageId=1, accountId=1)

    def agent(ask: Ask) -> object:
        asks = [(each.stream, each.command) for each in story.asks()]
        assert len(asks) == len(set(asks))
        return {}

    story.answer_all(agent)


def test_the_fold_of_every_stream_is_the_state_that_the_turns_worked_with() -> None:
    story = a_cloud(hosts=2)
    story.create("container", imageId=1, accountId=1)
    story.answer_all()
    assert fold_all(story.log) == {stream: story.resource(stream) for stream in fold_all(story.log)}

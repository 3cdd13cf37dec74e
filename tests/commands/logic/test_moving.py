"""instance.migrate: a running instance gets a second place, runs there, and gives up the first; or it goes back."""

from __future__ import annotations

import pytest

from commands.turns.decide import Delete, Run, Update
from commands.turns.interventions import Cancel, ForceRemove
from tests.support.networks import of_type
from tests.support.story import Ask, Story, a_cloud

INSTANCE, HERE, THERE = "instance-1", "instanceHostMap-1", "instanceHostMap-2"
ACTIVATE, DEACTIVATE, REMOVE = "compute.instance.activate", "compute.instance.deactivate", "compute.instance.remove"
HAND_OVER = "compute.instance.migrate"


def running(hosts: int = 2, **row: object) -> Story:
    story = a_cloud(hosts=hosts)
    story.create("container", imageId=1, accountId=1, requestedHostId=1, **row)
    story.answer_all()
    assert story.resource(INSTANCE).state == "running"
    return story


def move(story: Story, **given: object) -> None:
    story.command(INSTANCE, Run("migrate", {"hostId": 2, **given}))


def asked(story: Story) -> list[tuple[str, str]]:
    """What is asked just now: of which map, and what."""
    return [(each.stream, each.command) for each in story.asks()]


def answered(story: Story, until: str = "") -> list[tuple[str, str]]:
    """Answers, up to where this is asked."""
    found: list[tuple[str, str]] = []
    while (asks := story.asks()) and asks[0].command != until:
        found.append((asks[0].stream, asks[0].command))
        story.answer(asks[0], {})
        assert len(found) < 50
    return found


def error(story: Story, why: str) -> None:
    """The answer to what is asked now is an error, as often as it is asked."""
    command = story.asks()[0].command
    while (asks := story.asks()) and asks[0].command == command:
        story.answer(asks[0], error=why)
        story.pass_time(20)


def places(story: Story) -> list[tuple[int, str]]:
    """(host, state) of the maps that are there."""
    return [(each.row["hostId"], each.state) for each in of_type(story, "instanceHostMap") if not each.removed]


def shares(story: Story) -> list[str]:
    return sorted(scope for scope, _ in story.claims() if scope.endswith("/compute"))


def is_whole(story: Story, host: int, state: str = "running") -> None:
    """One place, with its share of it and its volume's map to the pool there, and no trace of a move."""
    instance = story.resource(INSTANCE)
    assert (instance.state, places(story)) == (state, [(host, "active" if state == "running" else "inactive")])
    assert shares(story) == [f"host-{host}/compute"]
    pools = [each.row["storagePoolId"] for each in of_type(story, "volumeStoragePoolMap") if not each.removed]
    assert pools == [story.fleet.pools_of(host)[0].id]
    assert not instance.data.get("move")
    assert not any(each.open for each in story.resources().values())


# --- it moves ---


def test_it_ends_here_before_it_starts_there_and_then_gives_up_its_place() -> None:
    story = running()
    move(story)
    assert (story.resource(INSTANCE).state, places(story)) == ("migrating", [(1, "active"), (2, "inactive")])
    assert shares(story) == ["host-1/compute", "host-2/compute"]
    assert answered(story) == [
        ("imageStoragePoolMap-2", "storage.image.activate"), ("volumeStoragePoolMap-2", "storage.volume.activate"),
        (HERE, DEACTIVATE), (THERE, ACTIVATE),
        ("volumeStoragePoolMap-1", "storage.volume.deactivate"), ("volumeStoragePoolMap-1", "storage.volume.remove"),
    ]  # fmt: skip
    is_whole(story, 2)
    assert story.resource(INSTANCE).row["data"]["fields"]["requestedHostId"] == 2


def test_what_it_ran_with_is_what_it_runs_with_there() -> None:
    story = running()
    move(story)
    answered(story)
    assert story.resource(INSTANCE).data["runsWith"] == [THERE, "volumeStoragePoolMap-2"]


def test_without_a_wish_it_goes_where_there_is_room() -> None:
    story = a_cloud(hosts=3)
    story.create("container", imageId=1, accountId=1)
    story.answer_all()
    story.command("host-3", Update({"computeFree": 0}))
    [(before, _)] = places(story)
    story.command(INSTANCE, Run("migrate"))
    story.answer_all()
    is_whole(story, 2 if before == 1 else 1)


def test_its_ports_are_its_own_on_both_hosts_until_it_has_moved() -> None:
    story = running(ports=["8080:80"])
    move(story)
    assert {scope for scope, item in story.claims() if item == "8080/tcp"} == {"host-1/port", "host-2/port"}
    answered(story)
    assert {scope for scope, item in story.claims() if item == "8080/tcp"} == {"host-2/port"}
    is_whole(story, 2)


def test_it_moves_back_and_stops_restarts_and_leaves_as_ever() -> None:
    story = running()
    for host in (2, 1, 2):
        story.command(INSTANCE, Run("migrate", {"hostId": host}))
        story.answer_all()
        is_whole(story, host)
    story.command(INSTANCE, Run("restart"))
    story.answer_all()
    is_whole(story, 2)
    story.command(INSTANCE, Run("stop"))
    story.answer_all()
    is_whole(story, 2, "stopped")
    story.command(INSTANCE, Delete())
    story.answer_all()
    story.command(INSTANCE, Run("purge"))
    story.answer_all()
    assert (story.resource(INSTANCE).state, shares(story)) == ("purged", [])


# --- it can't ---


@pytest.mark.parametrize(
    ("valid", "free", "to", "why"),
    [
        (None, 9, 1, "is on host 1h1 already"),
        ([1], 9, 2, "1h2 is none of the validHostIds"),
        (None, 9, None, "host 1h1: it moves away from there; host 1h2: the request names other hosts"),
        (None, 0, 2, "full"),
    ],
)
def test_where_it_can_not_go_nothing_happens_to_it(valid: list[int] | None, free: int, to: int | None, why: str) -> None:
    story = running(validHostIds=valid)
    story.command("host-2", Update({"computeFree": free}))
    given = {"hostId": to}
    story.command(INSTANCE, Run("migrate", given))
    assert story.asks() == []
    is_whole(story, 1)
    assert why in story.resource(INSTANCE).fields["transitioningMessage"]


def test_what_a_pool_of_the_first_host_alone_holds_keeps_it_there() -> None:
    story = running()
    turn = story.turn(INSTANCE, {each.stream: each for each in story.resources().values() if each.root == INSTANCE})
    volume = turn.create("volume", {"instanceId": 1, "deviceNumber": 1, "accountId": 1})
    turn.create("volumeStoragePoolMap", {"volumeId": volume.id, "storagePoolId": story.fleet.pools_of(1)[0].id})
    story._append(turn)
    move(story)
    assert story.asks() == []
    assert story.resource(INSTANCE).state == "running"
    assert "does not reach storage pool 1sp1, where the instance has a volume" in story.resource(INSTANCE).fields["transitioningMessage"]


# --- it goes back ---


@pytest.mark.parametrize("command", ["storage.image.activate", "storage.volume.activate", ACTIVATE])
def test_what_fails_there_leaves_it_running_here_and_says_why(command: str) -> None:
    story = running()
    move(story)
    answered(story, until=command)
    error(story, "the disk is full")
    asked_then = answered(story)
    is_whole(story, 1)
    assert ((HERE, ACTIVATE) in asked_then) == (command == ACTIVATE)
    instance = story.resource(INSTANCE)
    assert (instance.fields["transitioning"], instance.failed) == ("error", "instance.migrate")
    assert "the disk is full" in instance.fields["transitioningMessage"]


@pytest.mark.parametrize("steps", range(7))
def test_cancelled_anywhere_it_runs_in_one_place(steps: int) -> None:
    story = running()
    move(story)
    for _ in range(steps):
        if story.asks():
            story.answer(story.asks()[0], {})
    ended = not story.resource(INSTANCE).open
    story.command(INSTANCE, Cancel("never mind"))
    story.answer_all()
    there = places(story)[0][0] == 2
    assert there == (ended or steps > 3)
    is_whole(story, 2 if there else 1)


@pytest.mark.parametrize("steps", range(7))
@pytest.mark.parametrize("what", [Run("stop"), Delete(), Run("remove"), ForceRemove("in the way")])
def test_a_stop_or_a_removal_ends_it_wherever_it_is(steps: int, what: Run | Delete | ForceRemove) -> None:
    story = running()
    move(story)
    for _ in range(steps):
        if story.asks():
            story.answer(story.asks()[0], {})
    if isinstance(what, Delete | Run) and story.resource(INSTANCE).state == "running" and what == Run("remove"):
        return
    there = steps > 3
    story.command(INSTANCE, what)
    story.answer_all()
    if what == Run("stop"):
        is_whole(story, 2 if there else 1, "stopped")
        story.command(INSTANCE, Run("start"))
        story.answer_all()
        is_whole(story, 2 if there else 1)
        return
    assert story.resource(INSTANCE).state in ("removed", "purged")
    story.pass_time(120)
    story.answer_all()
    assert (story.resource(INSTANCE).state, shares(story), places(story)) == ("purged", [], [])


def test_a_place_that_is_taken_away_under_it_is_no_place_to_go_to() -> None:
    story = running()
    move(story)
    answered(story, until=ACTIVATE)
    story.command(THERE, ForceRemove("in the way"))
    story.pass_time(0)
    story.answer_all()
    is_whole(story, 1)
    assert "was taken away while it moved" in story.resource(INSTANCE).fields["transitioningMessage"]


def test_silence_here_parks_it_and_nothing_starts_there() -> None:
    story = running()
    move(story)
    answered(story, until=DEACTIVATE)
    story.pass_time(3600)
    assert asked(story) == [(HERE, DEACTIVATE)]
    assert story.resource(INSTANCE).state == "migrating"
    story.answer_all()
    is_whole(story, 2)


# --- what is handed over while it runs ---


def handed_over() -> Story:
    """On hosts of a kind that hands over."""
    story = Story()
    story.create("account", uuid="admin", name="admin", kind="admin")
    story.create("image", uuid="disk", format="libvirt", isPublic=True, accountId=1, kind="image")
    story.create("agent", uri="sim://", uuid="agent", managedConfig=False, name="libvirt")
    story.answer_all(inventory)
    story.create("virtualMachine", imageId=1, accountId=1, requestedHostId=1)
    story.answer_all()
    assert story.resource(INSTANCE).state == "running"
    return story


def inventory(ask: Ask) -> dict[str, object]:
    """Of two libvirt hosts."""
    from tests.support.story import sim_inventory

    return sim_inventory(2, "libvirt")


def test_a_virtual_machine_is_handed_over_by_the_host_it_leaves() -> None:
    story = handed_over()
    move(story)
    assert answered(story) == [
        ("imageStoragePoolMap-2", "storage.image.activate"), ("volumeStoragePoolMap-2", "storage.volume.activate"),
        (THERE, HAND_OVER), (THERE, ACTIVATE), (HERE, DEACTIVATE),
        ("volumeStoragePoolMap-1", "storage.volume.deactivate"), ("volumeStoragePoolMap-1", "storage.volume.remove"),
    ]  # fmt: skip
    is_whole(story, 2)


def test_one_that_is_not_handed_over_runs_where_it_was() -> None:
    story = handed_over()
    move(story)
    answered(story, until=HAND_OVER)
    error(story, "the hosts do not reach each other")
    assert (THERE, DEACTIVATE) in answered(story)
    is_whole(story, 1)
    assert "do not reach each other" in story.resource(INSTANCE).fields["transitioningMessage"]


def test_a_stop_while_it_is_handed_over_ends_it_here_first_and_then_there() -> None:
    story = handed_over()
    move(story)
    answered(story, until=HAND_OVER)
    story.command(INSTANCE, Run("stop"))
    assert asked(story) == [(HERE, DEACTIVATE)]
    story.answer(story.asks()[0], {})
    assert (THERE, DEACTIVATE) in asked(story)
    story.answer_all()
    is_whole(story, 1, "stopped")

"""What a stream claimed is given back with its end, however that came, and whatever was made of its row meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from commands.resource import held_after
from commands.snapshots import frozen, thawed
from commands.turns.decide import Delete, Run, Update
from commands.turns.interventions import ForceRemove
from eventstore import Claim, Release
from tests.commands.logic.test_links import with_link_service
from tests.support.networks import a_network, apart, claims_on, of_type, on_network
from tests.support.story import Story, a_cloud

CHANGED: dict[str, tuple[str, dict[str, int]]] = {
    "vnet": ("vnet", {"networkId": 7}),
    "hostVnetMap": ("vnet-map", {"hostId": 7, "vnetId": 8}),
    "subnetVnetMap": ("subnet-map", {"subnetId": 7, "vnetId": 8}),
    "networkServiceProviderInstanceMap": ("agent-instance", {"networkServiceProviderId": 7}),
}
"""Type -> how the scope ends in which it is the only one, and columns that somebody may change."""


def of_places(story: Story, ending: str) -> set[str]:
    """Who is the only one somewhere."""
    return {holder for (scope, _), holder in story.claims().items() if scope.endswith(f"/{ending}")}


def by_force(story: Story, stream: str) -> None:
    story.command(stream, ForceRemove("it is in the way"))
    story.pass_time(100_000)
    story.answer_all()
    assert story.resource(stream).state == "purged"


def in_order(story: Story, stream: str) -> None:
    story.command(stream, Run("deactivate"))
    story.command(stream, Delete())
    assert story.resource(stream).state == "removed"


@pytest.mark.parametrize("end", [by_force, in_order])
@pytest.mark.parametrize("type_name", CHANGED)
@pytest.mark.parametrize("change", [False, True], ids=["as it was", "changed"])
def test_a_place_is_free_again_when_who_had_it_goes(type_name: str, end: Callable[[Story, str], None], change: bool) -> None:
    ending, values = CHANGED[type_name]
    story = with_link_service()
    first = of_type(story, type_name)[0]
    assert first.stream in of_places(story, ending)
    if change:
        story.command(first.stream, Update(dict(values)))
    end(story, first.stream)
    assert first.stream not in of_places(story, ending)


def test_the_address_of_a_host_is_free_for_another_map_when_its_map_goes_although_the_map_was_changed() -> None:
    story = a_cloud(hosts=2)
    made = story.create("container", imageId=1, accountId=1, requestedHostId=1)
    told = {"instanceHostMap": {}, "instance": {"+data": {"+fields": {"dockerHostIp": "10.0.0.1"}}}}
    story.answer_all(lambda ask: told if ask.command == "compute.instance.activate" else {})
    assert story.resource(made.stream).state == "running"
    assert of_places(story, "address-map") == {"hostIpAddressMap-1"}
    story.command("hostIpAddressMap-1", Update({"hostId": 2}))
    by_force(story, "hostIpAddressMap-1")
    assert of_places(story, "address-map") == set()


def test_a_change_to_anothers_columns_gives_nothing_of_that_one_back() -> None:
    story = apart(a_cloud(hosts=2))
    a_network(story, kind="hostOnlyNetwork", dynamic=True)
    for number in (1, 2):
        on_network(story, requestedHostId=number)
    story.command("hostVnetMap-1", Update({"hostId": 2, "vnetId": 2}))
    in_order(story, "hostVnetMap-1")
    assert claims_on(story, "host-2/vnet-map") == {"vnet-2": "hostVnetMap-2"}
    assert claims_on(story, "host-1/vnet-map") == {}


def test_an_address_that_is_removed_by_force_is_free_for_others() -> None:
    story = a_cloud()
    a_network(story)
    on_network(story)
    [item] = claims_on(story, "subnet-1/address")
    story.command("instance-1", Run("stop"))
    story.answer_all()
    by_force(story, "ipAddress-1")
    assert claims_on(story, "subnet-1/address") == {}
    other = story.create("ipAddress", subnetId=1, address=item, accountId=1)
    story.command(other.stream, Run("activate"))
    assert claims_on(story, "subnet-1/address") == {item: other.stream}


def test_an_address_that_comes_back_when_its_instance_is_gone_is_free_for_others() -> None:
    story = a_cloud()
    a_network(story)
    made = on_network(story)
    story.command("ipAddress-1", ForceRemove("it is in the way"))
    story.command(made.stream, Delete())
    story.answer_all()
    story.command(made.stream, Run("purge"))
    story.answer_all()
    story.command("ipAddress-1", Run("restore"))
    assert (story.resource(made.stream).state, story.resource("ipAddress-1").state) == ("purged", "inactive")
    assert claims_on(story, "subnet-1/address") == {}


def test_an_instance_can_be_ended_after_its_address_was_removed_by_force() -> None:
    story = a_cloud()
    a_network(story)
    made = on_network(story)
    story.command("ipAddress-1", ForceRemove("it is in the way"))
    story.command(made.stream, Delete())
    story.answer_all()
    for _ in range(3):
        story.pass_time(100_000)
        story.answer_all()
    assert {each.state for each in story.resources().values() if each.root == made.stream and each.type != "volumeStoragePoolMap"} <= {
        "purged", "removed",
    }  # fmt: skip
    assert claims_on(story, "network-1/mac") == {}


def test_what_is_removed_by_force_on_its_own_leaves_its_instances_share_of_the_host_to_the_instance() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    story.answer_all()
    by_force(story, "instanceHostMap-1")
    assert ("host-1/compute", "instance-1") in story.claims(), "it may run there still"


def test_what_a_resource_holds_is_what_the_log_says_that_its_stream_holds() -> None:
    story = with_link_service()
    by_force(story, "hostVnetMap-1")
    story.command("instance-1", Delete())
    story.answer_all()
    story.pass_time(100_000)
    story.answer_all()
    counted = {claim.scope for event in story.log for claim in event.claims if claim.limit is not None}
    told: dict[str, set[tuple[str, str]]] = {}
    for (scope, item), holder in story.claims().items():
        if scope not in counted:
            told.setdefault(holder, set()).add((scope, item))
    resources = story.resources()
    assert {each.stream: set(each.held) for each in resources.values() if each.held} == told
    assert all(thawed(frozen(each)).held == each.held for each in resources.values())


def test_what_a_draft_holds_is_what_it_will_hold_when_it_is_appended() -> None:
    story = a_cloud()
    turn = story.turn("", {})
    a, b = Claim("a/thing", "1"), Claim("a/thing", "2")
    made = turn.create("vnet", {"uri": "x://"}, claims=(a,), run=False)
    turn.merge(made.stream, {}, claims=(b,))
    turn.merge(made.stream, {}, releases=(Release("a/thing", "2"),))
    drafted = turn.resources[made.stream]
    story._append(turn)
    landed = story.resource(made.stream)
    assert set(drafted.held) == set(landed.held) == {place for place, holder in story.claims().items() if holder == made.stream}
    assert ("a/thing", "1") in landed.held
    assert ("a/thing", "2") not in landed.held


def test_claiming_again_and_swapping_are_told_as_the_log_takes_them() -> None:
    held = held_after((("s", "1"),), [Release("s", "1"), Release("s", "9")], [Claim("s", "2"), Claim("s", "2"), Claim("c", "1", 1, 5)])
    assert held == (("s", "2"),)
    assert held_after(held, [Release("s", "2")], [Claim("s", "2")]) == (("s", "2"),)

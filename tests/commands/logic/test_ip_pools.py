"""Public addresses: pools of them, acquired and associated by people, or given to an instance and taken back with it."""

from __future__ import annotations

from commands.logic import pools
from commands.resource import Resource
from commands.turns.decide import Delete, Run
from tests.support.networks import a_network, claims_on, of_type, on_network
from tests.support.story import Story, a_cloud


def a_pool(story: Story) -> int:
    return story.create("subnetIpPool", kind="subnetIpPool", networkAddress="203.0.113.0", cidrSize=28, accountId=1).id


def acquired(story: Story, pool: int) -> Resource:
    return story.create("ipAddress", kind=pools.POOLED, accountId=1, **pools.acquired(pool))


def test_a_pool_of_a_range_brings_its_subnet_and_takes_it_along() -> None:
    story = a_cloud()
    a_pool(story)
    subnet = story.only("subnet")
    assert (subnet.kind, subnet.state, subnet.row["ipPoolId"]) == ("ipPoolSubnet", "active", 1)
    assert (subnet.row["startAddress"], subnet.row["endAddress"]) == ("203.0.113.2", "203.0.113.10")
    story.command("ipPool-1", Run("deactivate"))
    story.command("ipPool-1", Delete())
    assert (story.only("subnet").state, story.only("ipPool").state) == ("removed", "removed")


def test_an_acquired_address_is_one_of_the_pools_and_free_again_when_it_is_deactivated() -> None:
    story = a_cloud()
    address = acquired(story, a_pool(story))
    assert (address.state, address.row["subnetId"], address.fields["capabilities"]) == ("active", 1, ["associate"])
    assert claims_on(story, "subnet-1/address") == {address.row["address"]: address.stream}
    assert story.command(address.stream, Run("deactivate")).state == "removed"
    assert claims_on(story, "subnet-1/address") == {}


def test_a_pool_that_is_used_up_gives_no_more() -> None:
    story = a_cloud()
    pool = a_pool(story)
    assert {acquired(story, pool).state for _ in range(9)} == {"active"}
    tenth = acquired(story, pool)
    assert (tenth.state, tenth.fields["transitioningMessage"]) == ("inactive", "Failed to allocate IP from subnet : IP allocation error")


def test_an_empty_pool_says_so() -> None:
    story = a_cloud()
    story.create("ipPool", accountId=1)
    assert "ip pool 1 has no active subnet" in acquired(story, 1).fields["transitioningMessage"]


def test_an_associated_address_is_shown_by_the_instance_at_its_next_start() -> None:
    story = a_cloud()
    a_network(story)
    instance = on_network(story)
    outer = acquired(story, a_pool(story))
    outer = story.command(outer.stream, Run("associate", {"ipAddressId": 1}))
    tie = story.only("ipAssociation")
    assert (outer.state, tie.state, tie.root) == ("associated", "active", outer.stream)
    assert (tie.row["ipAddressId"], tie.row["childIpAddressId"]) == (outer.id, 1)
    story.command(instance.stream, Run("restart"))
    story.answer_all()
    assert story.resource(instance.stream).fields["primaryAssociatedIpAddress"] == outer.row["address"]
    outer = story.command(outer.stream, Run("disassociate"))
    assert (outer.state, story.only("ipAssociation").state) == ("active", "removed")
    story.command(instance.stream, Run("restart"))
    story.answer_all()
    assert story.resource(instance.stream).fields["primaryAssociatedIpAddress"] is None


def test_an_instance_of_a_pool_has_a_public_address_as_long_as_its_inner_one() -> None:
    story = a_cloud()
    a_network(story)
    pool = a_pool(story)
    instance = on_network(story, publicIpAddressPoolId=pool)
    inner, outer = of_type(story, "ipAddress")
    assert outer.row["uuid"] == f"{inner.row['uuid']}-public-ip"
    assert (outer.state, outer.kind, outer.root) == ("associated", "pooledIpAddress", instance.stream)
    assert outer.fields["capabilities"] == []
    assert instance.fields["primaryAssociatedIpAddress"] == outer.row["address"]
    story.command(instance.stream, Run("restart"))
    story.answer_all()
    assert len(of_type(story, "ipAddress")) == 2
    story.command(instance.stream, Delete())
    story.answer_all()
    for _ in range(3):
        story.pass_time(61)
        story.answer_all()
    assert claims_on(story, "subnet-1/address") == claims_on(story, "subnet-2/address") == {}
    assert {each.state for each in story.resources().values() if each.root == instance.stream} <= {"removed", "purged"}

"""Vnets: which one a nic gets, where an instance can go for it, and those that a host-only network makes for itself."""

from __future__ import annotations

from commands.turns.decide import Delete, Run
from commands.turns.interventions import ForceRemove
from tests.support.networks import a_network, apart, of_type, on_network
from tests.support.story import a_cloud


def test_a_nic_gets_the_single_vnet_of_its_subnet() -> None:
    story = a_cloud()
    number = a_network(story)
    story.create("vnet", networkId=number, uri="x://", accountId=1)
    story.create("subnetVnetMap", subnetId=1, vnetId=1)
    on_network(story)
    assert story.only("nic").row["vnetId"] == 1


def test_of_several_vnets_a_nic_gets_the_one_that_its_host_reaches() -> None:
    story = a_cloud(hosts=2)
    number = a_network(story)
    for vnet, host in ((1, 2), (2, 1)):
        story.create("vnet", networkId=number, uri="x://", accountId=1)
        story.create("subnetVnetMap", subnetId=1, vnetId=vnet)
        story.create("hostVnetMap", hostId=host, vnetId=vnet)
    made = on_network(story, requestedHostId=2)
    assert made.state == "running"
    assert story.only("nic").row["vnetId"] == 1


def test_an_instance_goes_where_its_subnets_vnet_is_reached_and_the_reason_says_so_elsewhere() -> None:
    story = apart(a_cloud(hosts=3))
    number = a_network(story)
    story.create("vnet", networkId=number, uri="x://", accountId=1)
    story.create("subnetVnetMap", subnetId=1, vnetId=1)
    story.create("hostVnetMap", hostId=3, vnetId=1)
    assert on_network(story).state == "running"
    assert story.only("instanceHostMap").row["hostId"] == 3
    refused = on_network(story, requestedHostId=1)
    message = refused.fields["transitioningMessage"]
    assert message.startswith("Failed to find a placement : ")
    assert "host 1h1: nic 0: no vnet of subnet 1s1 reaches it" in message
    assert "host 1h2: the request names other hosts" in message


def test_a_host_on_the_same_physical_host_will_do_too() -> None:
    story = a_cloud(hosts=2)
    number = a_network(story)
    story.create("vnet", networkId=number, uri="x://", accountId=1)
    story.create("subnetVnetMap", subnetId=1, vnetId=1)
    story.create("hostVnetMap", hostId=2, vnetId=1)
    assert on_network(story, requestedHostId=1).state == "running"


def test_a_vnet_without_subnets_can_be_used_nowhere() -> None:
    story = a_cloud()
    number = a_network(story)
    story.create("vnet", networkId=number, uri="x://", accountId=1)
    made = story.create("container", imageId=1, accountId=1, vnetIds=[1])
    story.answer_all()
    assert "nic 0: no subnet of its network runs on vnet 1" in story.resource(made.stream).fields["transitioningMessage"]


def test_a_host_only_network_makes_a_vnet_for_each_host_that_is_used_and_no_more() -> None:
    story = apart(a_cloud(hosts=2))
    a_network(story, kind="hostOnlyNetwork", dynamic=True)
    for host in (1, 2, 1, 2):
        assert on_network(story, requestedHostId=host).state == "running"
    assert [each.row["uri"] for each in of_type(story, "vnet")] == ["host:///"] * 2
    assert [each.row["vnetId"] for each in of_type(story, "nic")] == [1, 2, 1, 2]
    assert {(each.row["hostId"], each.row["vnetId"]) for each in of_type(story, "hostVnetMap")} == {(1, 1), (2, 2)}
    assert {(each.row["subnetId"], each.row["vnetId"]) for each in of_type(story, "subnetVnetMap")} == {(1, 1), (1, 2)}
    assert {each.state for each in story.resources().values() if each.type in ("vnet", "hostVnetMap", "subnetVnetMap")} == {"active"}


def test_hosts_of_one_physical_host_share_a_vnet() -> None:
    story = a_cloud(hosts=2)
    a_network(story, kind="hostOnlyNetwork", cidrSize=24)
    for host in (1, 2):
        on_network(story, requestedHostId=host)
    assert [each.row["vnetId"] for each in of_type(story, "nic")] == [1, 1]
    assert {(each.row["hostId"], each.row["vnetId"]) for each in of_type(story, "hostVnetMap")} == {(1, 1), (2, 1)}


def test_a_host_only_network_has_its_own_uri_and_its_removed_vnet_is_replaced() -> None:
    story = a_cloud()
    network = story.create("hostOnlyNetwork", kind="hostOnlyNetwork", accountId=1, hostVnetUri="bridge://docker0", dynamicCreateVnet=True)
    story.create("subnet", networkId=network.id, networkAddress="10.42.0.0", cidrSize=16, accountId=1)
    on_network(story)
    assert story.only("vnet").row["uri"] == "bridge://docker0"
    story.command("vnet-1", Run("deactivate"))
    story.command("vnet-1", Delete())
    on_network(story)
    assert [each.row["vnetId"] for each in of_type(story, "nic")] == [1, 2]


def test_a_nic_finds_its_host_only_vnet_again_after_the_map_to_it_is_gone() -> None:
    story = a_cloud()
    a_network(story, kind="hostOnlyNetwork")
    on_network(story)
    story.command("hostVnetMap-1", Run("deactivate"))
    story.command("hostVnetMap-1", Delete())
    assert on_network(story).state == "running"
    assert len(of_type(story, "vnet")) == 1
    assert len(of_type(story, "hostVnetMap")) == 2


def test_a_vnet_and_its_maps_that_were_removed_by_force_are_replaced() -> None:
    story = a_cloud()
    a_network(story, kind="hostOnlyNetwork")
    on_network(story)
    for stream in ("vnet-1", "hostVnetMap-1", "subnetVnetMap-1"):
        story.command(stream, ForceRemove("a mistake"))
    story.pass_time(1)
    assert {story.resource(each).state for each in ("vnet-1", "hostVnetMap-1", "subnetVnetMap-1")} == {"purged"}
    assert not {holder for (scope, _), holder in story.claims().items() if "vnet" in scope} & {"vnet-1", "hostVnetMap-1", "subnetVnetMap-1"}
    assert on_network(story).state == "running"
    assert [each.row["vnetId"] for each in of_type(story, "nic")] == [1, 2]

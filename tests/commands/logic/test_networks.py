"""Nics: their addresses and macs, from an instance's create to its purge; and what happens when a range runs out."""

from __future__ import annotations

from typing import Any

import pytest

from commands.catalogue.subnets import computed
from commands.logic.payload import instance_map
from commands.turns.decide import Delete, Run, Update
from commands.turns.interventions import ForceRemove
from commands.turns.world import World
from tests.support.networks import a_network, claims_on, of_type, on_network
from tests.support.story import Ask, Story, a_cloud

NO_ADDRESS = "Failed to allocate IP from subnet : IP allocation error"


@pytest.mark.parametrize(
    ("given", "size", "gateway", "first", "last"),
    [
        ("192.168.0.0", 24, "192.168.0.1", "192.168.0.2", "192.168.0.250"),
        ("192.168.3.42", 24, "192.168.3.1", "192.168.3.2", "192.168.3.250"),
        ("10.42.0.0", 16, "10.42.0.1", "10.42.0.2", "10.42.255.250"),
        ("10.0.0.0", 28, "10.0.0.1", "10.0.0.2", "10.0.0.10"),
        ("10.0.0.0", None, "10.0.0.1", "10.0.0.2", "10.0.0.250"),
    ],
)
def test_a_subnets_range_is_counted_as_cattle_does(given: str, size: int | None, gateway: str, first: str, last: str) -> None:
    assert computed(given, size) == {"gateway": gateway, "startAddress": first, "endAddress": last}


def test_a_subnet_keeps_what_it_was_given_and_computes_the_rest() -> None:
    story = a_cloud()
    a_network(story, startAddress="192.168.3.7")
    row = story.only("subnet").row
    assert (row["networkAddress"], row["startAddress"], row["endAddress"]) == ("192.168.3.42", "192.168.3.7", "192.168.3.250")


def test_networks_get_different_mac_prefixes_and_give_them_back_when_they_are_purged() -> None:
    story = a_cloud()
    prefixes = [story.create("network", accountId=1).fields["macPrefix"] for _ in range(3)]
    assert len(set(prefixes)) == 3
    assert claims_on(story, "global-1/macPrefix") == {prefix: f"network-{n}" for n, prefix in enumerate(prefixes, 1)}
    story.command("network-1", Run("deactivate"))
    story.command("network-1", Delete())
    story.command("network-1", Run("purge"))
    assert story.resource("network-1").fields["macPrefix"] is None
    assert prefixes[0] not in claims_on(story, "global-1/macPrefix")


def test_an_instance_without_networks_has_no_nic() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    story.answer_all()
    assert of_type(story, "nic") == []
    assert "primaryIpAddress" not in story.resource("instance-1").fields


def test_a_nic_gets_a_subnet_an_address_and_a_mac_of_its_network() -> None:
    story = a_cloud()
    a_network(story)
    instance = on_network(story)
    nic, address, tie = story.only("nic"), story.only("ipAddress"), story.only("ipAddressNicMap")
    assert (nic.state, nic.row["deviceNumber"], nic.row["subnetId"]) == ("active", 0, 1)
    assert nic.row["macAddress"].startswith(story.only("network").fields["macPrefix"] + ":")
    assert (address.state, address.row["role"], address.row["networkId"], address.kind) == ("active", "primary", 1, "ipAddress")
    assert address.row["name"] == address.row["address"] == instance.fields["primaryIpAddress"]
    assert (tie.state, tie.row["nicId"], tie.row["ipAddressId"]) == ("active", nic.id, address.id)
    assert {nic.root, address.root, tie.root} == {instance.stream}
    assert claims_on(story, "subnet-1/address") == {address.row["address"]: address.stream}
    assert claims_on(story, "network-1/mac") == {nic.row["macAddress"]: nic.stream}


def test_a_nic_costs_seven_events_and_no_append() -> None:
    story = a_cloud()
    a_network(story)
    on_network(story)
    costs = []
    for networks in ([], [1]):
        events, appends = len(story.log), story.appends
        story.create("container", imageId=1, accountId=1, networkIds=networks)
        story.answer_all()
        costs.append((len(story.log) - events, story.appends - appends))
    (events, appends), (with_nic, appends_with_nic) = costs
    assert with_nic - events <= 7
    assert appends_with_nic == appends <= 5


def test_nics_come_from_networks_then_subnets_then_vnets_and_a_gap_leaves_out_a_number() -> None:
    story = a_cloud()
    a_network(story)
    other = a_network(story, address="10.0.0.0")
    story.create("vnet", networkId=other, uri="x://", accountId=1)
    story.create(
        "container", imageId=1, accountId=1, networkIds=[1, None], subnetIds=[2], vnetIds=[1], startOnCreate=False,
    )  # fmt: skip
    named = ("deviceNumber", "networkId", "subnetId", "vnetId")
    rows = [tuple(each.row.get(name) for name in named) for each in of_type(story, "nic")]
    assert rows == [(0, 1, None, None), (2, 2, 2, None), (3, 2, None, 1)]


def test_an_account_may_have_networks_for_all_its_instances() -> None:
    story = a_cloud()
    number = a_network(story)
    story.command("account-1", Update({"defaultNetworkIds": [number]}))
    story.create("container", imageId=1, accountId=1)
    story.create("container", imageId=1, accountId=1, networkIds=[None, number])
    story.answer_all()
    assert [each.row["deviceNumber"] for each in of_type(story, "nic")] == [0, 1]


def test_a_stopped_instance_keeps_address_and_mac_and_starts_with_them_again() -> None:
    story = a_cloud()
    a_network(story)
    before = on_network(story)
    held = claims_on(story, "subnet-1/address"), claims_on(story, "network-1/mac")
    story.command("instance-1", Run("stop"))
    story.answer_all()
    assert story.only("nic").state == "inactive"
    assert story.only("ipAddress").state == "active"
    story.command("instance-1", Run("start"))
    story.answer_all()
    assert (claims_on(story, "subnet-1/address"), claims_on(story, "network-1/mac")) == held
    assert story.resource("instance-1").fields["primaryIpAddress"] == before.fields["primaryIpAddress"]
    assert len(of_type(story, "ipAddress")) == 1


def test_a_removed_instance_is_restored_with_the_same_address() -> None:
    story = a_cloud()
    a_network(story)
    before = on_network(story).fields["primaryIpAddress"]
    story.command("instance-1", Delete())
    story.answer_all()
    assert story.only("nic").state == "removed"
    story.command("instance-1", Run("restore"))
    story.command("instance-1", Run("start"))
    story.answer_all()
    assert story.only("nic").state == "active"
    assert story.resource("instance-1").fields["primaryIpAddress"] == before


def test_a_purge_gives_back_address_and_mac() -> None:
    story = a_cloud()
    a_network(story)
    on_network(story)
    story.command("instance-1", Delete())
    story.answer_all()
    assert claims_on(story, "subnet-1/address"), "a removed instance may still be restored"
    for _ in range(2):
        story.pass_time(61)
        story.answer_all()
    assert claims_on(story, "subnet-1/address") == claims_on(story, "network-1/mac") == {}
    assert story.only("nic").row["macAddress"] is None
    assert {each.state for each in story.resources().values() if each.root == "instance-1"} == {"purged"}


def purged(story: Story, stream: str) -> None:
    story.command(stream, Delete())
    story.answer_all()
    for _ in range(2):
        story.pass_time(61)
        story.answer_all()


def test_an_address_whose_subnet_is_changed_gives_its_lease_back_where_it_has_it() -> None:
    story = a_cloud()
    a_network(story)
    made = on_network(story)
    story.create("subnet", networkId=1, networkAddress="10.9.0.0", accountId=1)
    story.command("ipAddress-1", Update({"subnetId": 2}))
    purged(story, made.stream)
    assert claims_on(story, "subnet-1/address") == claims_on(story, "subnet-2/address") == {}


def test_an_address_whose_subnet_is_changed_is_leased_of_the_new_one_when_it_is_activated_again() -> None:
    story = a_cloud()
    a_network(story)
    on_network(story)
    story.create("subnet", networkId=1, networkAddress="10.9.0.0", startAddress="10.9.0.7", endAddress="10.9.0.7", accountId=1)
    story.command("ipAddress-1", Run("deactivate"))
    story.command("ipAddress-1", Update({"subnetId": 2, "address": None}))
    story.command("ipAddress-1", Run("activate"))
    assert claims_on(story, "subnet-1/address") == {}
    assert claims_on(story, "subnet-2/address") == {"10.9.0.7": "ipAddress-1"}


def test_a_nic_whose_network_is_changed_gives_its_mac_back_where_it_has_it() -> None:
    story = a_cloud()
    a_network(story)
    made = on_network(story)
    story.create("network", kind="network", accountId=1)
    story.command("nic-1", Update({"networkId": 2}))
    purged(story, made.stream)
    assert claims_on(story, "network-1/mac") == {}


def test_a_full_subnet_removes_the_new_instance_with_the_error_and_a_purge_makes_room() -> None:
    story = a_cloud()
    a_network(story, cidrSize=28)
    for _ in range(9):
        assert on_network(story).state == "running"
    unlucky = on_network(story)
    assert (unlucky.state, unlucky.fields["transitioning"], unlucky.fields["transitioningMessage"]) == ("removed", "error", NO_ADDRESS)
    assert len(claims_on(story, "subnet-1/address")) == 9
    story.command("instance-1", Delete())
    story.answer_all()
    for _ in range(2):
        story.pass_time(61)
        story.answer_all()
    assert on_network(story).state == "running"


def test_an_instance_that_finds_no_address_at_a_later_start_goes_back_to_stopped() -> None:
    story = a_cloud()
    a_network(story, startAddress="192.168.3.9", endAddress="192.168.3.9")
    waiting = story.create("container", imageId=1, accountId=1, networkIds=[1], startOnCreate=False)
    assert on_network(story).fields["primaryIpAddress"] == "192.168.3.9"
    story.command(waiting.stream, Run("start"))
    story.answer_all()
    late = story.resource(waiting.stream)
    assert (late.state, late.fields["transitioningMessage"]) == ("stopped", NO_ADDRESS)
    story.command("instance-2", Delete())
    story.answer_all()
    for _ in range(2):
        story.pass_time(61)
        story.answer_all()
    story.command(waiting.stream, Run("start"))
    story.answer_all()
    assert story.resource(waiting.stream).fields["primaryIpAddress"] == "192.168.3.9"


def test_of_two_subnets_the_one_with_room_is_chosen() -> None:
    story = a_cloud()
    a_network(story, startAddress="192.168.3.9", endAddress="192.168.3.9")
    story.create("subnet", networkId=1, networkAddress="10.0.0.0", accountId=1)
    addresses = [on_network(story).fields["primaryIpAddress"] for _ in range(3)]
    assert addresses[0] == "192.168.3.9"
    assert all(each.startswith("10.0.0.") for each in addresses[1:])


def test_an_inactive_subnet_gives_no_address() -> None:
    story = a_cloud()
    a_network(story)
    story.command("subnet-1", Run("deactivate"))
    made = story.create("container", imageId=1, accountId=1, subnetIds=[1])
    story.answer_all()
    assert story.resource(made.stream).fields["transitioningMessage"] == "Subnet not active : IP allocation error"


def test_an_address_that_was_deactivated_gets_its_old_value_back_if_it_is_free() -> None:
    story = a_cloud()
    a_network(story)
    first = on_network(story).fields["primaryIpAddress"]
    story.command("instance-1", Run("stop"))
    story.answer_all()
    story.command("ipAddress-1", Run("deactivate"))
    assert claims_on(story, "subnet-1/address") == {}
    story.command("ipAddress-1", Run("activate"))
    assert claims_on(story, "subnet-1/address") == {first: "ipAddress-1"}


def test_a_nic_on_a_network_without_subnets_has_a_mac_only() -> None:
    story = a_cloud()
    story.create("network", accountId=1)
    assert on_network(story).state == "running"
    assert story.only("nic").row["macAddress"]
    assert of_type(story, "ipAddress") == []


def test_the_hosts_agent_is_told_of_nics_addresses_subnets_and_services() -> None:
    story = a_cloud()
    a_network(story)
    story.create("metadataService", kind="metadataService", networkId=1, configDrive=True)
    story.create("networkServiceProvider", networkId=1)
    on_network(story, ports=["8080:80"])
    world = World(story.turn("", {}).catalogue, story.resources(), story.fleet)
    told = instance_map(world, story.only("instanceHostMap"))["instanceHostMap"]["instance"]
    [nic] = told["nics"]
    assert nic["macAddress"]
    [address] = nic["ipAddresses"]
    assert (address["address"], address["subnet"]["cidrSize"]) == (story.only("ipAddress").row["address"], None)
    assert [each["kind"] for each in nic["network"]["networkServices"]] == ["metadataService"]
    assert [each["type"] for each in nic["network"]["networkServiceProviders"]] == ["networkServiceProvider"]
    assert [(each["publicPort"], each["privatePort"], each["protocol"]) for each in told["ports"]] == [(8080, 80, "tcp")]


def test_an_instance_may_read_about_itself_where_a_network_has_a_config_drive() -> None:
    story = a_cloud()
    a_network(story)
    story.create("metadataService", kind="metadataService", networkId=1, configDrive=True)
    instance = on_network(story, name="web", userdata="#!/bin/sh")
    told = instance_map(World(story.turn("", {}).catalogue, story.resources(), story.fleet), story.only("instanceHostMap"))
    address = instance.fields["primaryIpAddress"]
    described = told["instanceHostMap"]["instance"]["data"]["metadata"][address]
    assert described["user-data"] == "#!/bin/sh"
    assert (described["meta-data"]["hostname"], described["meta-data"]["local-ipv4"]) == ("web", address)
    assert described["meta-data"]["instance-id"] == "1i1"
    assert "metadata" not in (story.resource("instance-1").row["data"])


def test_an_address_that_was_removed_by_force_is_free_for_another() -> None:
    story = a_cloud()
    a_network(story)
    on_network(story)
    story.command("instance-1", Run("stop"))
    story.answer_all()
    story.command("ipAddress-1", ForceRemove("a mistake"))
    story.pass_time(1)
    assert story.resource("ipAddress-1").state == "purged"
    assert claims_on(story, "subnet-1/address") == {}


def test_an_address_that_is_tied_to_another_goes_with_its_nic_all_the_same() -> None:
    story = a_cloud()
    a_network(story)
    instance = on_network(story)
    story.command("ipAddress-1", Run("associate", {"ipAddressId": 1}))
    assert story.resource("ipAddress-1").state == "associated"
    story.command(instance.stream, Delete())
    for _ in range(3):
        story.answer_all()
        story.pass_time(61)
    assert story.resource(instance.stream).state == "purged"
    assert claims_on(story, "subnet-1/address") == {}
    assert story.only("ipAssociation").removed


def test_a_failed_start_of_an_instance_on_a_network_leaks_nothing() -> None:
    story = a_cloud()
    a_network(story, kind="hostOnlyNetwork")
    story.create("container", imageId=1, accountId=1, networkIds=[1], ports=["8080:80"])

    def failing(ask: Ask) -> Any:
        return "no" if ask.command == "compute.instance.activate" else {}

    for _ in range(4):
        story.answer_all(failing)
        story.pass_time(5)
    assert story.resource("instance-1").state == "removed"
    assert claims_on(story, "host-1/port") == {}
    for _ in range(3):
        story.pass_time(61)
        story.answer_all()
    assert claims_on(story, "subnet-1/address") == claims_on(story, "network-1/mac") == {}

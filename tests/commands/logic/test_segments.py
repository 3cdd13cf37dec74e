"""Which hosts take part in a network and where its instances are, as agents are told: from the log alone."""

from __future__ import annotations

from typing import Any

from agents.wire import TRANSPORT, UNDERLAY
from commands.logic.payload import instance_map
from commands.logic.segments import Documents, Member, member
from commands.resource import Resource
from commands.turns.decide import Delete, Run, Update
from commands.turns.world import World
from tests.support.networks import a_cloud_with_addresses, a_network, of_type, on_network
from tests.support.story import Story, a_cloud


def members(story: Story) -> dict[str, Member]:
    found = {}
    for root in [each.stream for each in of_type(story, "instance")]:
        own = {stream: each for stream, each in story.resources().items() if each.root == root}
        if (now := member(World(story.catalogue, own, story.fleet), root)) is not None:
            found[root] = now
    return found


def told(story: Story) -> dict[int, Any]:
    return dict(Documents().made(story.fleet, members(story).values()))


def host_of(story: Story, instance: Resource) -> Resource:
    [placed] = [each for each in of_type(story, "instanceHostMap") if each.row["instanceId"] == instance.id and not each.removed]
    return story.resource(f"host-{placed.row['hostId']}")


def test_all_agents_of_a_networks_hosts_are_told_the_same_of_it() -> None:
    story = a_cloud_with_addresses()
    a_network(story)
    first, second = (on_network(story, name=name, requestedHostId=host) for host, name in ((1, "web"), (2, "db")))
    documents = told(story)
    assert set(documents) == {each.row["agentId"] for each in of_type(story, "host")}
    [segment] = next(iter(documents.values()))["segments"]
    assert all(each["segments"] == [segment] for each in documents.values())
    assert (segment["subnet"], segment["gateway"]) == ("192.168.3.0/24", "192.168.3.1")
    assert segment["hosts"] == ["10.0.0.1", "10.0.0.2"]
    ends = {each["name"]: each for each in segment["endpoints"]}
    for instance in (first, second):
        [nic] = [each for each in of_type(story, "nic") if each.row["instanceId"] == instance.id]
        end = ends[instance.row["name"]]
        assert (end["instance"], end["mac"]) == (instance.row["uuid"], nic.row["macAddress"])
        assert end["address"] == instance.fields["primaryIpAddress"]
        assert end["at"] == f"10.0.0.{host_of(story, instance).id}"


def test_a_segment_of_which_nothing_changed_is_not_made_anew() -> None:
    story, making = a_cloud_with_addresses(), Documents()
    a_network(story)
    a_network(story, address="192.168.4.0")
    web, _ = on_network(story, 1, requestedHostId=1), on_network(story, 2, requestedHostId=1)
    known = members(story)
    one = making.made(story.fleet, known.values())
    story.command(web.stream, Update({"name": "site"}))
    two = making.made(story.fleet, {**known, web.stream: members(story)[web.stream]}.values())
    [before], [after] = ([each["segments"] for each in documents.values()] for documents in (one, two))
    assert (before[0] is after[0], before[1] is after[1]) == (False, True)
    host = story.resource("host-1")
    turn = story.turn("", {})
    turn.change(host, {"data": {UNDERLAY: "10.0.0.9"}})
    story._append(turn)
    [moved] = (each["segments"] for each in making.made(story.fleet, members(story).values()).values())
    assert [each["hosts"] for each in moved] == [["10.0.0.9"], ["10.0.0.9"]]


def test_a_change_is_another_version_and_nothing_else_is() -> None:
    story = a_cloud_with_addresses()
    a_network(story)
    web = on_network(story, name="web")
    [one] = told(story).values()
    story.command(web.stream, Update({"description": "of no interest"}))
    assert [each["version"] for each in told(story).values()] == [one["version"]]
    story.command(web.stream, Update({"name": "site"}))
    [two] = told(story).values()
    assert two["version"] != one["version"]
    assert two["segments"][0]["endpoints"][0]["name"] == "site"


def test_a_network_whose_data_says_routes_is_told_of_as_routed_and_others_as_they_were() -> None:
    story = a_cloud_with_addresses()
    a_network(story)
    on_network(story, name="web")
    [document] = told(story).values()
    assert TRANSPORT not in document["segments"][0]
    [network] = of_type(story, "network")
    for transport, then in (("routes", "routes"), ("vxlan", None)):
        story.command(network.stream, Update({"data": {TRANSPORT: transport}}))
        story.answer_all()
        [document] = told(story).values()
        assert document["segments"][0].get(TRANSPORT) == then


def test_who_has_stopped_keeps_its_name_and_is_nowhere_and_who_is_removed_is_forgotten() -> None:
    story = a_cloud_with_addresses()
    a_network(story)
    web = on_network(story, name="web")
    story.command(web.stream, Run("stop"))
    story.answer_all()
    [document] = told(story).values()
    assert [(each["name"], each["at"]) for each in document["segments"][0]["endpoints"]] == [("web", None)]
    story.command(web.stream, Delete())
    story.answer_all()
    assert told(story) == {}


def test_networks_that_span_no_hosts_and_instances_without_addresses_are_none_of_it() -> None:
    story = a_cloud_with_addresses()
    a_network(story, kind="hostOnlyNetwork", dynamic=True)
    on_network(story)
    story.create("network", accountId=1)
    on_network(story, 2)
    assert members(story) == {}


def test_a_host_without_an_address_of_its_own_is_named_to_nobody() -> None:
    story = a_cloud(hosts=1)
    a_network(story)
    on_network(story)
    [document] = told(story).values()
    assert (document["segments"][0]["hosts"], document["segments"][0]["endpoints"][0]["at"]) == ([], None)


def test_a_link_on_a_network_tells_the_targets_own_address_its_ports_and_its_environment() -> None:
    story = a_cloud_with_addresses()
    a_network(story)
    db = on_network(story, name="db", ports=["5432:5432", "53/udp"], environment={"USER": "me"})
    web = on_network(story, name="web", instanceLinks={"store": db.id, "none": None})
    [target] = [each for each in tree(story, web)["instanceLinks"] if each["linkName"] == "store"]
    assert target["targetInstance"]["address"] == db.fields["primaryIpAddress"]
    assert target["targetInstance"]["ports"] == [
        {"privatePort": 53, "protocol": "udp"}, {"privatePort": 5432, "protocol": "tcp"},
    ]  # fmt: skip
    assert target["targetInstance"]["environment"] == {"USER": "me"}
    assert members(story)[web.stream].links == (("store", db.fields["primaryIpAddress"]),)


def test_a_link_to_an_instance_of_another_network_stays_the_engines_own() -> None:
    story = a_cloud_with_addresses()
    a_network(story)
    a_network(story, address="192.168.4.0")
    db = on_network(story, 2)
    web = on_network(story, 1, instanceLinks={"store": db.id})
    [target] = tree(story, web)["instanceLinks"]
    assert target["targetInstance"].get("address") is None


def tree(story: Story, instance: Resource) -> Any:
    world = World(story.catalogue, story.resources(), story.fleet)
    [placed] = [each for each in of_type(story, "instanceHostMap") if each.row["instanceId"] == instance.id]
    return instance_map(world, placed)["instanceHostMap"]["instance"]


def test_an_address_that_a_subnet_gave_stays_leased_when_its_container_stops_with_it() -> None:
    """The engine says the same address as Corral does."""
    story = a_cloud_with_addresses()
    a_network(story)
    made = story.create("container", imageId=1, accountId=1, networkIds=[1])
    story.answer_all(lambda ask: {"instance": {"+data": {"+fields": {"dockerIp": address(story)}}}} if ".activate" in ask.command else {})
    assert story.resource(made.stream).state == "running"
    story.command(made.stream, Run("stop"))
    story.answer_all()
    assert [each.state for each in of_type(story, "ipAddress")] == ["active"]


def address(story: Story) -> str:
    [found] = of_type(story, "ipAddress")
    return str(found.row["address"])

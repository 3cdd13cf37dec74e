"""Published ports: their rows, and the lease of public ones on a host, so that no two instances want the same one there."""

from __future__ import annotations

from typing import Any

from commands.logic.payload import instance_map
from commands.resource import Resource
from commands.turns.decide import Delete, Run, Update
from commands.turns.interventions import ForceRemove
from commands.turns.world import World
from tests.support.networks import a_network, claims_on, of_type
from tests.support.story import Ask, Story, a_cloud

ACTIVATE = "compute.instance.activate"


def publishing(story: Story, *ports: str, **fields: Any) -> Resource:
    made = story.create("container", imageId=1, accountId=1, ports=list(ports), **fields)
    story.answer_all()
    return story.resource(made.stream)


def docker(ports: dict[str, str], ip: str = "172.17.0.3") -> Any:
    """An engine that tells what it published."""

    def agent(ask: Ask) -> Any:
        fields = {"dockerHostIp": "192.168.9.5", "dockerIp": ip, "dockerPorts": ports}
        return {"instance": {"+data": {"+fields": fields}}} if ask.command == ACTIVATE else {}

    return agent


def test_ports_become_rows_that_are_active_while_the_instance_runs() -> None:
    story = a_cloud()
    publishing(story, "8080:80", "53/udp", "9090:80/tcp")
    named = ("kind", "publicPort", "privatePort", "protocol", "state")
    rows = [tuple(each.row.get(name) for name in named) for each in of_type(story, "port")]
    assert rows == [("userPort", 8080, 80, "tcp", "active"), ("userPort", None, 53, "udp", "active")]
    story.command("instance-1", Run("stop"))
    story.answer_all()
    assert {each.state for each in of_type(story, "port")} == {"inactive"}


def test_a_public_port_is_its_instances_own_while_it_runs_and_free_when_it_has_stopped() -> None:
    story = a_cloud()
    publishing(story, "8080:80")
    assert claims_on(story, "host-1/port") == {"8080/tcp": "instance-1"}
    refused = publishing(story, "8080:80")
    assert refused.state == "removed"
    assert refused.fields["transitioningMessage"] == "Failed to find a placement : host 1h1: port 8080/tcp is taken by instance-1"
    assert publishing(story, "8080:80/udp").state == "running"
    story.command("instance-1", Run("stop"))
    assert claims_on(story, "host-1/port")["8080/tcp"] == "instance-1", "not before the host has let go of it"
    story.answer_all()
    assert claims_on(story, "host-1/port") == {"8080/udp": "instance-3"}
    assert publishing(story, "8080:80").state == "running"


def test_a_port_that_is_taken_on_one_host_sends_the_instance_to_another() -> None:
    story = a_cloud(hosts=2)
    hosts = [publishing(story, "8080:80") for _ in range(2)]
    assert {each.state for each in hosts} == {"running"}
    assert sorted(each.row["hostId"] for each in of_type(story, "instanceHostMap")) == [1, 2]
    message = publishing(story, "8080:80").fields["transitioningMessage"]
    assert message.count("port 8080/tcp is taken by instance-") == 2


def test_an_instance_takes_its_port_again_at_the_next_start_and_one_that_lost_it_says_to_whom() -> None:
    story = a_cloud()
    publishing(story, "8080:80")
    for verb in ("stop", "start", "stop"):
        story.command("instance-1", Run(verb))
        story.answer_all()
    assert claims_on(story, "host-1/port") == {}
    publishing(story, "8080:80")
    story.command("instance-1", Run("start"))
    story.answer_all()
    late = story.resource("instance-1")
    assert late.state == "stopped"
    assert late.fields["transitioningMessage"] == (
        "port 8080/tcp is taken by instance-2 on host 1h1: stop that one, or publish another port"
    )
    story.command("instance-2", Run("stop"))
    story.answer_all()
    story.command("instance-1", Run("start"))
    story.answer_all()
    assert story.resource("instance-1").state == "running"


def test_a_changed_public_port_is_taken_at_the_next_start() -> None:
    story = a_cloud()
    publishing(story, "8080:80")
    story.command("port-1", Update({"publicPort": 9090}))
    assert story.resource("port-1").state == "active"
    story.command("instance-1", Run("restart"))
    story.answer_all()
    assert claims_on(story, "host-1/port") == {"9090/tcp": "instance-1"}


def test_ports_stay_with_a_removed_instance_and_go_with_its_purge() -> None:
    story = a_cloud()
    publishing(story, "8080:80")
    story.command("instance-1", Delete())
    story.answer_all()
    assert story.resource("port-1").state == "inactive"
    story.pass_time(61)
    story.answer_all()
    assert story.resource("port-1").state == "removed"
    assert story.resource("port-1").row.get("privateIpAddressId") is None


def test_what_was_removed_by_force_keeps_port_and_address_until_its_agent_confirms_that_it_is_gone() -> None:
    story = a_cloud()
    a_network(story)
    publishing(story, "8080:80", networkIds=[1])
    story.command("instance-1", ForceRemove("the host burns"))
    assert story.resource("instance-1").row["removed"]
    for _ in range(3):
        story.pass_time(61)
    assert [ask.command for ask in story.asks()] == ["compute.instance.deactivate"]
    assert claims_on(story, "host-1/port") == {"8080/tcp": "instance-1"}
    assert len(claims_on(story, "subnet-1/address")) == 1
    story.answer_all()
    assert claims_on(story, "host-1/port") == {}
    for _ in range(2):
        story.pass_time(61)
        story.answer_all()
    assert claims_on(story, "subnet-1/address") == claims_on(story, "network-1/mac") == {}


def test_a_bad_port_in_the_log_fails_the_instance_and_not_the_engine() -> None:
    story = a_cloud()
    broken = publishing(story, "http")
    assert broken.state == "removed"
    assert "is not of the form" in broken.fields["transitioningMessage"]


def test_docker_tells_the_hosts_address_the_containers_and_what_it_published() -> None:
    story = a_cloud()
    story.create("network", accountId=1)
    story.create("container", imageId=1, accountId=1, networkIds=[1], ports=["80"])
    story.answer_all(docker({"80/tcp": "49153", "443/tcp": "49154"}))
    [outer] = of_type(story, "hostIpAddressMap")
    assert story.resource(f"ipAddress-{outer.row['ipAddressId']}").row["address"] == "192.168.9.5"
    inner = next(each for each in of_type(story, "ipAddress") if each.kind == "docker")
    assert (inner.row["address"], inner.row["role"], inner.root) == ("172.17.0.3", "primary", "instance-1")
    rows = {each.kind: each.row for each in of_type(story, "port")}
    assert (rows["userPort"]["publicPort"], rows["imagePort"]["publicPort"], rows["imagePort"]["privatePort"]) == (49153, 49154, 443)
    for row in rows.values():
        assert (row["publicIpAddressId"], row["privateIpAddressId"]) == (outer.row["ipAddressId"], inner.id)
    assert story.resource("instance-1").fields["primaryIpAddress"] == "172.17.0.3"
    assert claims_on(story, "host-1/port") == {}, "what the engine chose is no wish"


def test_a_ports_number_that_docker_chose_is_chosen_anew_at_the_next_start() -> None:
    story = a_cloud()
    story.create("network", accountId=1)
    story.create("container", imageId=1, accountId=1, networkIds=[1], ports=["80"])
    story.answer_all(docker({"80/tcp": "49153"}))
    story.command("instance-1", Run("stop"))
    story.answer_all()
    inner = next(each for each in of_type(story, "ipAddress") if each.kind == "docker")
    assert (inner.state, inner.row["address"]) == ("inactive", None)
    world = World(story.turn("", {}).catalogue, story.resources(), story.fleet)
    told = instance_map(world, story.only("instanceHostMap"))["instanceHostMap"]["instance"]["ports"]
    assert [each["publicPort"] for each in told] == [None]
    story.command("instance-1", Run("start"))
    story.answer_all(docker({"80/tcp": "49200"}, ip="172.17.0.9"))
    assert story.resource("port-1").row["publicPort"] == 49200
    assert story.resource("instance-1").fields["primaryIpAddress"] == "172.17.0.9"
    assert len(of_type(story, "hostIpAddressMap")) == 1
    assert len([each for each in of_type(story, "ipAddress") if each.kind == "docker"]) == 1


def test_a_network_with_a_port_service_publishes_by_itself() -> None:
    story = a_cloud()
    a_network(story)
    story.create("portService", kind="portService", networkId=1)
    story.create("container", imageId=1, accountId=1, networkIds=[1], ports=["80"])
    story.answer_all(docker({"80/tcp": "49153"}))
    assert story.only("port").row.get("publicPort") is None

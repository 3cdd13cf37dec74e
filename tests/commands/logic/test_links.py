"""Links between instances: whom they wait for, and their ports on a link service."""

from __future__ import annotations

from typing import Any

import pytest

from commands.logic.payload import instance_map
from commands.resource import Resource
from commands.turns.decide import Delete, Run, Update
from commands.turns.world import World
from tests.support.networks import a_network, claims_on, of_type
from tests.support.story import Story, a_cloud

TIMEOUT = "Timeout waiting for instance link db : Timeout waiting for instance link db"


def linked(story: Story, target: int | None, **fields: Any) -> Resource:
    made = story.create("container", imageId=1, accountId=1, instanceLinks={"db": target}, **fields)
    story.answer_all()
    return story.resource(made.stream)


def with_link_service(hosts: int = 1) -> Story:
    """A host-only network whose link service has an agent instance that runs: instance 1 brought it, instance 2 is it."""
    story = a_cloud(hosts=hosts)
    a_network(story, kind="hostOnlyNetwork", dynamic=True)
    story.create("account", uuid="system", kind="system")
    story.create("agentInstanceProvider", kind="agentInstanceProvider", networkId=1, agentInstanceImageUuid="sim:agent", accountId=1)
    story.create("linkService", kind="linkService", networkId=1, networkServiceProviderId=1, accountId=1)
    story.create("container", imageId=1, accountId=1, networkIds=[1])
    story.answer_all()
    agent = story.resource("instance-2")
    assert (agent.state, agent.row["name"]) == ("running", "Agent")
    return story


def test_a_link_leads_to_its_target_at_once_where_no_service_does_more() -> None:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1, name="database", startOnCreate=False)
    assert linked(story, 1).state == "running"
    link = story.only("instanceLink")
    assert (link.state, link.row["linkName"], link.row["targetInstanceId"], link.root) == ("active", "db", 1, "instance-2")
    assert "ports" not in link.fields
    world = World(story.turn("", {}).catalogue, story.resources(), story.fleet)
    [told] = instance_map(world, story.only("instanceHostMap"))["instanceHostMap"]["instance"]["instanceLinks"]
    assert (told["linkName"], told["targetInstance"]["uuid"]) == ("db", story.resource("instance-1").row["uuid"])
    assert (told["targetInstance"]["type"], told["targetInstance"]["name"]) == ("instance", "database")


def test_a_link_to_nothing_holds_nobody_up_and_may_get_its_target_later() -> None:
    story = a_cloud()
    assert linked(story, None).state == "running"
    other = story.create("container", imageId=1, accountId=1)
    story.command("instanceLink-1", Update({"targetInstanceId": other.id}))
    link = story.only("instanceLink")
    assert link.state == "active"
    assert link.row["data"]["target"]["uuid"] == other.row["uuid"]


def test_links_follow_their_instance() -> None:
    story = a_cloud()
    linked(story, None)
    story.command("instance-1", Run("stop"))
    story.answer_all()
    assert story.only("instanceLink").state == "inactive"
    story.command("instance-1", Run("start"))
    story.answer_all()
    assert story.only("instanceLink").state == "active"
    story.command("instance-1", Delete())
    story.answer_all()
    story.pass_time(61)
    story.answer_all()
    assert story.only("instanceLink").state == "removed"


def test_a_link_service_waits_until_the_target_has_run_and_leads_on_to_its_ports() -> None:
    story = with_link_service()
    target = story.create("container", imageId=1, accountId=1, networkIds=[1], ports=["5432", "80:80"], startOnCreate=False)
    made = story.create("container", imageId=1, accountId=1, networkIds=[1], instanceLinks={"db": target.id})
    story.answer_all()
    assert story.resource(made.stream).state == "starting"
    story.command(target.stream, Run("start"))
    story.answer_all()
    assert story.resource(made.stream).state == "running"
    leads = story.only("instanceLink").fields["ports"]
    service = story.resource("instance-2").fields["primaryIpAddress"]
    assert [(each["ipAddress"], each["privatePort"], each["protocol"]) for each in leads] == [(service, 5432, "tcp"), (service, 80, "tcp")]
    numbers = [each["publicPort"] for each in leads]
    assert len(set(numbers)) == 2
    assert all(20000 <= each <= 39999 for each in numbers)
    assert claims_on(story, "networkService-1/linkPort") == {str(each): "instanceLink-1" for each in numbers}


def test_a_links_ports_stay_the_same_over_restarts_and_are_given_back_with_its_purge() -> None:
    story = with_link_service()
    target = story.create("container", imageId=1, accountId=1, networkIds=[1], ports=["5432"])
    story.answer_all()
    made = linked(story, target.id, networkIds=[1])
    before = story.only("instanceLink").fields["ports"]
    story.command(made.stream, Run("restart"))
    story.answer_all()
    assert story.only("instanceLink").fields["ports"] == before
    story.command(made.stream, Delete())
    story.answer_all()
    for _ in range(2):
        story.pass_time(61)
        story.answer_all()
    assert story.only("instanceLink").fields["ports"] == []
    assert claims_on(story, "networkService-1/linkPort") == {}


@pytest.mark.parametrize("written", [[], "x", ["x", {"privatePort": 5432}], [{"privatePort": [1], "protocol": "tcp", "publicPort": 1}]])
def test_what_is_written_over_a_links_ports_is_put_right_by_its_next_start(written: Any) -> None:
    story = with_link_service()
    target = story.create("container", imageId=1, accountId=1, networkIds=[1], ports=["5432"])
    story.answer_all()
    made = linked(story, target.id, networkIds=[1])
    story.command("instanceLink-1", Update({"ports": written}))
    story.command(made.stream, Run("restart"))
    story.answer_all()
    assert story.resource(made.stream).state == "running"
    [shown] = story.only("instanceLink").fields["ports"]
    assert claims_on(story, "networkService-1/linkPort") == {str(shown["publicPort"]): "instanceLink-1"}


def test_an_instance_whose_links_target_never_runs_is_removed_after_15_seconds() -> None:
    story = with_link_service()
    target = story.create("container", imageId=1, accountId=1, networkIds=[1], startOnCreate=False)
    made = linked(story, target.id, networkIds=[1])
    story.pass_time(14)
    assert story.resource(made.stream).state == "starting"
    story.pass_time(2)
    story.answer_all()
    late = story.resource(made.stream)
    assert (late.state, late.fields["transitioningMessage"]) == ("removed", TIMEOUT)


def test_an_instance_may_have_more_patience_of_its_own() -> None:
    story = with_link_service()
    target = story.create("container", imageId=1, accountId=1, networkIds=[1], startOnCreate=False)
    made = linked(story, target.id, networkIds=[1], data={"linkWaitTime": 60_000})
    story.pass_time(50)
    assert story.resource(made.stream).state == "starting"
    story.command(target.stream, Run("start"))
    story.answer_all()
    assert story.resource(made.stream).state == "running"


def test_a_later_start_that_waits_in_vain_goes_back_to_stopped() -> None:
    story = with_link_service()
    made = linked(story, None, networkIds=[1])
    story.command(made.stream, Run("stop"))
    story.answer_all()
    target = story.create("container", imageId=1, accountId=1, networkIds=[1], startOnCreate=False)
    story.command("instanceLink-1", Update({"targetInstanceId": target.id}))
    story.command(made.stream, Run("start"))
    story.answer_all()
    story.pass_time(16)
    story.answer_all()
    assert (story.resource(made.stream).state, story.resource(made.stream).fields["transitioningMessage"]) == ("stopped", TIMEOUT)


# --- agent instances ---


def test_every_vnet_has_one_agent_instance_a_provider_however_many_need_it() -> None:
    story = with_link_service()
    for _ in range(3):
        story.create("container", imageId=1, accountId=1, networkIds=[1])
    story.answer_all()
    agents = [each for each in of_type(story, "instance") if each.row.get("agentId")]
    assert len(agents) == 1
    row = agents[0].row
    assert (row["instanceTriggeredStop"], agents[0].fields["privileged"], agents[0].fields["vnetIds"]) == ("restart", True, [1])
    agent = story.resource(f"agent-{row['agentId']}")
    assert agent.row["uri"] == "delegate:///?vnetId=1&networkServiceProviderId=1"
    assert agent.row["managedConfig"] is False
    [tie] = of_type(story, "networkServiceProviderInstanceMap")
    assert (tie.row["instanceId"], tie.row["networkServiceProviderId"], tie.state) == (2, 1, "active")
    assert claims_on(story, "vnet-1/agent-instance") == {"networkServiceProvider-1": tie.stream}
    assert agent.row["data"]["delegate"] == {
        "hostId": 1,
        "instance": {"type": "instance", "id": 2, "uuid": row["uuid"], "kind": "container", "name": "Agent", "agentId": agent.id},
    }


def test_a_stopped_agent_instance_is_started_on_demand_and_a_removed_one_is_replaced() -> None:
    story = with_link_service()
    story.command("instance-2", Run("stop"))
    story.answer_all()
    story.create("container", imageId=1, accountId=1, networkIds=[1])
    story.answer_all()
    assert story.resource("instance-2").state == "running"
    story.command("instance-2", Delete())
    story.answer_all()
    story.create("container", imageId=1, accountId=1, networkIds=[1])
    story.answer_all()
    agents = [(each.id, each.state) for each in of_type(story, "instance") if each.row.get("agentId")]
    assert agents == [(2, "removed"), (5, "running")]
    assert claims_on(story, "vnet-1/agent-instance") == {"networkServiceProvider-1": "networkServiceProviderInstanceMap-2"}


def test_an_agent_instance_that_cannot_run_does_not_hold_up_who_needs_it() -> None:
    story = a_cloud()
    a_network(story, kind="hostOnlyNetwork", dynamic=True)
    story.create("agentInstanceProvider", kind="agentInstanceProvider", networkId=1, accountId=1)
    story.create("container", imageId=1, accountId=1, networkIds=[1])
    story.answer_all()
    assert story.resource("instance-1").state == "running"
    broken = story.resource("instance-2")
    assert broken.state == "removed"
    assert "the image needs docker" in broken.fields["transitioningMessage"]


def test_a_link_whose_service_is_taken_over_by_another_has_ports_of_that_one_and_none_of_the_first() -> None:
    story = with_link_service()
    target = story.create("container", imageId=1, accountId=1, networkIds=[1], ports=["5432"])
    story.answer_all()
    made = linked(story, target.id, networkIds=[1])
    [first] = claims_on(story, "networkService-1/linkPort")
    story.create("linkService", kind="linkService", networkId=1, networkServiceProviderId=1, accountId=1)
    story.command("networkService-1", Run("deactivate"))
    story.command(made.stream, Run("restart"))
    story.answer_all()
    [shown] = story.only("instanceLink").fields["ports"]
    assert claims_on(story, "networkService-2/linkPort") == {str(shown["publicPort"]): "instanceLink-1"}
    assert claims_on(story, "networkService-1/linkPort") == {}, f"{first} was that of the first service"
    story.command(made.stream, Delete())
    story.answer_all()
    for _ in range(3):
        story.pass_time(61)
        story.answer_all()
    assert claims_on(story, "networkService-2/linkPort") == {}


def test_a_vnet_whose_tie_to_an_agent_instance_is_removed_may_have_another() -> None:
    story = with_link_service()
    [tie] = of_type(story, "networkServiceProviderInstanceMap")
    scope = "vnet-1/agent-instance"
    assert claims_on(story, scope) == {"networkServiceProvider-1": tie.stream}
    story.command(tie.stream, Run("deactivate"))
    story.command(tie.stream, Run("remove"))
    assert claims_on(story, scope) == {}
    story.create("container", imageId=1, accountId=1, networkIds=[1])
    story.answer_all()
    assert claims_on(story, scope) == {"networkServiceProvider-1": "networkServiceProviderInstanceMap-2"}

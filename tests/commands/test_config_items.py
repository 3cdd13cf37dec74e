"""Config items are demanded of agents: a row for each, once, however often and by whom its need is found."""

from __future__ import annotations

from commands.decide import Run
from tests.commands.test_networks import a_network
from tests.support.story import Story, a_cloud

BASE = {"agent-instance-scripts", "agent-instance-startup", "configscripts", "monit", "node-services", "services"}


def items(story: Story, agent: int) -> list[str]:
    return sorted(
        str(each.row["name"]) for each in story.resources().values() if each.type == "configItemStatus" and each.row["agentId"] == agent
    )


def with_services(*kinds: str) -> Story:
    """Instance 1 on a network with these services; instance 2, in which agent 2 lives, provides them."""
    story = a_cloud()
    a_network(story, kind="hostOnlyNetwork", dynamic=True)
    story.create("agentInstanceProvider", kind="agentInstanceProvider", networkId=1, agentInstanceImageUuid="sim:agent", accountId=1)
    for kind in kinds:
        story.create(kind, kind=kind, networkId=1, networkServiceProviderId=1, accountId=1)
    story.create("container", imageId=1, accountId=1, networkIds=[1])
    story.answer_all()
    return story


def test_an_agent_in_an_instance_is_to_have_what_it_needs_itself_and_for_each_service() -> None:
    story = with_services("dnsService", "dhcpService", "linkService")
    assert set(items(story, 2)) == BASE | {"dnsmasq", "hosts", "iptables"}
    row = next(each.row for each in story.resources().values() if each.type == "configItemStatus" and each.row["name"] == "hosts")
    assert (row["requestedVersion"], row["appliedVersion"], row["agentId"]) == (1, 0, 2)
    assert row["requestedUpdated"] is not None
    assert items(story, 1) == []


def test_more_instances_demand_nothing_twice_and_a_new_service_only_its_own() -> None:
    story = with_services("dnsService")
    before = items(story, 2)
    for kind in (None, "metadataService"):
        if kind is not None:
            story.create(kind, kind=kind, networkId=1, networkServiceProviderId=1, accountId=1)
        story.create("container", imageId=1, accountId=1, networkIds=[1])
        story.answer_all()
        assert items(story, 2) == sorted([*before, "metadata"] if kind else before)


def test_the_agent_of_a_host_is_to_translate_ports_where_an_instance_needs_it() -> None:
    story = a_cloud()
    a_network(story)
    story.create("container", imageId=1, accountId=1, networkIds=[1])
    story.answer_all()
    assert items(story, 1) == []
    for kind in ("portService", "hostNatGatewayService"):
        story.create(kind, kind=kind, networkId=1, accountId=1)
    for what in ("stop", "start"):
        story.command("instance-1", Run(what))
        story.answer_all()
    assert items(story, 1) == ["host-iptables", "host-routes"]


def test_a_managed_agent_is_made_of_what_the_settings_say_and_others_of_nothing() -> None:
    story = Story()
    story.settings["agent.config.items"] = "pyagent, configscripts,"
    for managed in (True, False):
        story.create("agent", uri=f"event://{managed}", managedConfig=managed)
    story.answer_all()
    assert (items(story, 1), items(story, 2)) == (["configscripts", "pyagent"], [])
    story.command("agent-1", Run("reconnect"))
    story.answer_all()
    assert items(story, 1) == ["configscripts", "pyagent"]

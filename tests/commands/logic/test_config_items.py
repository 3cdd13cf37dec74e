"""Config items are demanded of agents: a row for each, once, however often and by whom its need is found."""

from __future__ import annotations

from commands.logic import config_items
from commands.turns.decide import Run, Update
from commands.turns.world import World
from tests.support.networks import a_network
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


# --- a managed agent becomes active when it has applied what it is made of ---


def a_managed_agent() -> Story:
    story = Story()
    story.settings["cattle.config.url"] = "http://server:8080/v1"
    story.create("agent", uri="event://managed", managedConfig=True)
    return story


def apply(story: Story, *names: str) -> None:
    """As the gateway keeps it when the agent says so."""
    for each in list(story.resources().values()):
        if each.type == "configItemStatus" and each.row["name"] in names:
            story.command(each.stream, Update({"appliedVersion": each.row["requestedVersion"], "sourceVersion": "abc"}))


def test_a_managed_agent_is_asked_to_fetch_what_it_is_made_of_before_it_is_pinged() -> None:
    story = a_managed_agent()
    [asked] = story.asks()
    assert asked.command == "config.update"
    agent = story.only("agent")
    world = World(story.catalogue, {agent.stream: agent}, story.fleet)
    said = config_items.update(world, agent)
    assert said["configUrl"] == "http://server:8080/v1"
    how = {"requestedVersion": 1, "apply": True, "increment": False, "checkInSyncOnly": False}
    assert said["items"] == [{"name": "configscripts", **how}, {"name": "pyagent", **how}]
    apply(story, "pyagent", "configscripts")
    story.answer(asked, {"exitCode": 0, "output": "done"})
    assert [each.command for each in story.asks()] == ["ping"]


def test_an_answer_without_an_acknowledgement_keeps_it_waiting_and_it_is_asked_again() -> None:
    story = a_managed_agent()
    apply(story, "pyagent")
    story.answer(story.asks()[0], {"exitCode": 0})
    story.pass_time(1)
    assert (story.only("agent").state, story.asks()) == ("activating", [])
    story.pass_time(15)
    [again] = story.asks()
    assert again.command == "config.update"
    parked = story.only("agent").open["state"].parked or ""
    assert "configscripts" in parked
    assert "pyagent" not in parked
    apply(story, "configscripts")
    story.answer(again, {"exitCode": 0})
    assert [each.command for each in story.asks()] == ["ping"]
    assert story.only("agent").open["state"].parked is None


def test_an_agent_that_can_not_apply_it_is_asked_again_until_it_can() -> None:
    story = a_managed_agent()
    for _ in range(4):
        story.answer(story.asks()[0], {"exitCode": 7, "output": "no space left"})
        assert story.asks() == []
        story.pass_time(16)
    assert "no space left" in (story.only("agent").open["state"].parked or "")
    apply(story, "pyagent", "configscripts")
    story.answer(story.asks()[0], {"exitCode": 0})
    story.answer_all()
    assert story.only("agent").state == "active"


def test_an_agent_that_applied_it_all_is_not_asked_when_it_reconnects() -> None:
    story = a_managed_agent()
    apply(story, "pyagent", "configscripts")
    story.answer_all()
    story.command("agent-1", Run("reconnect"))
    assert [each.command for each in story.asks()] == ["ping"]


def test_what_is_requested_anew_is_fetched_with_the_next_reconnect() -> None:
    story = a_managed_agent()
    apply(story, "pyagent", "configscripts")
    story.answer_all()
    story.command("configItemStatus-1", Update({"requestedVersion": 2}))
    story.command("agent-1", Run("reconnect"))
    assert [each.command for each in story.asks()] == ["config.update"]


def test_an_unmanaged_agent_fetches_nothing() -> None:
    story = Story()
    story.create("agent", uri="event://plain", managedConfig=False)
    assert [each.command for each in story.asks()] == ["ping"]
    assert items(story, 1) == []

"""What accounts get when they are made, and how a machine that registers comes by its agent's keys."""

from __future__ import annotations

from typing import Any

import pytest

from commands.logic.accounts import SCOPE
from commands.turns.decide import Run, Update
from tests.support.story import Story, a_cloud, sim_inventory


def kinds(story: Story, account: int) -> list[str]:
    credentials = [each for each in story.resources().values() if each.type == "credential" and each.row["accountId"] == account]
    return sorted(each.kind for each in credentials if not each.removed)


def test_a_new_account_has_a_key_and_a_registration_token() -> None:
    story = Story()
    story.create("account", kind="user")
    assert kinds(story, 1) == ["apiKey", "registrationToken"]


def test_the_settings_say_whether_an_account_gets_a_key_and_of_which_kind() -> None:
    story = Story()
    story.settings["process.account.create.create.credential"] = False
    story.create("account", kind="user")
    assert kinds(story, 1) == ["registrationToken"]
    story.settings["process.account.create.create.credential"] = True
    story.settings["process.account.create.create.credential.default.kind"] = "usernamePassword"
    story.create("account", kind="user")
    assert kinds(story, 2) == ["registrationToken", "usernamePassword"]


def test_what_an_account_is_made_with_goes_before_the_settings() -> None:
    story = Story()
    story.settings["process.account.create.create.credential"] = False
    turn = story.turn("", {})
    turn.create("account", {}, kind="service", run=False, input={SCOPE: {"createApiKey": True, "createApiKeyKind": "agentApiKey"}})
    story._append(turn)
    story.settle()
    assert kinds(story, 1) == ["agentApiKey", "registrationToken"]


def test_an_account_that_is_created_again_keeps_the_keys_it_has() -> None:
    story = Story()
    story.create("account", kind="user")
    story.take_turn("account-1")
    assert kinds(story, 1) == ["apiKey", "registrationToken"]


def test_an_agent_has_one_key_whatever_the_settings_say_of_accounts() -> None:
    story = Story()
    story.settings["process.account.create.create.credential"] = False
    story.create("agent", uri="sim://", managedConfig=False)
    assert kinds(story, 1) == ["agentApiKey"]


def test_an_agent_has_no_account_of_its_own_where_the_settings_say_so() -> None:
    story = Story()
    story.settings["process.agent.create.create.account"] = False
    assert story.create("agent", uri="sim://", managedConfig=False).row.get("accountId") is None


def test_a_machine_that_registers_gets_an_agent_and_its_keys() -> None:
    story = Story()
    story.create("account", kind="admin")
    register = story.create("register", key="of its own choosing", accountId=1)
    assert register.state == "active"
    agent = story.only("agent")
    assert (agent.kind, agent.row["uri"], agent.row["managedConfig"]) == ("registeredAgent", f"event://{register.row['uuid']}", True)
    assert agent.row["data"]["registrationKey"] == "of its own choosing"
    assert agent.row["data"]["agentResourcesAccountId"] == 1
    [key] = [each for each in story.resources().values() if each.kind == "agentApiKey"]
    assert key.row["accountId"] == agent.row["accountId"]
    assert (register.fields["accessKey"], register.fields["secretKey"]) == (key.row["publicValue"], key.row["secretValue"])
    assert agent.state == "activating"  # it can fetch its configuration, and answer its ping, now that it has keys
    assert [ask.command for ask in story.asks()] == ["config.update"]


@pytest.mark.parametrize("claimed", [{"+data": {"agentResourcesAccountId": 7}}, {"data": {"agentResourcesAccountId": 7, "mine": 1}}])
def test_no_answer_of_a_machine_says_whose_its_hosts_are(claimed: dict[str, Any]) -> None:
    story = Story()
    story.create("account", kind="admin")
    story.create("register", key="k", accountId=1)
    for each in story.resources().values():
        if each.type == "configItemStatus":
            story.command(each.stream, Update({"appliedVersion": 1}))
    story.answer_all(lambda ask: {**sim_inventory(), **claimed} if ask.command == "ping" else {})
    assert story.only("agent").state == "active"
    assert story.only("agent").row["data"]["agentResourcesAccountId"] == 1
    assert story.only("host").row["accountId"] == 1


def test_a_register_waits_for_a_key_that_is_on_its_way_and_goes_on_when_it_comes() -> None:
    """As an external handler of credential.create makes it: the key's process takes more than one turn."""
    story = Story()
    turn = story.turn("", {})
    account = turn.create("account", {"uuid": "agentAccount1"}, kind="agent")
    key = turn.new_row("credential", {"accountId": account.id, "publicValue": "P", "secretValue": "S"}, "agentApiKey", ())
    agent = turn.create("agent", {"uri": "event://x", "accountId": account.id}, run=False)
    slow = turn.new_row("register", {"key": "k", "data": {"agentId": agent.id}}, "register", ())
    story._append(turn)
    story.take_turn(slow[0])
    waiting = story.resource(slow[0])
    assert waiting.state == "registering"
    assert not waiting.fields.get("secretKey")
    assert "credential-2" in story.waits  # the newest of the account's keys
    story.take_turn(key[0])
    story.take_turn(slow[0])
    assert story.resource(slow[0]).state == "active"
    assert story.resource(slow[0]).fields["secretKey"] == "S"


def test_registering_again_in_every_turn_makes_one_agent() -> None:
    story = Story()
    story.create("register", key="k")
    for _ in range(3):
        story.take_turn("genericObject-1")
    assert story.only("agent").id == 1


def test_a_generic_object_that_is_no_register_just_becomes_active() -> None:
    story = Story()
    assert story.create("genericObject", kind="something").state == "active"
    assert not [each for each in story.resources().values() if each.type == "agent"]


def test_a_key_registers_once() -> None:
    story = Story()
    story.create("register", key="k")
    assert story.claims()["genericObject.key", "k"] == "genericObject-1"


def test_an_instance_is_tied_to_the_credentials_that_it_names() -> None:
    story = a_cloud()
    story.create("credential", kind="sshKey", publicValue="ssh-rsa x", secretValue="y")
    story.create("container", imageId=1, accountId=1, credentialIds=[1, 1, 3])
    story.answer_all()
    maps = [each for each in story.resources().values() if each.type == "credentialInstanceMap"]
    assert [(each.row["credentialId"], each.row["instanceId"], each.state) for each in maps] == [(1, 1, "active"), (3, 1, "active")]
    assert {each.root for each in maps} == {"instance-1"}
    assert story.resource("instance-1").state == "running"


def test_an_instance_that_names_none_gets_those_of_its_account() -> None:
    story = a_cloud()
    story.create("account", kind="user", defaultCredentialIds=[1, 2])
    account = max(each.id for each in story.resources().values() if each.type == "account")
    story.create("container", imageId=1, accountId=account, startOnCreate=False)
    maps = [each.row["credentialId"] for each in story.resources().values() if each.type == "credentialInstanceMap"]
    assert maps == [1, 2]
    assert story.resource("instance-1").state == "stopped"


def test_an_agent_group_shows_no_process_under_way() -> None:
    story = Story()
    group = story.create("agentGroup", name="g")
    assert group.state == "inactive"
    assert story.command(group.stream, Run("activate")).state == "active"

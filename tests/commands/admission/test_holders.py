"""What a key is good for is what the rows say at the moment."""

from __future__ import annotations

from typing import Any

import pytest

from commands.admission.holders import TAKEN_BACK, Holder, registered, rights
from commands.admission.keys import NatsKeys
from commands.turns.fleet import Fleet
from tests.commands.admission.rows import an_agent, changed, row


def holders(fleet: Fleet) -> dict[str, Holder]:
    """Key -> what it is good for, if it is."""
    found = {key: rights(fleet, fleet.resources[stream]) for key, stream in registered(fleet).items()}
    return {key: holder for key, holder in found.items() if holder is not None}


def test_an_agent_hears_its_commands_and_says_its_answers_and_heartbeats() -> None:
    found = holders(Fleet.of(an_agent(7, "U7")))["U7"]
    assert found.name == "agent-7"
    assert found.hears == ("corral.agent.a7.>",)
    assert found.says == ("corral.reply.*.a7.>", "corral.presence.a7")


def test_a_handler_hears_what_it_is_asked_and_says_its_answers_whatever_it_is_called() -> None:
    found = holders(Fleet.of([row("externalHandler", 3, "U3", name="de.mo >")]))["U3"]
    assert found.hears == ("corral.handler.de%2Emo%20%3E.>",)
    assert found.says == ("corral.reply.*.handler-de%2Emo%20%3E.>",)


ASKS = ("corral.instance.>", "corral.herd")


@pytest.mark.parametrize(("kind", "says"), [("admin", ASKS), ("superadmin", ASKS), ("readAdmin", ())])
def test_people_look_on_and_admins_ask_instances(kind: str, says: tuple[str, ...]) -> None:
    assert holders(Fleet.of([row("account", 1, "U1", kind=kind)]))["U1"].says == says


@pytest.mark.parametrize("kind", ["user", "agent", "service"])
def test_other_accounts_have_no_key(kind: str) -> None:
    assert "U1" not in holders(Fleet.of([row("account", 1, "U1", kind=kind)]))


@pytest.mark.parametrize("state", sorted(TAKEN_BACK))
@pytest.mark.parametrize(("type", "number"), [("agent", 7), ("account", 107), ("credential", 1007)])
def test_an_agents_key_is_good_no_more_when_it_its_account_or_its_api_key_is_taken_back(type: str, number: int, state: str) -> None:
    fleet = Fleet.of(an_agent(7, "U7"))
    changed(fleet, type, number, state=state)
    assert "U7" not in holders(fleet)
    changed(fleet, type, number, state="active")
    assert "U7" in holders(fleet)


@pytest.mark.parametrize(("type", "number"), [("agent", 7), ("account", 107), ("credential", 1007)])
def test_nor_when_one_of_them_is_removed(type: str, number: int) -> None:
    fleet = Fleet.of(an_agent(7, "U7"))
    changed(fleet, type, number, removed="2026-01-01T00:00:00Z")
    assert "U7" not in holders(fleet)


def test_one_of_several_api_keys_does() -> None:
    fleet = Fleet.of([*an_agent(7, "U7"), row("credential", 2, kind="agentApiKey", accountId=107)])
    changed(fleet, "credential", 2, state="inactive")
    assert "U7" in holders(fleet)


@pytest.mark.parametrize("state", ["requested", "registering", "activating", "reconnecting"])
def test_an_agent_that_is_not_active_yet_is_let_in_since_it_has_to_answer_first(state: str) -> None:
    assert "U7" in holders(Fleet.of(an_agent(7, "U7", state=state)))


def test_an_agent_without_an_account_stands_for_itself() -> None:
    assert "U7" in holders(Fleet.of([row("agent", 7, "U7", accountId=None)]))


def test_the_key_before_is_good_no_more() -> None:
    fleet = Fleet.of(an_agent(7, "U7"))
    changed(fleet, "agent", 7, data={"natsKey": "U8"})
    assert holders(fleet).keys() == {"U8"}


def test_the_clouds_keys_are_the_same_wherever_its_secret_is_and_others_elsewhere() -> None:
    def all_of(secret: bytes) -> list[Any]:
        keys = NatsKeys(secret)
        return [keys.server, keys.system, keys.watcher, keys.issuer]

    assert all_of(bytes(32)) == all_of(bytes(32))
    assert len({*all_of(bytes(32)), *all_of(b"1" * 32)}) == 8
    assert "0000" not in repr(NatsKeys(bytes(32)))

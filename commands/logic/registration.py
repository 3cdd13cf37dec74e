"""A machine registers: it gets an agent, and the keys of that agent's account.

    POST register {key} -> an agent of its own (kind registeredAgent) with its account -> its key is active -> accessKey, secretKey

The agent's own creation goes on meanwhile: it can answer a ping only once it has the keys.
"""

from __future__ import annotations

from commands.catalogue.model import Target
from commands.logic.accounts import credentials, give_account
from commands.resource import Resource
from commands.turns.turn import Failure, Turn

AGENT_KIND = "registeredAgent"
KEY_KIND = "agentApiKey"


def find_agent(turn: Turn, register: Resource) -> None:
    """Its agent and that one's account, made in one append with the note of it, so that there is one however often this is tried."""
    if not _registers(register) or _agent(turn, register) is not None:
        return
    made = turn.create(
        "agent",
        {
            "uri": f"event://{register.row['uuid']}",
            "managedConfig": True,
            "data": {"registrationKey": register.row["key"], "agentResourcesAccountId": register.row.get("accountId")},
        },
        kind=AGENT_KIND,
        run=False,
    )
    give_account(turn, made)
    turn.merge(register.stream, {"+data": {"agentId": made.id}})


def account_of(turn: Turn, register: Resource) -> list[Target]:
    agent = _agent(turn, register)
    return [Target("account", agent.row["accountId"])] if agent is not None and agent.row.get("accountId") is not None else []


def key_of(turn: Turn, register: Resource) -> list[Target]:
    key = _key(turn, register)
    return [Target("credential", key.id)] if key is not None else []


def hand_over_keys(turn: Turn, register: Resource) -> None:
    if not _registers(register) or register.fields.get("secretKey"):
        return
    key = _key(turn, register)
    if key is None:
        raise Failure(f"the account of {register.name}'s agent has no {KEY_KIND}: create one, then register again under another key")
    turn.change(register, {"accessKey": key.row.get("publicValue"), "secretKey": key.row.get("secretValue")})


def _registers(register: Resource) -> bool:
    return register.kind == "register" and register.row.get("key") is not None


def _agent(turn: Turn, register: Resource) -> Resource | None:
    number = register.data.get("agentId")
    return turn.get("agent", number) if isinstance(number, int) and _registers(register) else None


def _key(turn: Turn, register: Resource) -> Resource | None:
    """The newest key of its agent's account."""
    agent = _agent(turn, register)
    account = agent.row.get("accountId") if agent is not None else None
    keys = [each for each in credentials(turn, account) if each.kind == KEY_KIND] if account is not None else []
    return keys[-1] if keys else None

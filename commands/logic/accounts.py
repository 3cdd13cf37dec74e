"""What accounts, credentials and agents decide on creation: an account gets keys, an agent gets an account."""

from __future__ import annotations

import base64

from commands.resource import Resource
from commands.turn import Turn

GENERATED = ("apiKey", "agentApiKey", "registrationToken")
"""The kinds of credential whose values Corral makes when none are given."""

_AMBIGUOUS = frozenset("O0lI+/=")


def give_keys(turn: Turn, account: Resource) -> None:
    """account.create: a key of the kind that its use wants, and a registration token."""
    if turn.children("credential", "accountId", account.id):
        return
    agent = account.kind == "agent"
    if agent or turn.settings["process.account.create.create.credential"]:
        turn.create("credential", {"accountId": account.id}, kind="agentApiKey" if agent else "apiKey")
    if not agent:
        turn.create("credential", {"accountId": account.id}, kind="registrationToken")


def generate_values(turn: Turn, credential: Resource) -> None:
    """credential.create: 20 upper-case hex digits and 40 characters that nobody mistakes for each other."""
    if credential.kind not in GENERATED or credential.row.get("publicValue"):
        return
    secret = ""
    while len(secret) < 40:
        secret += "".join(c for c in base64.b64encode(turn.secret(48)).decode() if c not in _AMBIGUOUS)
    turn.change(credential, {"publicValue": turn.secret(10).hex().upper(), "secretValue": secret[:40]})


def give_account(turn: Turn, agent: Resource) -> None:
    """agent.create: an account of its own, unless it was given one."""
    if agent.row.get("accountId") is None:
        account = turn.create("account", {"uuid": f"agentAccount{agent.id}"}, kind="agent")
        turn.change(agent, {"accountId": account.id})

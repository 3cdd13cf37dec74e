"""What accounts, credentials and agents decide on creation: an account gets keys, an agent gets an account."""

from __future__ import annotations

import base64

from commands.resource import Json, Resource
from commands.turns.turn import Turn

GENERATED = ("apiKey", "agentApiKey", "registrationToken")
"""The kinds of credential whose values are made of random bytes when none are given."""

SCOPE = "io.cattle.platform.core.constants.AccountConstants"
"""The part of an account.create's input that says whether it gets a key (createApiKey), and of which kind (createApiKeyKind)."""

_AMBIGUOUS = frozenset("O0lI+/=")


def give_key(turn: Turn, account: Resource) -> None:
    """account.create: a key of the kind that its input or the settings want."""
    asked = turn.input(account).get(SCOPE)
    wish: Json = asked if isinstance(asked, dict) else {}
    if wish.get("createApiKey") is True or turn.settings["process.account.create.create.credential"]:
        _give(turn, account, wish.get("createApiKeyKind") or turn.settings["process.account.create.create.credential.default.kind"])


def give_registration_token(turn: Turn, account: Resource) -> None:
    """account.create, at its end: a token to register machines with (agents register nobody)."""
    if account.kind != "agent":
        _give(turn, account, "registrationToken")


def _give(turn: Turn, account: Resource, kind: str) -> None:
    if all(each.kind != kind for each in credentials(turn, account.id)):
        turn.create("credential", {"accountId": account.id}, kind=kind)


def credentials(turn: Turn, account: int) -> list[Resource]:
    """Those of an account that are not removed, oldest first."""
    known = {**{each.stream: each for each in turn.fleet.all("credential")}, **turn.resources}
    found = [
        each for each in known.values() if each.type == "credential" and each.row.get("accountId") == account and not each.removed
    ]
    return sorted(found, key=lambda each: each.id)


def generate_values(turn: Turn, credential: Resource) -> None:
    """credential.create: 20 upper-case hex digits and 40 characters that nobody mistakes for each other."""
    if credential.kind not in GENERATED or credential.row.get("publicValue"):
        return
    secret = ""
    while len(secret) < 40:
        secret += "".join(c for c in base64.b64encode(turn.secret(48)).decode() if c not in _AMBIGUOUS)
    turn.change(credential, {"publicValue": turn.secret(10).hex().upper(), "secretValue": secret[:40]})


def give_account(turn: Turn, agent: Resource) -> None:
    """agent.create: an account of its own with one key, unless it was given one."""
    if agent.row.get("accountId") is None and turn.settings["process.agent.create.create.account"]:
        keys = {SCOPE: {"createApiKey": True, "createApiKeyKind": "agentApiKey"}}
        account = turn.create("account", {"uuid": f"agentAccount{agent.id}"}, kind="agent", input=keys)
        turn.change(agent, {"accountId": account.id})

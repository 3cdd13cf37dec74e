"""Whose key is whose, and what its holder may hear and say: told by the fleet, which is to say by the log. Pure.

    agent            while it is active or on its way there, and so are its account and a key of that account
    externalHandler  while it is active or on its way there
    account          the same, of an admin's or a reader's: a person at the `nats` command
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.wire import agent_commands, handler_requests, said_by_agent, said_by_handler
from commands.resource import Resource
from commands.turns.fleet import Fleet
from commands.turns.handlers import HANDLER, name_of

NATS_KEY = "natsKey"
"""In the row's `data`: the public half."""

KINDS = ("agent", HANDLER, "account")
"""Types of which one may have a key."""

SEEN = (*KINDS, "credential")
"""Types that `rights` depend on."""

TAKEN_BACK = frozenset({"deactivating", "inactive", "removing", "removed", "purging", "purged"})
"""States in which nobody is let in. (In all others, those of a creation too: an agent is active only once it has answered.)"""

API_KEYS = frozenset({"apiKey", "agentApiKey"})

ADMINS, READERS = frozenset({"superadmin", "admin"}), frozenset({"readAdmin"})


@dataclass(frozen=True, slots=True)
class Holder:
    """`name`: the stream that has the key, or what its holder is called."""

    name: str
    hears: tuple[str, ...]
    says: tuple[str, ...] = ()


WATCHER = Holder("watcher", ("corral.>",))
"""Who owns a server's home; with the cloud's own key for that, whoever registered it as theirs."""


def registered(fleet: Fleet) -> dict[str, str]:
    """Public key -> the stream in whose row it is, whatever it is good for."""
    return {str(key): row.stream for kind in KINDS for row in fleet.all(kind) if (key := row.data.get(NATS_KEY))}


def rights(fleet: Fleet, row: Resource) -> Holder | None:
    """What its key is good for just now; None: nothing."""
    if not _stands(row) or (row.type == "agent" and not _account_stands(fleet, row.row.get("accountId"))):
        return None
    return scope(row)


def scope(row: Resource) -> Holder | None:
    """What its key is good for while it stands; None: it is to have none."""
    if row.type == "agent":
        return Holder(row.stream, (agent_commands(row.id),), said_by_agent(row.id))
    if row.type == HANDLER:
        return Holder(row.stream, (handler_requests(name_of(row)),), said_by_handler(name_of(row)))
    if row.kind in ADMINS:
        return Holder(row.stream, ("corral.>", "_INBOX.>"), ("corral.instance.>", "corral.herd"))
    if row.kind in READERS:
        return Holder(row.stream, ("corral.event.>", "corral.presence.>"))
    return None


def _account_stands(fleet: Fleet, account: int | None) -> bool:
    """An agent without an account is itself all that can be taken back."""
    if account is None:
        return True
    row = fleet.get("account", account)
    keys = [each for each in fleet.having("credential", "accountId", account) if each.kind in API_KEYS]
    return row is not None and _stands(row) and any(_stands(each) for each in keys)


def _stands(row: Resource) -> bool:
    return not row.removed and row.state not in TAKEN_BACK

"""A host that an operator has declared dead: nothing of it is waited for any more, and nothing forgotten that may still run there. Pure.

    declared dead -> what it owes is passed over, its instances end (and start elsewhere, where they ask for it)
                  -> each map that they leave there stays unconfirmed: its purge asks the agent, until that answers
    activated -----> as any host again; what is unconfirmed is waited for first
"""

from __future__ import annotations

from commands import events
from commands.errors import Conflict
from commands.resource import Json, Resource
from commands.turns.draft import Draft
from commands.turns.fleet import DEAD, is_dead
from commands.turns.world import World


def is_gone(host: Resource | None) -> bool:
    """Whether anybody is to wait for what it does."""
    return host is None or host.removed or is_dead(host)


def all_gone(world: World, pool: int, *, for_good: bool = False) -> bool:
    """Whether nobody reaches a pool any more that somebody reached once. `for_good`: whoever was declared dead may come back."""
    hosts = [world.get("host", number) for number in world.fleet.hosts_of(pool)]
    return bool(hosts) and all(host is None or host.removed or (is_dead(host) and not for_good) for host in hosts)


def declare(draft: Draft, host: Resource, reason: str) -> None:
    """In any state: it is taken out of service at once. Raises Conflict."""
    if host.type != "host":
        raise Conflict(f"{host.name} is no host: only a host can be declared dead. To take away anything else: force-remove")
    if host.removed:
        raise Conflict(f"{host.name} is removed: nothing is waited for there any more")
    if is_dead(host):
        return
    for state_field, bracket in host.open.items():
        draft.cancel(host.stream, bracket, state_field, f"declared dead: {reason}")
    process = draft.catalogue.process("host.deactivate")
    via = process.via_of("active")
    data: Json = {
        "process": process.name, "field": process.field, "from": host.state, "via": [via], "to": process.done_of(via), "forced": reason,
        "changes": {"+data": {DEAD: reason}},
    }  # fmt: skip
    draft.emit(host.stream, events.TRANSITIONED, data)


def revive(draft: Draft, host: Resource) -> None:
    """host.activate: an operator has it back in service."""
    if is_dead(host):
        draft.merge(host.stream, {"+data": {DEAD: None}})

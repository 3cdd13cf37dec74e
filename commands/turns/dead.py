"""A host that an operator has declared dead: nothing of it is waited for any more, and nothing forgotten that may still run there. Pure.

    declared dead -> what it owes is passed over, its instances end (and start elsewhere, where they ask for it)
                  -> each map that they leave there stays unconfirmed: its purge asks the agent, until that answers
    activated -----> as any host again; what is unconfirmed is waited for first
"""

from __future__ import annotations

from commands.errors import Conflict
from commands.resource import Resource
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
    """In any state: from now on it counts as such, and it is taken out of service. Raises Conflict."""
    if host.type != "host":
        raise Conflict(f"{host.name} is no host: only a host can be declared dead. To take away anything else: force-remove")
    if host.removed:
        raise Conflict(f"{host.name} is removed: nothing is waited for there any more")
    if is_dead(host):
        return
    process = draft.catalogue.process("host.deactivate")
    if host.state not in process.dones and draft.accepts(host, process):
        draft.begin(host.stream, process, reason=reason)
    draft.merge(host.stream, {"+data": {DEAD: reason}})


def revive(draft: Draft, host: Resource) -> None:
    """host.activate: an operator has it back in service."""
    if is_dead(host):
        draft.merge(host.stream, {"+data": {DEAD: None}})

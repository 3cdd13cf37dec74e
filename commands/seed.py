"""What every cloud starts with: the accounts admin (active), system and superadmin (inactive), zone 1. Done once, by whoever is first."""

from __future__ import annotations

from commands.service import Actor, Commands
from commands.turn import Turn
from eventstore import Taken

INACTIVE = ("system", "superadmin")


async def seed(commands: Commands) -> int:
    """-> the number of the admin account."""
    holder = await commands.store.holder("account.uuid", "admin")
    if holder is None:
        try:
            return (await commands.carry_out(_accounts, Actor(correlation="corral:seed"))).resource.id
        except Taken as taken:  # several servers start on one new log: another was first
            holder = taken.holder
    return int(holder.rpartition("-")[2])


def _accounts(turn: Turn) -> str:
    admin = turn.create("account", {"uuid": "admin", "name": "admin"}, kind="admin")
    deactivate = turn.catalogue.process("account.deactivate")
    for name in INACTIVE:
        account = turn.create("account", {"uuid": name, "name": name}, kind=name)
        turn.advance(account.stream, turn.begin(account.stream, deactivate))
    turn.create("zone", {"uuid": "zone1", "name": "zone1", "state": "active"})
    return admin.stream

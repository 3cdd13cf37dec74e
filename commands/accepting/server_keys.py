"""The pair of ssh keys with which Corral logs in to machines: one for all servers, made when it is asked for first, kept in the log."""

from __future__ import annotations

import asyncio

from commands.accepting.service import Actor, Commands
from commands.errors import Conflict
from commands.secrets.keys import KeyPair, pair_of, rsa_key_pair
from commands.snapshots import latest

NAME = "ssh.client.keys"
"""Of the row of `data` that holds the private one, sealed. No list shows it."""

ACTOR = Actor(correlation="corral:server-keys")


async def server_key(commands: Commands) -> KeyPair:
    if (known := await _kept(commands)) is not None:
        return known
    pair = await asyncio.to_thread(rsa_key_pair)
    try:
        await commands.create("data", {"name": NAME, "value": pair.secret, "visible": False}, ACTOR)
    except Conflict:  # another server was faster
        return await _kept(commands) or pair
    return pair


async def _kept(commands: Commands) -> KeyPair | None:
    holder = await commands.store.holder("data.name", NAME)
    if holder is None:
        return None
    row = await commands.vault.opened(await latest(commands.store, holder))
    return pair_of(str(row.row["value"])) if row.row.get("value") else None

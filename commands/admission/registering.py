"""A public key becomes the key of an agent, an external handler or an account: in the row's data, one at a time, and nobody else's ever."""

from __future__ import annotations

from commands.accepting.service import Actor, Commands, Outcome
from commands.admission.holders import NATS_KEY
from commands.errors import Conflict
from commands.snapshots import latest
from commands.turns.turn import Turn
from eventstore import Claim, Taken, WrongVersion

SCOPE = "nats.key"
"""Of the claims on public keys. They are never given back: what was taken back from one comes to no other."""

TRIES = 20


async def register(commands: Commands, stream: str, key: str | None, actor: Actor) -> Outcome:
    """`key`: public; None: it has none from now on. The one before is good no more. Raises Conflict for a key of somebody else's."""
    for _ in range(TRIES):
        row = await latest(commands.store, stream)
        if row.data.get(NATS_KEY) == key:
            return Outcome(row, row.position)
        holder = await commands.store.holder(SCOPE, key) if key is not None else None
        if holder not in (None, stream):
            raise Conflict(f"this key is that of {holder}: make one of your own")
        claims = (Claim(SCOPE, key),) if key is not None and holder is None else ()

        def note(turn: Turn, claims: tuple[Claim, ...] = claims) -> str:
            turn.merge(stream, {"+data": {NATS_KEY: key}}, claims)
            return stream

        try:
            return await commands.carry_out(note, actor, about=row)
        except (WrongVersion, Taken):
            continue
    raise Conflict(f"{stream} is changed by others again and again: try again")

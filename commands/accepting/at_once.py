"""What a request carries to its end before it is answered: changes of the external handlers. Others' processes go by these.

    command appended -> the turn that it makes necessary is taken right here -> answered (as of the command: an engine may be first)

So a handler is in force (or no more), by the log, before anybody knows that its change is accepted: however much the engines have to do,
whether they follow late, or run at all. What a process began with is told by positions (docs/decisions/0011). Versions alone guard these
appends; an engine that takes the same turn meanwhile wins or loses, and then finds it done. What has to wait (for a handler of these very
processes, say) is left to the engines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from commands.resource import Resource
from commands.secrets.vault import Vault
from commands.snapshots import form, resumed
from commands.turns import handlers, remaining
from commands.turns.fleet import Fleet
from commands.turns.turn import Turn
from eventstore import Store, Taken, WrongVersion

log = structlog.get_logger("corral.commands")

TYPES = frozenset(handlers.ROWS)

SECONDS = 5.0
"""For all of it; what takes longer is an engine's to end."""

TRIES = 20

TakeTurn = Callable[[dict[str, Resource], Fleet], Awaitable[Turn]]


async def carry_on(store: Store, vault: Vault, root: str, take_turn: TakeTurn) -> None:
    """Raises nothing: the command is in the log, and whatever is left of it the engines find there."""
    try:
        async with asyncio.timeout(SECONDS):
            for _ in range(TRIES):
                if await _landed(store, vault, root, take_turn):
                    return
    except Exception as error:
        log.warning("A change of external handlers is left to the engines to end", action="not-at-once", root=root, error=repr(error))


async def _landed(store: Store, vault: Vault, root: str, take_turn: TakeTurn) -> bool:
    """One turn over all of the root. False: somebody else wrote what it had looked at, or took what it was to take."""
    resources = resumed(await store.resume_root(root, form()))
    fleet = Fleet.load(await store.load(handlers.ROWS, (), form()))  # the rows of handlers are few
    turn = await take_turn(resources, fleet)
    if not (writes := turn.writes()):
        return True
    work, done = remaining.work(turn)
    try:
        await store.append(await vault.sealed(writes), unchanged=remaining.untouched(turn), whole=[root], work=work, done=done)
    except (WrongVersion, Taken):
        return False
    return True

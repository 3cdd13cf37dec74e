"""What the log refuses tells of what the fleet has not seen yet: it learns that, before the turn is taken again."""

from __future__ import annotations

import asyncio

from commands.patience import patiently
from commands.turns.claimed import leased
from commands.turns.fleet import Fleet
from eventstore import Claim, Full, Store, Taken

BELIEVED_SECONDS = 1.0
"""How long a refusal (no capacity, taken) is believed more than the fleet, which sees by then what it lagged behind."""


async def catch_up(fleet: Fleet, store: Store, stream: str) -> None:
    """The fleet lags behind the log for this stream: reads what it misses."""
    if not fleet.knows(stream):
        return
    present = fleet.resources.get(stream)
    fleet.apply(await patiently(lambda: store.read(stream, present.version if present else 0)), ahead=True)


async def believe(fleet: Fleet, conflict: Taken | Full, times: int) -> None:
    """Another address does as well, at once. For all else it waits a little, each time longer: the follower learns meanwhile."""
    later = asyncio.get_running_loop().call_later
    if isinstance(conflict, Full):
        fleet.full(conflict.scope, conflict.used)
        later(BELIEVED_SECONDS, fleet.forget_full, conflict.scope)
    elif leased(conflict.scope):
        taken = Claim(conflict.scope, conflict.item)
        fleet.note(taken)
        later(BELIEVED_SECONDS, fleet.unclaim, taken)
        return
    await asyncio.sleep(min(0.005 * 2**times, 1.0))

"""What a person writes for a moment -> a position of the log: 120; 2026-11-20, 2026-11-20T14:05; or how long ago: 90m, 12h, 30d."""

from __future__ import annotations

import asyncio
from datetime import datetime

from deploy.cli.client import Client
from deploy.cli.errors import WrongUse
from deploy.cli.show import now
from eventstore import Store
from projections import moments
from projections.history import position_of, search_position
from projections.moments import allowed

HELP = allowed("of here")


def read_moment(text: str, present: datetime | None = None) -> int | datetime:
    """Raises WrongUse, saying what is possible."""
    try:
        return moments.read_moment(text, present or now(), None)
    except ValueError as wrong:
        raise WrongUse(f"{wrong}: give {HELP}") from None


async def position_at(store: Store, text: str) -> int:
    """In the log of this store, up to its head. Raises WrongUse for a position that is not there yet."""
    moment, head = read_moment(text), await store.head()
    if isinstance(moment, datetime):
        return await position_of(store, moment)
    if moment > head:
        raise WrongUse(f"position {moment} is not there yet: the log ends at {head}")
    return moment


def position_over_http(client: Client, text: str) -> int:
    """As position_at, of a running server; a position is taken as it is."""
    moment = read_moment(text)
    if not isinstance(moment, datetime):
        return moment

    async def at(position: int) -> datetime:
        [event] = client.get("/v1/events", after=position - 1, limit=1)["data"]
        return datetime.fromisoformat(event["at"])

    return asyncio.run(search_position(at, client.head(), moment))

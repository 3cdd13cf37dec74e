"""What a person writes for a moment -> a position of the log: 120; 2026-11-20, 2026-11-20T14:05; or how long ago: 90m, 12h, 30d."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta

from deploy.cli.client import Client
from deploy.cli.errors import WrongUse
from deploy.cli.show import now
from eventstore import Store
from projections.history import position_of, search_position

HELP = "a position (120), a time (2026-11-20T14:05, of here unless it says its zone), or how long ago (90m, 12h, 30d)"

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AGO = re.compile(r"([0-9]{1,9})([smhd])")
_POSITION = re.compile(r"[0-9]{1,18}")


def read_moment(text: str, present: datetime | None = None) -> int | datetime:
    """Raises WrongUse, saying what is possible."""
    text = text.strip()
    present = present or now()
    if _POSITION.fullmatch(text):
        return int(text)
    if ago := _AGO.fullmatch(text):
        return present - timedelta(seconds=int(ago[1]) * UNITS[ago[2]])
    try:
        when = datetime.fromisoformat(text).astimezone()  # without a zone: that of here
    except (ValueError, OverflowError, OSError):
        raise WrongUse(f"{text!r} is no moment: give {HELP}") from None
    if when > present:
        raise WrongUse(f"{text} is still to come: give {HELP}")
    return when


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

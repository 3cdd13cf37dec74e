"""What a person writes for a moment: 120 (a position), 2026-11-20 or 2026-11-20T14:05 (a time), 90m, 12h, 30d (how long ago). Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

_AGO = re.compile(r"([0-9]{1,9})([smhd])")
_POSITION = re.compile(r"[0-9]{1,18}")
_PLUS_LOST = re.compile(r"(T[0-9:.]+) ([0-9]{2}:?[0-9]{2})")
"""A URL's + that came as a blank: 2026-11-20T14:05 01:00."""


def allowed(where: str) -> str:
    """What a moment may be, for messages. `where`: whose zone is meant by a time that names none."""
    return f"a position (120), a time (2026-11-20T14:05, {where} unless it says its zone), or how long ago (90m, 12h, 30d)"


def read_moment(text: str, present: datetime, zone: tzinfo | None) -> int | datetime:
    """`zone`: that of times that name none; None: this machine's. Raises ValueError, saying what is wrong."""
    text = _PLUS_LOST.sub(r"\1+\2", text.strip())
    if _POSITION.fullmatch(text):
        return int(text)
    if ago := _AGO.fullmatch(text):
        try:
            return present - timedelta(seconds=int(ago[1]) * UNITS[ago[2]])
        except OverflowError:
            raise ValueError(f"{text} is longer ago than time goes back") from None
    try:
        when = datetime.fromisoformat(text)
        when = when if when.tzinfo else when.replace(tzinfo=zone)
        when = when.astimezone()  # still without a zone: that of here
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text[:60]!r} is no moment") from None
    if when > present:
        raise ValueError(f"{text} is still to come")
    return when

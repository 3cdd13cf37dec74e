"""What the contract's tests append, in few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventstore import Claim, Event, Release, Write


def write(stream: str, expected: int = 0, *events: Event, root: str = "", **data: Any) -> Write:
    return Write(stream, expected, events or (Event("created", data),), root)


def claiming(*claims: Claim, releases: Sequence[Release] = ()) -> Event:
    return Event("updated", {}, claims=claims, releases=tuple(releases))

"""What a decision takes from outside: the time, new ids, chance. The real ones, or those of a simulation that a seed decides."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return str(uuid.UUID(bytes=os.urandom(16), version=4))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Handed to whatever decides (the engine, the door for commands); waits go by the event loop's own clock."""

    now: Callable[[], datetime] = _now
    """The time of day in UTC, by this server's clock."""
    new_id: Callable[[], str] = _new_id
    """A uuid that nobody has."""
    secret: Callable[[int], bytes] = os.urandom
    """So many bytes that nobody guesses."""


REAL = Surroundings()

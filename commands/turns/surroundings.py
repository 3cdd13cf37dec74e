"""What a decision takes from outside: new ids and chance, the real ones or those of a simulation that a seed decides. (The time is the
log's, Store.now: an engine's own clock may be minutes off the one that wrote the events.)"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass


def _new_id() -> str:
    return str(uuid.UUID(bytes=os.urandom(16), version=4))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Handed to whatever decides (the engine, the door for commands); waits go by the event loop's own clock."""

    new_id: Callable[[], str] = _new_id
    """A uuid that nobody has."""
    secret: Callable[[int], bytes] = os.urandom
    """So many bytes that nobody guesses."""


REAL = Surroundings()

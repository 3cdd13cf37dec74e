"""The log: append, read, follow, claims. Knows no resource, no HTTP, no NATS."""

from eventstore.errors import (
    BadData,
    Full,
    KeyReused,
    LostLease,
    NewerEvent,
    NewerSchema,
    Repeated,
    StoreError,
    Taken,
    Unavailable,
    WrongVersion,
)
from eventstore.store import Store
from eventstore.types import Appended, Claim, CommandKey, Event, Held, Json, Lease, Loaded, Recorded, Release, Upcast, Work, Write

__all__ = [
    "Appended", "BadData", "Claim", "CommandKey", "Event", "Full", "Held", "Json", "KeyReused", "Lease", "Loaded", "LostLease",
    "NewerEvent", "NewerSchema", "Recorded", "Release", "Repeated", "Store", "StoreError", "Taken", "Unavailable", "Upcast", "Work",
    "Write", "WrongVersion",
]

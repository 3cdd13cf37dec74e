"""The log: append, read, follow, claims. Knows no resource, no HTTP, no NATS."""

from eventstore.counts import Distribution
from eventstore.encode import unholdable
from eventstore.errors import (
    ArchiveAway,
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
from eventstore.types import (
    Appended,
    Claim,
    CommandKey,
    Event,
    Held,
    Json,
    Lease,
    Loaded,
    Recorded,
    Release,
    Resumed,
    Snapshot,
    Upcast,
    Work,
    Write,
)

__all__ = [
    "Appended", "ArchiveAway", "BadData", "Claim", "CommandKey", "Distribution", "Event", "Full", "Held", "Json", "KeyReused", "Lease",
    "Loaded", "LostLease", "NewerEvent", "NewerSchema", "Recorded", "Release", "Repeated", "Resumed", "Snapshot", "Store", "StoreError",
    "Taken", "Unavailable", "Upcast", "Work", "Write", "WrongVersion", "unholdable",
]

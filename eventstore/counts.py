"""Figures beside the work: counted where it is done, read by whoever shows them. One costs less than a microsecond."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from asyncpg.pool import Pool

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LONG_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0)
"""Bounds for what a program does, and for what agents and people take."""

EVENTS = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)


class Distribution:
    """How often a value was at most so large: a count for each bound, one for what is larger, and the sum of all."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self.counts)


@dataclass(slots=True)
class Appends:
    """What this process appended, and how long its callers waited for it. `refused`: the error's name -> how often."""

    appends: int = 0
    events: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    seconds: Distribution = field(default_factory=Distribution)
    batches: Distribution = field(default_factory=lambda: Distribution(EVENTS))
    """Events that one call of the log took, of all callers together."""


@dataclass(frozen=True, slots=True)
class Connections:
    """Of a pool, just now. `most`: as many as it may have."""

    used: int
    idle: int
    most: int

    @classmethod
    def of(cls, pool: Pool) -> Connections:
        idle = pool.get_idle_size()
        return cls(pool.get_size() - idle, idle, pool.get_max_size())

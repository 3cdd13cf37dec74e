"""How bad things are: what network, database and hosts do to what passes through them. Calm weather does nothing to anybody."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass
class Weather:
    """Chances are per message, call or command; times in seconds."""

    random: Random
    storm: bool = False
    loss: float = 0.0
    doubling: float = 0.0
    delay: float = 0.002
    """At most, for a message; a late one takes up to a hundred times as long."""
    late: float = 0.0
    slow_calls: float = 0.0
    lost_answers: float = 0.0
    """Of the database: the call was carried out, its caller is told Unavailable (of an append: later what came of it)."""
    failures: float = 0.0
    """Of a driver, or a handler: an error."""
    silence: float = 0.0
    """Of an external handler: it does not answer this time."""
    work_seconds: float = 0.05
    """How long a driver takes at most, or a handler."""

    @classmethod
    def of(cls, random: Random) -> Weather:
        """A storm as the seed has it: each trouble is there or not, so that some seeds are about one trouble alone."""

        def maybe(most: float) -> float:
            return random.random() * most if random.random() < 0.6 else 0.0

        return cls(
            random, True, loss=maybe(0.3), doubling=maybe(0.5), delay=random.choice((0.001, 0.02, 0.2)), late=maybe(0.3),
            slow_calls=maybe(0.1), lost_answers=maybe(0.05), failures=maybe(0.2), silence=maybe(0.3),
            work_seconds=random.choice((0.01, 0.3, 2.0, 12.0)),
        )

    def clear_up(self) -> None:
        """The calm after it."""
        self.storm = False
        self.loss = self.doubling = self.late = self.slow_calls = self.lost_answers = self.failures = self.silence = 0.0
        self.delay, self.work_seconds = 0.002, 0.05

    def strikes(self, chance: float) -> bool:
        return chance > 0.0 and self.random.random() < chance

    def message_delay(self) -> float:
        far = self.random.random() * self.delay
        return far * 100 if self.strikes(self.late) else far

    def call_delay(self) -> float:
        """Of one way to the database or back."""
        return self.random.random() * (2.0 if self.strikes(self.slow_calls) else 0.003)

"""The log's own time, as a process knows it without asking: learned from what the database answers, carried on by the process's ticks.

    append, lease --answer with the database's time--> learn, reach --> now() --> whatever compares with the times of events

Servers' clocks differ by minutes, and are set while they run. What waits by the times in the log would wait for ever, or not at all,
by any other clock than the one that wrote them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def ticks() -> float:
    """Seconds that nobody sets, and that pass while the machine sleeps, where it can tell."""
    return time.clock_gettime(_BOOT)


class LogClock:
    """Never goes back: where it was ahead of the log, it stands still until the log has caught up."""

    def __init__(self, at: datetime, ticks: Callable[[], float] = ticks) -> None:
        """`at`: what the database's clock showed a moment ago, or the log's last event where that is later."""
        self.ticks = ticks
        self._at, self._tick, self._shown = at, ticks(), at

    def now(self) -> datetime:
        self._shown = max(self._shown, self._reckoned(self.ticks()))
        return self._shown

    def learn(self, at: datetime, asked: float) -> None:
        """What is appended was given the time `at`, some time between the tick `asked` and now."""
        tick = self.ticks()
        latest = at + timedelta(seconds=tick - asked)
        reckoned = self._reckoned(tick)
        if not at <= reckoned <= latest:
            self._at, self._tick = min(max(reckoned, at), latest), tick

    def reach(self, at: datetime) -> None:
        """The database's clock shows at least this now. (The log's time may be later: a clock that was set back waits for it.)"""
        tick = self.ticks()
        if self._reckoned(tick) < at:
            self._at, self._tick = at, tick

    def _reckoned(self, tick: float) -> datetime:
        return self._at + timedelta(seconds=tick - self._tick)

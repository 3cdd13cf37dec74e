"""When roots are to take a turn without any news: one alarm a root, and pauses for those whose turns break."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

BROKEN_SECONDS = 60.0
"""At most between two tries of a turn that fails by itself."""

HOPELESS = 3
"""Tries that broke, some ten seconds in all: what came over the engine for a moment is over by then."""


class Alarms:
    """Of one engine. `ring(root)` when its time has come by the clock `now`."""

    def __init__(self, now: Callable[[], datetime], ring: Callable[[str], None]) -> None:
        self._now, self._ring = now, ring
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._broken: dict[str, tuple[int, float]] = {}
        """Root whose turn can't be taken -> how often so far, and until when (the loop's time) it is left alone."""

    def set(self, root: str, when: datetime | None) -> None:
        """In the place of the alarm before; None: there is no need for any."""
        if timer := self._timers.pop(root, None):
            timer.cancel()
        if when is not None:
            delay = max(0.0, (when - self._now()).total_seconds())
            self._timers[root] = asyncio.get_running_loop().call_later(delay + 0.001, self._rings, root)

    def pause(self, root: str) -> None:
        """Its turn broke: the next try is after 2, 4, 8 ... at most BROKEN_SECONDS."""
        failures = self._broken.get(root, (0, 0.0))[0] + 1
        seconds = min(BROKEN_SECONDS, 2.0**failures)
        self._broken[root] = (failures, asyncio.get_running_loop().time() + seconds)
        self.set(root, self._now() + timedelta(seconds=seconds))

    def is_hopeless(self, root: str) -> bool:
        """Its turn broke so often that another try by the same rules has no prospect."""
        return self._broken.get(root, (0, 0.0))[0] >= HOPELESS

    def pauses(self, root: str) -> bool:
        return self._broken.get(root, (0, 0.0))[1] > asyncio.get_running_loop().time()

    def works(self, root: str) -> None:
        """Its turn was taken."""
        self._broken.pop(root, None)

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def _rings(self, root: str) -> None:
        self._timers.pop(root, None)
        self._ring(root)

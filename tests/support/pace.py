"""What this machine can do at the time of a test: promises in seconds are for a machine that has nothing else to do, as CI's.

    pace = await Pace.measured()
    ...what is timed, and what it leads to has calmed down...
    await pace.again()
    assert took < pace.of(5.0)         # 5 s where the cores are ours; in proportion more where others have them
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Self

SAMPLE = """
import time
began, spent = time.perf_counter(), time.process_time()
while time.process_time() - spent < 0.25:
    sum(range(1000))
print((time.perf_counter() - began) / (time.process_time() - spent))
"""
"""How much longer than its own time a process takes that has something to do: 1.0 where it has a core of its own."""


MOST = 3.0


@dataclass(slots=True)
class Pace:
    """`slowness`: the greatest that was measured, at most MOST, so that every promise keeps a bound."""

    slowness: float = 1.0

    @classmethod
    async def measured(cls) -> Self:
        pace = cls()
        await pace.again()
        return pace

    async def again(self) -> None:
        """Two at once: the servers under test keep as many cores busy."""
        samples = await asyncio.gather(*(_sample() for _ in range(2)))
        self.slowness = min(MOST, max(self.slowness, *samples))

    def of(self, seconds: float) -> float:
        return seconds * self.slowness


async def _sample() -> float:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SAMPLE, stdout=asyncio.subprocess.PIPE)
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    return float(said)

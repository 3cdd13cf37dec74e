"""ids() -> here: numbers for new streams, taken from the database in blocks that grow while they are used up quickly.

In quiet use a block is one number, so ids stay dense; what is left of a block when the process ends is never given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

LARGEST = 64
QUICK = 1.0  # seconds: a block used up within this time is followed by one of twice its size


@dataclass(slots=True)
class Block:
    next: int = 1
    end: int = 1
    size: int = 0
    taken_at: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def give(self, count: int) -> range | None:
        if self.end - self.next < count:
            return None
        first, self.next = self.next, self.next + count
        return range(first, self.next)


class IdBlocks:
    """`reserve(category, count)` takes count numbers in the database and answers the first."""

    def __init__(self, reserve: Callable[[str, int], Awaitable[int]], clock: Callable[[], float]) -> None:
        self._reserve, self._clock = reserve, clock
        self._blocks: dict[str, Block] = {}

    async def take(self, category: str, count: int) -> range:
        if count < 1:
            raise ValueError(f"{count} ids of {category} were asked for: at least one")
        block = self._blocks.setdefault(category, Block())
        if (given := block.give(count)) is not None:
            return given
        async with block.lock:
            # Somebody else took a block while this one waited; or, while a block was being taken, what was left of the one before.
            while (given := block.give(count)) is None:
                await self._take(category, block, count)
            return given

    async def _take(self, category: str, block: Block, count: int) -> None:
        now = self._clock()
        block.size = min(block.size * 2, LARGEST) if now - block.taken_at < QUICK else 1
        block.taken_at = now
        size = max(block.size, count - (block.end - block.next))
        first = await self._reserve(category, size)
        if first != block.end:  # another process took the numbers between: a range must have no hole
            if size < count:
                size = count
                first = await self._reserve(category, size)
            block.next = first
        block.end = first + size

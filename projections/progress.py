"""How far the views are: the projector of this process tells it, readers wait on it, and the checkpoint settles it."""

from __future__ import annotations

import asyncio


class Progress:
    """The highest position known to be folded in. Never goes back."""

    def __init__(self) -> None:
        self.position = 0
        self._reached = asyncio.Event()

    def reached(self, position: int) -> None:
        if position > self.position:
            self.position = position
            self._reached.set()
            self._reached = asyncio.Event()

    async def wait(self, position: int, timeout: float) -> bool:
        """True as soon as `position` is reached; False when it has not been within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self.position < position:
                    await self._reached.wait()
        except TimeoutError:
            return self.position >= position
        return True

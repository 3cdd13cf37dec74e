"""A life lived by agents that die at named places: each step of it is asked of one that is killed, and then of the next.

The places are found by an agent that has each that it comes by written down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import SIGKILL
from typing import Any

from agents.wire import Message
from tests.agents.orders import Ear
from tests.agents.process.forks import SECONDS, Forks


@dataclass(kw_only=True)
class Life:
    """One instance's, with its agent."""

    number: int
    folder: Path
    forks: Forks
    ear: Ear
    tree: dict[str, Any]
    """The instance."""
    forgetful: bool = False
    """Every agent but the first begins without a ledger."""
    spares: Callable[[str], bool] = lambda point: False
    """Whether an agent may have been past a point already, by a heartbeat, when the command came to it."""
    told: list[Message] = field(default_factory=list)

    async def step(self, asked: Message, point: str, check: Callable[[str], Awaitable[None]]) -> None:
        """The command is sent to an agent that dies at the point, and to the next one until it answers."""
        await self.ear.send(asked, asked)  # twice: NATS has it for whoever listens, and so has its duplicate
        if await self.forks.start(self.number, self.folder, point) and point:
            await self._die(asked, point)
        if point:
            if self.forgetful:
                for each in self.folder.glob("ledger.db*"):
                    each.unlink()
            assert await self.forks.start(self.number, self.folder)
        answer = await self.ear.ask_until_answered(asked, SECONDS, resend=2)
        assert (answer.transitioning, (answer.context or {}).get("stale")) == (None, None), f"{point}: {answer}"
        await self._late(asked, point)
        await self.forks.kill(self.number)
        await check(point)
        self.told.append(asked)

    async def points(self, asked: Message) -> list[str]:
        """By what an agent comes that is started, asked and answers."""
        told = self.folder.with_name(f"told-{asked.id}")
        assert await self.forks.start(self.number, self.folder, told=told)
        await self.ear.ask(asked, SECONDS)
        last = f"{asked.name} after reply#1"
        async with asyncio.timeout(SECONDS):
            while last not in (points := told.read_text().splitlines()):
                await asyncio.sleep(0.01)
        await self.forks.kill(self.number)
        return [point for point in points if point.startswith(asked.name)]

    async def _die(self, asked: Message, point: str) -> None:
        dead = asyncio.create_task(self.forks.died(self.number))
        answered = asyncio.create_task(self.ear.ask_until_answered(asked, SECONDS, resend=1))
        await asyncio.wait({dead, answered}, return_when=asyncio.FIRST_COMPLETED)
        if not dead.done() and self.spares(point):
            await self.forks.kill(self.number, dead)
        answered.cancel()
        assert await dead == SIGKILL, f"the agent ended before {point}"

    async def _late(self, asked: Message, point: str) -> None:
        """What was sent long ago arrives once more, and the newest after it: nothing of it has an effect."""
        if self.forgetful:  # what an older one was answered, nobody knows any more
            await self.ear.ask(asked, SECONDS)
            return
        for older in self.told[-2:]:
            assert (await self.ear.ask(older, SECONDS)).transitioning is None, f"{point}: {older.name} was done before"
        for older in (each for each in self.told if each.name == asked.name):
            again = await self.ear.ask(replace(older, id=f"late-{older.id}"), SECONDS)
            assert (again.context or {}).get("stale") is True, f"{point}: {again}"

"""Agents that die at named places, as a test sees them: started in no time, waited for, killed. See forked_agents."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SECONDS = 60.0
"""For whatever an agent is waited for: the machine may be slow."""


class Forks:
    """The process that forks them. `async with`."""

    def __init__(self, nats: str, **engine: str) -> None:
        """`engine`: docker or libvirt, and its URL."""
        self._given = {"nats": nats, **engine}
        self._process: Process | None = None
        self._said: dict[int, asyncio.Queue[dict[str, Any]]] = defaultdict(asyncio.Queue)
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        program = (sys.executable, "-m", "tests.agents.process.forked_agents")
        self._process = await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE, cwd=Path(__file__).parents[3])
        self._reader = asyncio.create_task(self._read(self._process))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._reader is not None
        self._process.stdin.close()
        await asyncio.wait_for(asyncio.gather(self._process.wait(), self._reader), SECONDS)

    async def start(self, number: int, folder: Path, point: str = "", told: Path | None = None) -> bool:
        """Whether it came to hear commands: one that dies before is dead."""
        await self._tell({**self._given, "number": number, "folder": str(folder), "point": point, "told": str(told or "")})
        return await self._hear(number) == {"number": number, "said": "ready"}

    async def died(self, number: int) -> int:
        """Waits for its end. -> the signal that ended it."""
        said = await self._hear(number)
        while said["said"] != "dead":
            said = await self._hear(number)
        return int(said["signal"])

    async def kill(self, number: int, dead: asyncio.Task[int] | None = None) -> None:
        """`dead`: whoever waits for that already."""
        await self._tell({"number": number, "kill": True})
        await (dead or self.died(number))

    async def _tell(self, what: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        await self._process.stdin.drain()

    async def _hear(self, number: int) -> dict[str, Any]:
        return await asyncio.wait_for(self._said[number].get(), SECONDS)

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            said = json.loads(line)
            self._said[said["number"]].put_nowait(said)

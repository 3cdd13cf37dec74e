"""A simulated host whose instances talk as a test says: for live queries whose pace, end and faults a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

from agents.driver import Json, LiveRefused
from agents.live import NOT_RUNNING, Question
from agents.simulated import SimulatedDriver

LONG = "x" * 8000


class Talker(SimulatedDriver):
    """`logs` with follow never ends: it writes as fast as it is read, or (`quiet`) one line and then nothing. `exec` gives back what it is
    given, in capitals; its command may be ["exit", "3"]."""

    def __init__(self, uuid: str, folder: Path | None = None) -> None:
        super().__init__(uuid, folder)
        self.quiet = False
        self.written = 0
        """Lines that were asked for so far."""
        self.under_way = 0
        """Answers under way."""

    def live_verbs(self, question: Question) -> frozenset[str]:
        return super().live_verbs(question) | {"exec"}

    async def live(self, question: Question, given: AsyncIterator[Json]) -> AsyncGenerator[Json, None]:
        self.under_way += 1
        try:
            if question.verb == "exec":
                async for piece in self._exec(question, given):
                    yield piece
            elif question.verb == "logs" and question.options.get("follow"):
                while True:
                    yield {"lines": [{"stream": "stdout", "time": "T", "text": f"{self.written} {'' if self.quiet else LONG}"}]}
                    self.written += 1
                    if self.quiet:
                        await asyncio.Event().wait()
            else:
                async for piece in super().live(question, given):
                    yield piece
        finally:
            self.under_way -= 1

    async def _exec(self, question: Question, given: AsyncIterator[Json]) -> AsyncGenerator[Json, None]:
        command = question.options["command"]
        if command[0] == "refuse":
            raise LiveRefused(NOT_RUNNING, "it does not run. Start it first")
        yield {"started": True}
        if command[0] == "exit":
            yield {"exit": int(command[1])}
            return
        async for each in given:
            if each.get("eof"):
                break
            yield {"stream": "stdout", "text": str(each).upper()}
        yield {"exit": 0}

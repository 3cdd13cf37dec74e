"""Dot text -> SVG by Graphviz, beside the event loop: a few at a time, each within its time, the last ones remembered.

Graphviz is no part of Corral: where it is not installed, who asks for a picture is told so, and has the text.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections import OrderedDict

from commands.errors import Refused

SECONDS = 5.0
"""For one picture; the largest of the catalogue take a tenth of one."""
AT_ONCE = 2
REMEMBERED = 64
"""Pictures: the catalogue stays as it is while a server runs."""
LONGEST = 200_000
"""Characters of a graph that is drawn."""


class Pictures:
    """`program`: Graphviz' own."""

    def __init__(self, program: str = "dot", seconds: float = SECONDS) -> None:
        self._program, self._seconds = program, seconds
        self._room = asyncio.Semaphore(AT_ONCE)
        self._drawn: OrderedDict[str, str] = OrderedDict()

    async def svg(self, dot: str) -> str:
        """Raises Refused: 501 where there is no Graphviz, 503 where it takes too long or fails."""
        if (known := self._drawn.get(dot)) is not None:
            return known
        if len(dot) > LONGEST:
            raise Refused("Not Implemented", f"this graph has over {LONGEST} characters: take the text, and draw it yourself", status=501)
        program = shutil.which(self._program)
        if program is None:
            told = "Graphviz is not installed on this server: install it (its program dot), or take the text, without _format=svg"
            raise Refused("Not Implemented", told, status=501)
        try:
            async with asyncio.timeout(self._seconds):
                async with self._room:
                    drawn = await _run(program, dot)
        except TimeoutError:
            raise _failed(f"took over {self._seconds:g} s") from None
        self._drawn[dot] = drawn
        while len(self._drawn) > REMEMBERED:
            self._drawn.popitem(last=False)
        return drawn


async def _run(program: str, dot: str) -> str:
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(program, "-Tsvg", stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL)
    except OSError as error:
        raise _failed(f"can't be started ({error.strerror or error})") from error
    try:
        out, _ = await process.communicate(dot.encode())
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise _failed(f"ended with status {process.returncode}")
    return out.decode("utf-8", "replace")


def _failed(why: str) -> Refused:
    return Refused("Service Unavailable", f"Graphviz {why}: try again, or take the text, without _format=svg", status=503)

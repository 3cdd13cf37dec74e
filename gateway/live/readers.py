"""Who reads an answer over plain NATS: pieces go to their reply subject, and what they say of them comes to a subject of ours.

A piece has that subject as its own reply subject. There a reader that asked with "credit" says {"more": 20} as it reads; and there NATS
itself says that nobody heard a piece, which ends the answer.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator
from typing import Any

import orjson
from nats.aio.msg import Msg

from agents.live import Json, LiveError
from commands.errors import Refused
from commands.sending.connection import Connection, nobody_heard
from gateway.live import given

ALIVE_SECONDS = 5.0
"""An answer that has nothing to tell says so this often, with an empty piece: so NATS tells when nobody hears it any more."""
CREDIT_SECONDS = 60.0
"""For a reader that asked with "credit" to want more."""
MOST_CREDIT = 1_000_000
MOST_INPUT = 256
"""Pieces of input (gateway/live/given.py) with which the next message comes too early. Nothing holds back who sends it, so it ends the
answer."""
FLUSH_EVERY = 32
"""Pieces after which it is waited for that NATS has them."""
FLUSH_SECONDS = 5.0


class ReaderGone(Exception):
    """Nobody hears the answer any more."""


class Reader:
    """Of one answer."""

    def __init__(self, nats: Connection, subject: str, answers_to: str) -> None:
        self._nats, self._subject, self._answers_to = nats, subject, answers_to
        self.credit: int | None = None
        """How many pieces it takes before it says that it wants more; None: it takes all."""
        self.given: asyncio.Queue[Json] = asyncio.Queue()
        """What it says beside, the input of a command."""
        self._sent = 0
        self._broken: Exception | None = None
        self._moved = asyncio.Event()

    def hear(self, heard: Msg) -> None:
        """What came on its subject of ours."""
        if nobody_heard(heard):
            self._broken = ReaderGone()
        elif self._broken is None:
            try:
                self._take(given.read(heard.data))
            except (Refused, LiveError) as error:
                self._broken = error
        self._moved.set()

    def _take(self, said: Any) -> None:
        """Raises Refused and LiveError."""
        if isinstance(said, dict) and "more" in said:
            if not isinstance(more := said["more"], int):
                raise Refused("InvalidFormat", 'more is a number of pieces: send {"more": 20}', "more")
            if self.credit is not None:
                self.credit += max(0, min(more, MOST_CREDIT))
            return
        if self.given.qsize() >= MOST_INPUT:
            fast = f"input comes faster than the command takes it: {MOST_INPUT} pieces wait"
            raise LiveError("", f"{fast}. Say it more slowly, or over the WebSocket, which holds back")
        for piece in given.pieces(said):
            self.given.put_nowait(piece)

    async def send_all(self, frames: AsyncGenerator[Json, None]) -> None:
        """Each with its number; the last has an end. Raises ReaderGone, what `frames` raises, and Refused and LiveError for what the
        reader said."""
        coming = asyncio.ensure_future(anext(frames, None))
        try:
            while True:
                await self._until(coming)
                if not coming.done():
                    await self._say({})
                    continue
                if (frame := coming.result()) is None:
                    await self.end({})
                    return
                await self._room()
                await self._say({"seq": self._sent, **frame})
                self._sent += 1
                if "end" in frame:
                    return
                coming = asyncio.ensure_future(anext(frames, None))
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    async def end(self, end: Json) -> None:
        await self._say({"seq": self._sent, "end": end})

    async def _until(self, coming: asyncio.Future[Json | None]) -> None:
        """A piece comes, or for a while none did. Raises ReaderGone."""
        deadline = asyncio.get_running_loop().time() + ALIVE_SECONDS
        while not coming.done() and (left := deadline - asyncio.get_running_loop().time()) > 0:
            self._check()
            self._moved.clear()
            moved: asyncio.Future[Any] = asyncio.ensure_future(self._moved.wait())
            waiting: set[asyncio.Future[Any]] = {coming, moved}
            await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            moved.cancel()
        self._check()

    async def _room(self) -> None:
        if self._sent % FLUSH_EVERY == FLUSH_EVERY - 1:
            await self._nats.reach(FLUSH_SECONDS)
        try:
            async with asyncio.timeout(CREDIT_SECONDS):
                while self.credit is not None and self._sent >= self.credit:
                    self._check()
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            raise LiveError("", f"you wanted no more for {CREDIT_SECONDS:g} seconds: ask again") from None
        self._check()

    def _check(self) -> None:
        if self._broken is not None:
            raise self._broken

    async def _say(self, document: Json) -> None:
        if not self._subject:
            return  # nobody asked for an answer
        await self._nats.publish(self._subject, orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS), reply=self._answers_to)


class Readers:
    """All of one server, each with a subject of ours."""

    def __init__(self, nats: Connection, name: str) -> None:
        self._nats, self._name = nats, name
        self._numbers = itertools.count(1)
        self._open: dict[str, Reader] = {}

    async def listen(self) -> None:
        await self._nats.listen(f"corral.live.{self._name}.*", self._heard)

    def add(self, reply: str) -> tuple[str, Reader]:
        """-> the name under which it is dropped, and it."""
        name = f"corral.live.{self._name}.{next(self._numbers)}"
        self._open[name] = reader = Reader(self._nats, reply, name)
        return name, reader

    def drop(self, name: str) -> None:
        self._open.pop(name, None)

    async def _heard(self, heard: Msg) -> None:
        if (reader := self._open.get(heard.subject)) is not None:
            reader.hear(heard)

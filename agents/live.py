"""Live queries on the wire: what an instance does just now is asked of its agent, which answers in pieces, each once and in order.

    asker --question----------> agent     corral.agent.a7.live.logs
    asker <--pieces, state----- agent     corral.reply.live.a7.<query>
    asker --input, state------> agent     corral.agent.a7.live.to.<query>

Core NATS loses messages and knows no slow reader, so both ends are a Pipe: pieces are numbered and kept until the other end has them, and
nobody sends more than the other end has room for. Who is silent for SILENCE seconds is gone.
"""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from agents.jsons import dumps, loads
from agents.shapes import BadMessage, document_of, read_fields, types_of

Json = dict[str, Any]

WINDOW = 32
"""Pieces that may be on their way, or wait to be read, at once."""
MOST_BYTES = 32 * 1024
"""Of output in one piece: a query keeps at most a megabyte waiting at either end."""
TICK = 0.5
ALIVE = 3.0
"""An end that has nothing to say says so this often."""
SILENCE = 15.0
"""Seconds after which an end that says nothing is gone. A restart of NATS, or of the way there, is shorter."""
RESEND = 2.0
"""Pieces of which the other end says nothing for so long are sent again."""

INPUT = "to"
"""In the place of the verb, in the subjects of what follows a question."""

NOT_RUNNING, NOT_THERE, UNKNOWN_VERB, BAD_OPTION, FAILED, LOST = "notRunning", "notThere", "unknownVerb", "badOption", "failed", "lost"
"""Codes of errors, in a query's end."""


class LiveError(Exception):
    """A query's end in an error: `code` is one of those above, the text is for the user."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What an agent is asked. `instance`: {"uuid", "id", "name"}; `host`: {"uuid", "kind"}."""

    query: str
    verb: str
    instance: Json
    host: Json = field(default_factory=dict)
    options: Json = field(default_factory=dict)
    upto: int = WINDOW

    def encode(self) -> bytes:
        return dumps(document_of(self))

    @classmethod
    def decode(cls, payload: bytes) -> Question:
        """Raises ValueError."""
        return cls(**_counted(read_fields(loads(payload), types_of(cls), needed=("query", "verb", "instance")), "upto"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A piece, or (without `seq`) only its sender's state."""

    seq: int | None = None
    data: Json | None = None
    end: Json | None = None
    """Of the last piece: {}, {"exit": 0}, or {"error": ..., "code": ...}."""
    ack: int = 0
    """The sender has all pieces below this number."""
    upto: int = 0
    """The sender has room for pieces below this number."""
    gone: str | None = None
    """The sender knows nothing of the query (any more), and why."""

    def encode(self) -> bytes:
        return dumps({key: value for key, value in document_of(self).items() if value is not None})

    @classmethod
    def decode(cls, payload: bytes) -> Frame:
        """Raises ValueError."""
        return cls(**_counted(read_fields(loads(payload), types_of(cls)), "seq", "ack", "upto"))


def _counted(known: Json, *names: str) -> Json:
    if wrong := [f"{name}: {known[name]} is less than none" for name in names if (known.get(name) or 0) < 0]:
        raise BadMessage("; ".join(wrong))
    return known


def question_subject(agent: int, verb: str) -> str:
    """corral.agent.a7.live.logs"""
    return f"corral.agent.a{agent}.live.{verb}"


def input_subject(agent: int, query: str) -> str:
    """corral.agent.a7.live.to.<query>"""
    return f"corral.agent.a{agent}.live.{INPUT}.{query}"


def piece_subject(agent: int | str, query: str) -> str:
    """corral.reply.live.a7.<query>"""
    return f"corral.reply.live.a{agent}.{query}"


def pieces_of(asker: str) -> str:
    """What an asker subscribes to: its queries are named <asker>.<number>."""
    return f"corral.reply.live.*.{asker}.*"


def written(stream: str, output: bytes) -> Json:
    """A piece of output: as text where it is text, in base64 where it is not."""
    try:
        return {"stream": stream, "text": output.decode()}
    except UnicodeDecodeError:
        return {"stream": stream, "base64": base64.b64encode(output).decode()}


def output_of(piece: Json, key: str = "text") -> bytes:
    """The bytes of a piece of output, or (`key` stdin) of input. Raises ValueError."""
    if isinstance(text := piece.get(key), str):
        return text.encode("utf-8", "surrogatepass")
    return base64.b64decode(str(piece.get("base64") or ""), validate=True)


class Pipe:
    """One end of a query. `say` sends a frame, and may lose it. `keep` runs as long as the end is used."""

    def __init__(self, say: Callable[[Frame], Awaitable[None]], *, upto: int, other: str, silence: float = SILENCE) -> None:
        """`upto`: what the other end has room for at first. `other`: what it is called in errors."""
        self._say, self._other, self._silence = say, other, silence
        self._now = asyncio.get_running_loop().time
        self._next, self._upto = 0, upto
        self._unacked: deque[Frame] = deque()
        self._expected, self._taken, self._told = 0, 0, 0
        self._arrived: deque[Frame] = deque()
        self._heard = self._said = self._progress = self._now()
        self._state_due = False
        self._complete = False
        self._moved = asyncio.Event()
        self.heard = asyncio.Event()
        """Set once the other end said anything."""
        self.broken: LiveError | None = None

    # --- what comes ---

    def hear(self, frame: Frame) -> None:
        self._heard = self._now()
        self.heard.set()
        if frame.gone is not None:
            self.fail(LiveError(LOST, frame.gone))
            return
        while self._unacked and (self._unacked[0].seq or 0) < frame.ack:
            self._unacked.popleft()
            self._progress = self._heard
        self._upto = max(self._upto, frame.upto)
        if frame.seq is not None:
            room = len(self._arrived) < WINDOW or frame.end is not None
            if frame.seq == self._expected and room and not self._complete:
                self._arrived.append(frame)
                self._expected += 1
                self._complete = frame.end is not None  # an end has room always: so nothing may come after it
            else:  # it came before, or another was lost on the way: the other end hears what is missing
                self._state_due = True
        self._moved.set()

    def fail(self, error: LiveError) -> None:
        """Nothing more comes or goes."""
        if self.broken is None:
            self.broken = error
        self.heard.set()
        self._moved.set()

    async def receive(self) -> Frame:
        """The next piece, once there is one; that with `end` is the last. Raises LiveError when the other end is lost."""
        while not self._arrived:
            if self.broken is not None:
                raise self.broken
            await self._until_moved()
        frame = self._arrived.popleft()
        self._taken += 1
        if frame.end is not None or self._taken - self._told >= WINDOW // 4:
            await self.tell()
        return frame

    # --- what goes ---

    async def send(self, data: Json) -> None:
        """Returns once the other end has room for it. Raises LiveError when that is lost."""
        while self._next >= self._upto and self.broken is None:
            await self._until_moved()
        await self._put(Frame(seq=self._next, data=data))

    async def finish(self, end: Json) -> None:
        """The last piece. Returns when the other end has all, or is lost."""
        if self.broken is not None:
            return
        await self._put(Frame(seq=self._next, end=end))
        while self._unacked and self.broken is None:
            await self._until_moved()

    async def tell(self) -> None:
        """Its state: what came, and how much more may come."""
        await self._sent(Frame())

    async def keep(self) -> None:
        """Until the other end is silent for too long, or this is cancelled."""
        while self.broken is None:
            await asyncio.sleep(TICK)
            now = self._now()
            if now - self._heard > self._silence:
                self.fail(LiveError(LOST, f"{self._other} said nothing for {self._silence:g} seconds: it, or NATS, is away. Ask again"))
            elif self._unacked and now - self._progress > RESEND:
                self._progress = now
                for frame in list(self._unacked):
                    await self._sent(frame)
            elif self._state_due or now - self._said > ALIVE or self._taken > self._told:
                await self.tell()

    async def _put(self, frame: Frame) -> None:
        if self.broken is not None:
            raise self.broken
        if not self._unacked:
            self._progress = self._now()
        self._next += 1
        self._unacked.append(frame)
        await self._sent(frame)

    async def _sent(self, frame: Frame) -> None:
        self._said, self._told, self._state_due = self._now(), self._taken, False
        await self._say(replace(frame, ack=self._expected, upto=self._taken + WINDOW))

    async def _until_moved(self) -> None:
        self._moved.clear()
        await self._moved.wait()

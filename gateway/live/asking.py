"""Asks an agent about an instance that it runs: a query's way from here over NATS and back.

    question, again and again --heard--> pieces as they are taken --end--> over
        `-> nobody hears it, or says anything in time: AgentAway
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from nats.aio.msg import Msg

from agents.live import (
    BAD_OPTION,
    NOT_RUNNING,
    NOT_THERE,
    UNKNOWN_VERB,
    WINDOW,
    Frame,
    Json,
    LiveError,
    Pipe,
    Question,
    input_subject,
    piece_subject,
    pieces_of,
    question_subject,
)
from commands.errors import Conflict, Refused
from commands.sending.connection import Connection, nobody_heard

log = structlog.get_logger("corral.live")

ASK_AGAIN = 0.4
"""Seconds after which a question that nobody heard is asked again."""
NOBODY = 3
"""Times that nobody hears it before its agent counts as away: one that just reconnects is given a moment."""
HEARD_SECONDS = 5.0
"""For the agent to say that it heard."""
MOST_QUERIES = 1000
"""That one server asks at once."""
MOST_OF_ONE = 50
"""The same for one account that is no admin's: an agent answers so many more at once, and is others' to ask, too."""


class AgentAway(Refused):
    """The agent can't be asked now, or says nothing in time."""

    def __init__(self, message: str) -> None:
        super().__init__("Service Unavailable", message, status=503)


class TooMany(Refused):
    """An account has its share of queries under way."""

    def __init__(self, message: str) -> None:
        super().__init__("Too Many Requests", message, status=429)


@dataclass(slots=True)
class _Query:
    agent: int
    pipe: Pipe
    account: int | None
    """For which it is asked; None: for an admin."""
    unheard: int = 0
    """How often nobody heard the question."""


class Asker:
    """Of one server. `nats` is started by whoever owns it."""

    def __init__(self, nats: Connection) -> None:
        self.nats = nats
        self.name = secrets.token_hex(6)
        self._numbers = itertools.count(1)
        self._open: dict[str, _Query] = {}
        self._saying: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """From now on answers are heard."""
        await self.nats.listen(pieces_of(self.name), self._heard)

    @asynccontextmanager
    async def asked(
        self, agent: int, called: str, verb: str, instance: Json, host: Json, options: Json, account: int | None = None
    ) -> AsyncIterator[Pipe]:
        """The agent's answer, once it said that it heard. `called`: the agent, in errors. `account`: see _Query. Raises AgentAway, TooMany
        and LiveError."""
        if len(self._open) >= MOST_QUERIES:
            raise AgentAway(f"{MOST_QUERIES} live queries are under way on this server: ask another one, or later")
        if account is not None and sum(each.account == account for each in self._open.values()) >= MOST_OF_ONE:
            raise TooMany(f"{MOST_OF_ONE} live queries of your account are under way on this server: end one of them first")
        name = f"{self.name}.{next(self._numbers)}"

        async def say(frame: Frame) -> None:
            await self.nats.publish(input_subject(agent, name), frame.encode())

        pipe = Pipe(say, upto=WINDOW, other=called)
        query = self._open[name] = _Query(agent, pipe, account)
        keeping = asyncio.create_task(pipe.keep())
        try:
            await self._ask(query, called, Question(query=name, verb=verb, instance=instance, host=host, options=options))
            yield pipe
        finally:
            keeping.cancel()
            del self._open[name]
            if pipe.heard.is_set():  # also one that has ended: what it says last may be lost
                await say(Frame(gone="nobody asks any more"))

    async def _ask(self, query: _Query, called: str, question: Question) -> None:
        if not self.nats.connected:
            raise AgentAway("NATS is away, over which agents are asked: try again when it is back")
        deadline = asyncio.get_running_loop().time() + HEARD_SECONDS
        while not query.pipe.heard.is_set():
            if query.unheard >= NOBODY:
                raise AgentAway(f"{called} is not connected: start it, or see `corral why` on its host")
            if asyncio.get_running_loop().time() > deadline:
                raise AgentAway(f"{called} did not answer within {HEARD_SECONDS:g} seconds: it is away, or older than live queries")
            await self.nats.publish(
                question_subject(query.agent, question.verb), question.encode(), reply=piece_subject(query.agent, question.query)
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(ASK_AGAIN):
                    await query.pipe.heard.wait()

    async def _heard(self, heard: Msg) -> None:
        _, _, _, agent, *rest = heard.subject.split(".")
        name = ".".join(rest)
        query = self._open.get(name)
        if nobody_heard(heard):
            if query is not None:
                query.unheard += 1
            return
        if query is not None and agent != f"a{query.agent}":
            log.warning("An agent answers what another one was asked; that is dropped", action="live-foreign", subject=heard.subject)
            return
        try:
            frame = Frame.decode(heard.data)
        except ValueError as error:
            log.warning("A message is no piece of an answer", action="bad-piece", subject=heard.subject, error=str(error))
            return
        if query is not None:
            query.pipe.hear(frame)
        elif frame.gone is None and agent[1:].isdigit():
            await self.nats.publish(input_subject(int(agent[1:]), name), Frame(gone="nobody asks any more").encode())


def refusal_of(error: LiveError) -> Refused:
    """A query's end in an error, as the API tells it."""
    match error.code:
        case code if code in (NOT_RUNNING, NOT_THERE):
            return Conflict(str(error))
        case code if code == UNKNOWN_VERB:
            return Refused("Not Implemented", str(error), status=501)
        case code if code == BAD_OPTION:
            return Refused("InvalidFormat", str(error))
    return Refused("Service Unavailable", str(error), status=503)


def check_end(end: Json) -> None:
    """Raises LiveError for an end in an error."""
    if end.get("error"):
        raise LiveError(str(end.get("code") or ""), str(end["error"]))

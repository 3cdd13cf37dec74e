"""The agent's side of live queries: each question is put to the driver, whose answer goes out as fast as it is read.

    heard -> known? (its pipe) -> new: the driver's answer, piece by piece -> its end -> forgotten once the asker has it all
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import MaxPayloadError

from agents.driver import AnswersLive, Driver, DriverError, LiveRefused
from agents.live import (
    FAILED,
    UNKNOWN_VERB,
    Frame,
    Json,
    LiveError,
    Pipe,
    Question,
    input_subject,
    piece_subject,
    question_subject,
)

log = structlog.get_logger("corral.agent.live")

MOST_QUERIES = 200
"""That one agent answers at once."""
REMEMBERED = 1000
"""Queries that have ended, of which a question that comes late, or twice, begins none anew."""
GOODBYE_SECONDS = 1.0


@dataclass(slots=True)
class _Query:
    pipe: Pipe
    task: asyncio.Task[None] | None = None


class Answering:
    """Of one agent. `client`: its connection, as long as it has one."""

    def __init__(self, number: int, driver: Driver, client: Callable[[], Client | None]) -> None:
        self._number, self._driver, self._client = number, driver, client
        self._questions = question_subject(number, "")
        self._inputs = input_subject(number, "")
        self._open: dict[str, _Query] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._stopped = False

    def is_for(self, subject: str) -> bool:
        return subject.startswith(self._questions)

    async def hear(self, heard: Msg) -> None:
        """A question, or what follows one. Never raises, and waits for nothing but NATS' client."""
        try:
            if heard.subject.startswith(self._inputs):
                await self._hear_frame(heard.subject.removeprefix(self._inputs), Frame.decode(heard.data))
            else:
                await self._hear_question(Question.decode(heard.data))
        except ValueError as error:
            log.warning("A message is no live query", action="bad-query", subject=heard.subject, error=str(error))

    async def stop(self) -> None:
        """Tells those who ask that it ends."""
        self._stopped = True
        queries = list(self._open.items())
        for _, query in queries:
            if query.task is not None:
                query.task.cancel()
        await asyncio.gather(*(query.task for _, query in queries if query.task is not None), return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                for name, _ in queries:
                    await self._say(name, Frame(gone=f"agent a{self._number} stops: ask again when it is back"))
        self._open.clear()

    async def _hear_frame(self, name: str, frame: Frame) -> None:
        query = self._open.get(name)
        if query is not None:
            query.pipe.hear(frame)
        elif frame.gone is None and name not in self._ended:
            await self._say(name, Frame(gone=f"agent a{self._number} was started anew and does not know the query any more: ask again"))

    async def _hear_question(self, question: Question) -> None:
        name = question.query
        if (query := self._open.get(name)) is not None:
            await query.pipe.tell()  # it was asked again before it heard that it is answered
        elif name in self._ended:
            await self._say(name, Frame(gone="the query has ended"))
        elif self._stopped or len(self._open) >= MOST_QUERIES:
            why = "stops" if self._stopped else f"answers {MOST_QUERIES} live queries already"
            await self._say(name, Frame(gone=f"agent a{self._number} {why}: ask again later"))
        else:
            pipe = Pipe(partial(self._say, name), upto=question.upto, other="the asker")
            query = self._open[name] = _Query(pipe)
            query.task = asyncio.create_task(self._answer(question, pipe), name=f"live {question.verb} of a{self._number}")

    async def _answer(self, question: Question, pipe: Pipe) -> None:
        """Until the asker has all, or is gone."""
        keeping = asyncio.create_task(pipe.keep())
        try:
            await pipe.tell()
            answering = asyncio.create_task(self._answer_all(question, pipe))
            try:
                # The driver may have nothing to say for hours: that the asker is gone, or the agent stops, ends it all the same.
                await asyncio.wait({answering, keeping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)
        finally:
            keeping.cancel()
            self._open.pop(question.query, None)
            self._ended[question.query] = None
            while len(self._ended) > REMEMBERED:
                self._ended.popitem(last=False)

    async def _answer_all(self, question: Question, pipe: Pipe) -> None:
        end: Json = {}
        try:
            async with aclosing(self._pieces(question, pipe)) as pieces:
                async for piece in pieces:
                    if "exit" in piece:
                        end = piece
                    else:
                        await pipe.send(piece)
        except LiveError:
            return  # the asker is gone
        except LiveRefused as error:
            end = {"error": str(error), "code": error.code}
        except DriverError as error:
            end = {"error": str(error), "code": FAILED}
        except Exception as error:
            log.exception("The driver broke", action="driver-broke", verb=question.verb, instance=question.instance.get("id"))
            end = {"error": f"{question.verb} failed inside agent a{self._number}: {error!r}; its log tells more", "code": FAILED}
        with suppress(LiveError):
            await pipe.finish(end)

    def _pieces(self, question: Question, pipe: Pipe) -> AsyncGenerator[Json, None]:
        known = self._driver.live_verbs(question) if isinstance(self._driver, AnswersLive) else frozenset[str]()
        if question.verb not in known or not isinstance(self._driver, AnswersLive):
            can = f"they answer {', '.join(sorted(known))}" if known else "they answer nothing live"
            kind = question.host.get("kind") or self._driver.kind
            raise LiveRefused(UNKNOWN_VERB, f"hosts of kind {kind} can't answer {question.verb}: {can}")
        return self._driver.live(question, _input(pipe))

    async def _say(self, name: str, frame: Frame) -> None:
        client = self._client()
        if client is None or not client.is_connected:
            return
        try:
            await client.publish(piece_subject(self._number, name), frame.encode())
        except MaxPayloadError:
            await self._say(name, Frame(gone="the answer has a piece that is too large for NATS"))
        except Exception as error:  # the connection broke in this moment: what is not there is sent again
            log.warning("A piece could not be published", action="publish-failed", query=name, error=repr(error))


async def _input(pipe: Pipe) -> AsyncGenerator[Json, None]:
    """What the asker sends, until it says that no more comes, or is gone."""
    with suppress(LiveError):
        while True:
            frame = await pipe.receive()
            if frame.data is not None:
                yield frame.data
            if frame.end is not None:
                return

"""corral.instance.<ref>.<verb> over NATS: any gateway answers it (a queue group), to any client, as it would over HTTP.

    a live verb -> its pieces, {"seq", "data"}, on the reply subject; the last one has "end"
    an action   -> accepted as over HTTP; one piece: the document, folded from the command's own events
    the herd's  -> one plain message, once it is done (gateway.herd.bus)

Who asks is known as over HTTP: by the header Authorization, or, where no keys are asked for, as the first admin.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import orjson
import structlog
from nats.aio.msg import Msg
from starlette.requests import Request
from starlette.types import Message

from agents.live import Json, LiveError, Pipe
from commands.errors import NotFound, Refused
from gateway.access.callers import Callers
from gateway.errors import error_document
from gateway.herd import bus
from gateway.herd.herd import OF_ONE, Herd
from gateway.live.asking import Asker, refusal_of
from gateway.live.finding import instance_of
from gateway.live.interactive import EXEC
from gateway.live.queries import answer, asked, frames, read_query
from gateway.live.readers import ReaderGone, Readers
from gateway.live.verbs import VERBS, Verb, count, flag
from gateway.request import ApiRequest, read_request
from gateway.services import Services
from gateway.writes import Writes

log = structlog.get_logger("corral.live")

SUBJECT, QUEUE = "corral.instance.*.*", "corral"
MOST_AT_ONCE = 500
COMMAND_SECONDS = 60.0
CREDIT, STDIN = "credit", "stdin"


@dataclass(frozen=True, slots=True)
class Asked:
    """`options`: what the message holds. `given`: what whoever asks says afterwards."""

    request: ApiRequest
    ref: str
    verb: str
    options: Json
    given: asyncio.Queue[Json]


Answering = Callable[[Asked], AsyncGenerator[Json, None]]
"""{"data": a piece of the answer}, {"end": how it ended}, or both at once. Raises Refused and LiveError."""


class Listener:
    """Of one server. `verbs`: all that is answered, by name in small letters; more may be added."""

    def __init__(self, services: Services, callers: Callers, asker: Asker, base: str) -> None:
        """`base`: this server's URL, under which the links of documents stand."""
        self._services, self._callers, self._asker, self._base = services, callers, asker, urlsplit(base)
        self._readers = Readers(asker.nats, asker.name)
        self._herd = Herd(services, asker)
        self._tasks: set[asyncio.Task[None]] = set()
        actions = services.catalogue.type("instance").actions
        live = {name: partial(self._live, verb) for name, verb in VERBS.items()}
        self.verbs: dict[str, Answering] = {**{name.lower(): self._act for name in actions}, **live, EXEC: self._exec}

    async def run(self) -> None:
        """Until it is cancelled."""
        await self._asker.listen()
        await self._readers.listen()
        for subject in (SUBJECT, bus.SUBJECT):
            await self._asker.nats.listen(subject, self._heard, QUEUE)
        try:
            await asyncio.Event().wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _heard(self, heard: Msg) -> None:
        said = bus.said_by(heard.subject)
        task = asyncio.create_task(self._answer(heard) if said is None else self._answer_herd(heard, said))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_herd(self, heard: Msg, said: Json) -> None:
        try:
            self._check_room()
            answer = await bus.answered(self._herd, await self._read(heard, "/"), said)
        except Exception as error:  # the boundary, as below
            answer = error_document(error)
        if heard.reply:
            await self._asker.nats.publish(heard.reply, orjson.dumps(answer, option=orjson.OPT_NON_STR_KEYS))

    async def _answer(self, heard: Msg) -> None:
        """Whatever goes wrong is told to whoever asked; without a reply subject an action is carried out all the same."""
        _, _, ref, verb = heard.subject.split(".")
        name, reader = self._readers.add(heard.reply)
        try:
            self._check_room()
            found = self.verbs.get(verb.lower())
            if found is None:
                raise NotFound(f"an instance has no verb {verb[:40]!r}: it has {', '.join(sorted({*self.verbs, *OF_ONE}))}")
            request = await self._read(heard, f"/v1/instances/{ref}")
            options = dict(request.one())
            reader.credit = count(options.pop(CREDIT, "all"), CREDIT, self._services.store.now())
            async with aclosing(found(Asked(request, ref, verb.lower(), options, reader.given))) as answer:
                await reader.send_all(answer)
        except ReaderGone:
            log.debug("Nobody hears an answer any more", action="reader-gone", subject=heard.subject)
        except LiveError as error:
            await reader.end(_failed(refusal_of(error)))
        except Exception as error:  # the boundary: whatever happened becomes a document
            await reader.end(_failed(error))
        finally:
            self._readers.drop(name)

    def _check_room(self) -> None:
        if len(self._tasks) > MOST_AT_ONCE:
            raise Refused("Service Unavailable", f"{MOST_AT_ONCE} are answered over NATS by this server already: ask later", status=503)

    async def _read(self, heard: Msg, path: str) -> ApiRequest:
        """As if it had come over HTTP. Raises Refused."""
        body = heard.data.strip() or b"{}"
        own = {"content-type": "application/json", "host": self._base.netloc}
        head = {**{name.lower(): value for name, value in (heard.headers or {}).items()}, **own}

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        scope = {
            "type": "http", "method": "POST", "scheme": self._base.scheme or "http", "path": path, "query_string": b"",
            "headers": [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in head.items()],
        }  # fmt: skip
        correlation = head.get("x-correlation-id") or uuid.uuid4().hex
        return await read_request(Request(scope, receive), self._callers, self._services.settings, correlation)

    async def _live(self, verb: Verb, ask: Asked) -> AsyncGenerator[Json, None]:
        query = await read_query(self._services, ask.request, ask.ref, verb, ask.options)
        if not verb.follow:
            found = await answer(self._asker, query)
            yield {"data": found["document"], "end": {"live": found["live"]}}
            return
        async with asked(self._asker, query) as pipe, aclosing(frames(pipe)) as coming:
            async for frame in coming:
                yield frame

    async def _exec(self, ask: Asked) -> AsyncGenerator[Json, None]:
        """Its input is empty, unless it is asked with "stdin": true: then it is what the reader says to the pieces' reply subject."""
        options = dict(ask.options)
        listens = flag(options.pop(STDIN, False), STDIN, self._services.store.now())
        query = await read_query(self._services, ask.request, ask.ref, VERBS[ask.verb], options)
        async with asked(self._asker, query) as pipe, aclosing(frames(pipe)) as coming:
            feeding = asyncio.create_task(_feed(pipe, ask.given if listens else None))
            try:
                async for frame in coming:
                    yield frame
            finally:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)

    async def _act(self, ask: Asked) -> AsyncGenerator[Json, None]:
        instance = await instance_of(self._services, ask.request, ask.ref)
        type = self._services.catalogue.type(instance.kind)
        writes, id = Writes(self._services, ask.request), f"{type.prefix}{instance.id}"
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                done = await (writes.delete(type, id) if ask.verb == "remove" else writes.act(type, id, ask.verb))
        except TimeoutError:
            late = f"{ask.verb} was not accepted within {COMMAND_SECONDS:g} seconds, and may be yet: ask with the same Idempotency-Key"
            raise Refused("Service Unavailable", late, status=503) from None
        yield {"data": dict(done.document), "end": {}}


async def _feed(pipe: Pipe, given: asyncio.Queue[Json] | None) -> None:
    if given is None:
        await pipe.send({"eof": True})
        return
    while True:
        await pipe.send(await given.get())


def _failed(error: BaseException) -> Json:
    """The error's document, and its message where a plain program looks for one."""
    document = error_document(error)
    return {"error": document["message"], "code": document["code"], "status": document["status"]}

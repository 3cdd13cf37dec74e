"""GET /v1/hosts/images and /v1/hosts/1h2/images: which images are on which host, as the hosts' own engines say just now.

    request -> the agents of these hosts, pinged over NATS with the option "images" -> their answers -> one row an image and host

Nobody is waited for longer than SECONDS: who did not answer is in `unanswered`, with the reason.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from nats.aio.msg import Msg

from agents.wire import LAST_TIME, Message, command_subject
from commands.catalogue.fields import date_text
from commands.errors import Refused
from commands.resource import Resource
from commands.sending.connection import Connection
from gateway.documents import Documents
from gateway.errors import MethodNotAllowed
from gateway.request import ApiRequest
from gateway.resources import found
from gateway.services import Services
from projections.query import Query

log = structlog.get_logger("corral.images")

Json = dict[str, Any]

HOST, IMAGES, KIND = "host", "images", "docker"
NO_RESPONDERS = "503"
SECONDS = 10.0
"""For all the answers. An agent gives its engine less."""
AGAIN = 1.0
"""Seconds after which an agent that did not answer is asked again: NATS loses what nobody hears just then."""
NOBODY = 3
"""Times that NATS says that nobody hears it before an agent counts as away: one that just reconnects is given a moment."""
AT_ONCE = 100
"""Agents that are asked at the same time for one request."""


@dataclass(slots=True)
class _Question:
    agent: int
    answer: asyncio.Future[Message | None]
    unheard: int = 0


class HostImages:
    """Of one server. `nats` is started and closed by whoever owns it."""

    def __init__(self, services: Services, nats: Connection) -> None:
        self._services, self._nats = services, nats
        self._name = f"images{secrets.token_hex(6)}"
        self._asked: dict[str, _Question] = {}
        self._listens = False

    def is_for(self, request: ApiRequest) -> bool:
        if not request.parts or request.parts[-1].lower() != IMAGES or len(request.parts) not in (2, 3):
            return False
        type = self._services.catalogue.by_path(request.parts[0])
        return type is not None and type.name == HOST and request.caller.sees(type)

    async def read(self, request: ApiRequest) -> Json:
        """Raises Refused."""
        type = self._services.catalogue.type(HOST)
        if "GET" not in request.caller.methods(type).collection:
            raise MethodNotAllowed("GET", f"the {IMAGES} of {type.plural}")
        if len(request.parts) == 3:
            hosts = [await found(self._services, request, type, request.parts[1])]
        else:
            seen = await self._services.views.rows(Query(type, account=request.caller.scope, show_removed=0))
            hosts = [each.resource for each in seen]
        if not self._nats.connected:
            away = "NATS is away, over which hosts are asked for their images: try again when it is back"
            raise Refused("Service Unavailable", away, status=503)
        return await self._written(request, hosts)

    async def _written(self, request: ApiRequest, hosts: Sequence[Resource]) -> Json:
        documents = Documents(self._services.catalogue, request)
        throttle = asyncio.Semaphore(AT_ONCE)

        async def images_of(host: Resource) -> list[Json] | str:
            async with throttle:
                return await self._images_of(host)

        rows: list[Json] = []
        silent: list[Json] = []
        for host, answer in zip(hosts, await asyncio.gather(*map(images_of, hosts)), strict=True):
            where = {"hostId": documents.id_of(HOST, host.id), "hostName": host.row.get("name")}
            if isinstance(answer, str):
                silent.append({**where, "reason": answer})
            else:
                rows += [{"type": "hostImage", **where, **_shown(each)} for each in answer]
        return {"type": "collection", "resourceType": "hostImage", "links": {"self": request.url}, "data": rows, "unanswered": silent}

    async def _images_of(self, host: Resource) -> list[Json] | str:
        """What its agent says, or why it says nothing."""
        if host.removed:
            return "the host is removed"
        if host.kind != KIND:
            return f"hosts of kind {host.kind} have no images that could be listed"
        agent = host.row.get("agentId")
        if agent is None:
            return "the host has no agent"
        answer = await self._ask(agent)
        if answer is None:
            return f"agent 1a{agent} is away: it heard nothing, or said nothing within {SECONDS:g} seconds"
        if answer.transitioning == "error":
            return str(answer.transitioningMessage)
        images = answer.data.get(IMAGES)
        if not isinstance(images, list):
            return f"agent 1a{agent} can't tell its images: it is older than this server, or no agent of Corral's"
        return [each for each in images if isinstance(each, dict)]

    async def _ask(self, agent: int) -> Message | None:
        await self._listen()
        question = str(uuid.uuid4())
        reply = f"corral.reply.{self._name}.a{agent}.{question}"
        data = {"resources": [], "options": {IMAGES: True}}
        message = Message(id=question, name="ping", replyTo=reply, resourceType="agent", resourceId=f"1a{agent}", data=data)
        answer: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        self._asked[question] = _Question(agent, answer)
        try:
            async with asyncio.timeout(SECONDS):
                while not answer.done():
                    await self._nats.publish(command_subject(agent, message.name), message.encode(), reply)
                    await asyncio.wait({answer}, timeout=AGAIN)
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._asked[question]

    async def _listen(self) -> None:
        if not self._listens:
            self._listens = True
            await self._nats.listen(f"corral.reply.{self._name}.>", self._heard)

    async def _heard(self, heard: Msg) -> None:
        _, _, _, agent, question = heard.subject.split(".", 4)
        asked = self._asked.get(question)
        if asked is None or agent != f"a{asked.agent}" or asked.answer.done():
            return  # late, or in another's name
        if (heard.headers or {}).get("Status") == NO_RESPONDERS:
            asked.unheard += 1
            if asked.unheard >= NOBODY:
                asked.answer.set_result(None)
            return
        try:
            asked.answer.set_result(Message.decode(heard.data))
        except ValueError as error:
            log.warning("An answer about images is not a message", action="images-malformed", subject=heard.subject, error=str(error))


def _shown(image: Json) -> Json:
    """An image may say nothing of when it was made: its engine tells the year 1 then. (An agent may say anything.)"""
    created = image.get("created")
    at, millis = (None, None)
    if isinstance(created, int) and 0 < created <= LAST_TIME // 1000:
        at, millis = date_text(datetime.fromtimestamp(created, UTC)), created * 1000
    return {name: image.get(name) for name in ("id", "names", "digests", "size")} | {"created": at, "createdTS": millis}

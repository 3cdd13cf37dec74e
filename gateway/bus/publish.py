"""POST /v1/publish: what subscribers answer goes to the engine that asked; an event of anybody's, to whom wants it.

    answer to a command    -> corral.reply.<partition>.<who>.<id>; without NATS it is appended here: an outcome needs nothing but the log
    answer to a heartbeat  -> corral.presence.<agent>
    any other event        -> the subscribers of every server
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

import orjson
import structlog

from agents.wire import HandlerAnswer, Message
from commands.catalogue.ids import api_id, number_of
from commands.errors import Refused
from gateway.bus import heartbeats, names, rules
from gateway.bus.hub import Hub
from gateway.bus.subscriber import Json, encoded, event
from gateway.request import ApiRequest
from gateway.services import Services

log = structlog.get_logger("corral.subscriptions")

OUTCOMES = ("no", "yes", "error")


async def publish(services: Services, hub: Hub, request: ApiRequest) -> Json:
    """-> the document of what was published. Raises Refused."""
    said = _event(services, request)
    rules.check_publish(services, request.caller, said["name"])
    answer = names.read_answer_name(said["name"])
    if answer is None:
        await hub.publish(said)
    elif answer.of_heartbeat:
        await heartbeats.heard(hub, answer, said)
    else:
        await _answer(services, hub, answer, said)
    return _document(request, said)


async def _answer(services: Services, hub: Hub, answer: names.AnswerName, said: Json) -> None:
    reply = {**said, "name": answer.subject, "context": {"stream": answer.stream} if answer.stream else None}
    if answer.agent is not None:
        reply["data"] = said["data"] or {}
        hub.told_reply(reply)
    if hub.nats.connected:
        await hub.nats.publish(answer.subject, encoded(reply))
    elif answer.stream:
        decoded = Message.read(reply) if answer.agent is not None else HandlerAnswer.decode(orjson.dumps(reply))
        if not await services.commands.answered(answer.stream, answer.ask, decoded, agent=answer.agent):
            log.info("An answer is of no use without NATS: what asked asks again", action="answer-dropped", name=said["name"])


def _event(services: Services, request: ApiRequest) -> Json:
    """What is accepted of the body; the rest is ignored. Raises Refused, naming the field that is wrong."""
    given = request.one()
    name = _text(given, "name")
    if not name:
        raise Refused("MissingRequired", "an event has a name; an answer's is the replyTo of what it answers", "name")
    if len(name) > names.LONGEST:
        raise Refused("MaxLengthExceeded", f"an event's name has at most {names.LONGEST} characters", "name")
    if any(character in name for character in "*> \0\n\r\t"):
        raise Refused("InvalidCharacters", f"{name!r} is no event's name", "name")
    transitioning = _text(given, "transitioning")
    if transitioning is not None and transitioning not in OUTCOMES:
        raise Refused("InvalidOption", f"transitioning is {', '.join(OUTCOMES)}, or null: {transitioning!r} is not", "transitioning")
    data = given.get("data")
    if data is not None and not isinstance(data, dict):
        raise Refused("InvalidFormat", "data is a map, e.g. {\"+data\": {\"hello\": \"world\"}}", "data")
    return event(
        name,
        id=_text(given, "id") or str(uuid.uuid4()),
        time=_whole(given, "time") or int(time.time() * 1000),
        previousIds=_texts(given, "previousIds"),
        previousNames=_texts(given, "previousNames"),
        publisher=_text(given, "publisher"),
        resourceType=_text(given, "resourceType"),
        resourceId=_resource_id(services, request, given),
        data=data,
        transitioning=transitioning,
        transitioningMessage=_text(given, "transitioningMessage"),
        transitioningInternalMessage=_text(given, "transitioningInternalMessage"),
        transitioningProgress=_whole(given, "transitioningProgress"),
    )


def _resource_id(services: Services, request: ApiRequest, given: Mapping[str, Any]) -> str | None:
    """On the wire it is the API's id, whoever says it."""
    text = _text(given, "resourceId")
    type = services.catalogue.types.get(_text(given, "resourceType") or "")
    if text is None or type is None or not request.plain_ids:
        return text
    number = number_of(text, plain=True)
    return text if number is None else api_id(type.name, number, services.catalogue)


def _document(request: ApiRequest, said: Json) -> Json:
    told = {key: value for key, value in said.items() if key not in ("context", "replyTo", "timeoutMillis", "previousNames")}
    self_link = request.link("publish", str(said["id"]))
    return {"id": said["id"], "type": "publish", "links": {"self": self_link}, "actions": {}, **told}


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):  # plain ids come as numbers
        return str(value)
    raise Refused("InvalidFormat", f"{name} is text", name)


def _texts(given: Mapping[str, Any], name: str) -> list[str] | None:
    value = given.get(name)
    if value is None:
        return None
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise Refused("InvalidFormat", f"{name} is a list of texts", name)
    return found


def _whole(given: Mapping[str, Any], name: str) -> int | None:
    value = given.get(name)
    if isinstance(value, str) and value.isascii() and value.lstrip("-").isdigit() and len(value) < 18:
        value = int(value)
    if value is None or value == "":
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refused("InvalidFormat", f"{name} is a whole number", name)
    return value

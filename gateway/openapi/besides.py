"""What the OpenAPI document tells of that is no type's list or document: the log, live queries, the bus, scripts, keys, pictures.

A path is there for who sees the type that it belongs to.
"""

from __future__ import annotations

from typing import Any

from commands import events
from gateway.documents import Documents
from gateway.history.log import FOLLOW, MOST
from gateway.openapi.herd import herd
from gateway.openapi.live import live
from gateway.openapi.operations import (
    BINARY,
    FILE,
    GZIP,
    NDJSON,
    PLAIN,
    READING,
    SSE,
    Json,
    answer,
    collection,
    done,
    in_path,
    in_query,
    named,
    refusals,
    told,
)  # fmt: skip

HEALTH: Json = {"type": "object", "required": ["healthy", "checks"], "properties": {"healthy": {"type": "boolean"}}}

ITEM = in_path("item", "The name of a config item, such as configscripts")
AGENT = in_query("agentId", {"type": "string"}, "Which agent's, for who speaks for more than one")

PICTURE = {"parameters": [in_query("_format", {"enum": ["svg"]}, "A picture instead of Graphviz text")]}


def besides(documents: Documents) -> Json:
    """-> path -> its operations"""
    seen = {name for name, type in documents.catalogue.types.items() if documents.caller.sees(type)}
    methods = {name: documents.caller.methods(documents.catalogue.type(name)) for name in seen}
    paths: Json = {**_open(), "/v1/events": {"get": _events()}, **live(documents), **herd()}
    if documents.caller.agents or not documents.caller.user:
        paths["/corral/nats/keys"] = {"post": _nats_key()}
    if "publish" in seen and "POST" in methods["publish"].collection:
        paths["/v1/publish"] = {"post": _publish()}
    if "subscribe" in seen:
        paths["/v1/subscribe"] = {"get": _websocket(), "post": _subscribe()}
    if "configContent" in seen:
        paths["/v1/configcontent/{item}"] = {"parameters": [ITEM, AGENT], **_content(methods["configContent"].resource)}
    if "authorized" in seen:
        paths["/v1/authorized_keys"] = {"get": told("The server's public keys, a line each, as sshd reads them", FILE, media=PLAIN)}
    if "registrationToken" in seen:
        paths["/v1/registrationtokens/{id}/command"] = {
            "parameters": [in_path("id", "The id of a registrationToken")],
            "get": told("The command that makes a machine a host, to paste into its shell", FILE, media=PLAIN),
        }
    if "sshKey" in seen:
        paths["/v1/sshkeys/{id}/pem"] = {
            "parameters": [in_path("id", "The id of an sshKey")], "get": told("Its private key, as a file", FILE, media=BINARY),
        }  # fmt: skip
    if "host" in seen:
        paths |= _images()
    if "processDefinition" in seen:
        paths |= _definitions(documents)
    return paths


def _open() -> Json:
    """What asks for no key."""
    said = {"description": "A script that says why there is none", "content": {PLAIN: {"schema": FILE}}}
    scripts = told("A shell script: bootstrap, or what makes the machine that runs it a host", FILE, media=PLAIN)
    scripts["responses"] |= {str(status): said for status in READING if status != 403}
    health: Json = {"summary": "Whether it can serve", "responses": {"200": answer(HEALTH), "503": answer(HEALTH), **refusals([403])}}
    ping: Json = {"summary": "Whether it is there", "responses": {"200": answer(FILE, PLAIN), **refusals([403])}}
    anybody: Json = {"security": [{}]}
    return {
        "/ping": {"get": ping | anybody},
        "/healthcheck": {"get": health | anybody},
        "/v1/scripts/{name}": {"parameters": [in_path("name", "bootstrap, or a registration token")], "get": scripts | anybody},
    }


def _nats_key() -> Json:
    key: Json = {"type": ["string", "null"], "description": "The public half of an nkey, U...; null: there is none from now on"}
    whose: Json = {
        "agentId": {"type": ["string", "null"], "description": "Of this agent; without it of the caller's own, or of the caller"},
        "externalHandlerId": {"type": ["string", "null"], "description": "Of this external handler"},
    }
    subjects: Json = {"type": "array", "items": {"type": "string"}}
    shown: Json = {
        "type": "object",
        "required": ["of", "key", "hears", "says"],
        "properties": {"of": {"type": "string"}, "key": key, "hears": subjects, "says": subjects},
    }
    body = {"type": "object", "required": ["key"], "properties": {"key": key, **whose}}
    return _written("Say with which key NATS lets somebody in, and hear what for", 200, shown, body)


def _events() -> Json:
    """A page of the log; a stream of it has one event a line, or server-sent events."""
    position: Json = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
    stream: Json = {"type": "string", "examples": ["instance-1"]}
    page = {
        "type": "object",
        "required": ["data", "head", "next"],
        "properties": {"data": {"type": "array", "items": named("event")}, "head": {"type": "integer"}, "next": {"type": "integer"}},
    }
    operation = told("The log: a page of it, or with follow= a stream without end", page, parameters=[
        in_query("after", position, "Only events behind this position"),
        in_query("to", position, "Only events up to this position"),
        in_query("stream", stream, "Only those of one resource"),
        in_query("root", stream, "Only those of all that shares a root"),
        in_query("type", {"type": "array", "items": {"enum": list(events.ALL)}}, "Only those of these types"),
        in_query("correlation", {"type": "string"}, "Only those of this request: its X-Correlation-Id"),
        in_query("limit", {"type": "integer", "minimum": 1, "maximum": MOST}),
        in_query("follow", {"enum": list(FOLLOW)}, "As a stream: a line each, or server-sent events"),
        {"name": "Last-Event-ID", "in": "header", "schema": position, "description": "Goes before after="},
    ])  # fmt: skip
    operation["responses"]["200"]["content"] |= {NDJSON: {"schema": FILE}, SSE: {"schema": FILE}}
    return operation


def _publish() -> Json:
    event: dict[str, Any] = {
        "name": {"type": "string", "minLength": 1, "description": "Of an answer: the replyTo of what it answers"},
        **{name: {"type": ["string", "null"]} for name in ("id", "resourceType", "resourceId", "publisher", "transitioningMessage")},
        "previousIds": {"type": ["array", "null"], "items": {"type": "string"}},
        "data": {"type": ["object", "null"]},
        "time": {"type": ["integer", "null"]},
        "transitioning": {"enum": ["no", "yes", "error", None]},
        "transitioningProgress": {"type": ["integer", "null"]},
    }
    body = {"type": "object", "required": ["name"], "properties": event}
    return _written("Publish an event, or an answer to one", 201, named("resource"), body)


def _subscribe() -> Json:
    names = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    fields = {"eventNames": names, "agentId": {"type": ["string", "null"]}}
    body = {"type": "object", "required": ["eventNames"], "properties": fields}
    operation = _written("Hear events: a line of JSON each, without end", 201, FILE, body)
    operation["responses"]["201"] = answer(FILE, PLAIN)
    return operation


def _websocket() -> Json:
    upgraded = {"101": {"description": "A WebSocket, with one event a frame"}, **refusals(READING)}
    names = in_query("eventNames", {"type": "array", "items": {"type": "string"}})
    return {"summary": "The same over a WebSocket", "parameters": [names, AGENT], "responses": upgraded}


def _content(methods: tuple[str, ...]) -> Json:
    current = in_query("current", {"type": "string"}, "The version that the agent has")
    operations = {
        "GET": told("The files of a config item, as a tar.gz", FILE, parameters=[current], media=GZIP),
        "PUT": _written("Say which version is applied", 200, named("resource"), {
            "type": "object", "required": ["version"], "properties": {"version": {"type": "string"}},
        }),
    }  # fmt: skip
    return {method.lower(): operation for method, operation in operations.items() if method in methods}


def _images() -> Json:
    """Of hosts, as their engines say."""
    texts: Json = {"type": "array", "items": {"type": "string"}}
    text: Json = {"type": ["string", "null"]}
    where: Json = {"hostId": {"type": "string"}, "hostName": text}
    image = {"id": {"type": "string"}, "names": texts, "digests": texts, "size": {"type": "integer"}, "created": text}
    page: Json = {
        "type": "object",
        "required": ["data", "unanswered"],
        "properties": {
            "data": {"type": "array", "items": {"type": "object", "properties": {**where, **image}}},
            "unanswered": {"type": "array", "items": {"type": "object", "properties": {**where, "reason": {"type": "string"}}}},
        },
    }
    asked = told("The images on it, also those that Corral did not bring there", page)
    asked["responses"] |= refusals([503])
    return {
        "/v1/hosts/images": {"get": {**asked, "summary": "The images on all hosts, and which hosts did not answer"}},
        "/v1/hosts/{id}/images": {"parameters": [in_path("id", "The id of a host")], "get": asked},
    }


def _definitions(documents: Documents) -> Json:
    """Pictures and names behind processDefinitions and resourceDefinitions."""
    drawn = told("Its states, as Graphviz text or a picture", FILE, media=PLAIN) | PICTURE
    drawn["responses"]["200"]["content"]["image/svg+xml"] = {"schema": FILE}
    drawn["responses"] |= refusals([501])
    process, resource = (
        {"parameters": [in_path("id", f"An id such as {documents.catalogue.type(name).prefix}!{example}")]}
        for name, example in (("processDefinition", "instance.start"), ("resourceDefinition", "instance"))
    )
    names = told("The names of all processes of its type, a line each", FILE, media=PLAIN)
    of = told("The processes of the type", collection(named("processDefinition")))
    return {
        "/v1/processdefinitions/{id}/processdot": {**process, "get": drawn},
        "/v1/processdefinitions/{id}/resourcedot": {**process, "get": drawn},
        "/v1/processdefinitions/{id}/processes": {**process, "get": names},
        "/v1/resourcedefinitions/{id}/resourcedot": {**resource, "get": drawn},
        "/v1/resourcedefinitions/{id}/processes": {**resource, "get": of},
    }


def _written(summary: str, status: int, schema: Json, body: Json) -> Json:
    """What nobody repeats by an Idempotency-Key."""
    operation = done(summary, status, schema, body)
    return {**operation, "parameters": []}

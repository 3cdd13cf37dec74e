"""What the OpenAPI document tells of live queries: a path for each verb, of instances and each of their kinds."""

from __future__ import annotations

from collections.abc import Mapping

from agents.live import Json
from gateway.documents import Documents
from gateway.live.verbs import MOST_TAIL, VERBS, Verb
from gateway.openapi.operations import FILE, NDJSON, PLAIN, READING, SSE, answer, in_path, in_query, refusals

_FLAG: Json = {"type": "boolean"}
_TEXT: Json = {"type": "string"}
_TIME: Json = {"type": "string", "examples": ["10m", "2026-01-31T10:00:00Z", "1769853600"]}

OPTIONS: Mapping[str, tuple[Json, str]] = {
    "follow": (_FLAG, "As a stream, until the client goes"),
    "tail": ({"type": "integer", "minimum": 0, "maximum": MOST_TAIL}, "Only so many lines from the end"),
    "since": (_TIME, "Only from then on: a time, how long ago, or seconds since 1970"),
    "until": (_TIME, "Only up to then"),
    "streams": ({"enum": ["stdout", "stderr"]}, "Only one of them"),
    "timestamps": (_FLAG, "In text: each line behind its time"),
    "ps": (_TEXT, "Options for ps at its host, instead of -ef"),
    "command": ({"type": "array", "items": _TEXT, "minItems": 1}, "The command and its arguments"),
    "tty": (_FLAG, "On a terminal"),
    "env": ({"type": "array", "items": _TEXT}, "Variables, NAME=VALUE"),
    "user": (_TEXT, "As whom"),
    "directory": (_TEXT, "Where"),
    "size": ({"type": "string", "examples": ["80x24"]}, "Of the terminal: columns and rows"),
}


def live(documents: Documents) -> Json:
    """-> path -> its operations. An engine's own words have no schema of ours."""
    root = documents.catalogue.type("instance")
    types = [documents.catalogue.type(name) for name in (root.name, *root.children)]
    return {
        f"/v1/{type.plural.lower()}/{{id}}/{verb.name}": {
            "parameters": [in_path("id", f"The id of {type.name}, or what its engine's id begins with")], "get": _operation(verb),
        }
        for type in types if documents.caller.sees(type) for verb in VERBS.values()
    }  # fmt: skip


def _operation(verb: Verb) -> Json:
    media = (PLAIN, NDJSON, SSE) if verb.name == "logs" else (NDJSON, SSE) if verb.follow else ()
    found = answer({"type": "object"}) if not verb.follow or verb.name == "stats" else answer(FILE, *media)
    if verb.name == "stats":
        found["content"] |= {each: {"schema": FILE} for each in media}
    success = {"101": {"description": "A WebSocket: docs/live.md tells its frames"}} if verb.writes else {"200": found}
    return {
        "summary": f"Now, of its host: {verb.says}",
        "parameters": [in_query(name, *OPTIONS[name]) for name in verb.options],
        "responses": {**success, **refusals((*READING, 409, 501))},
    }

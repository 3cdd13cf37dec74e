"""What the OpenAPI document tells of POST /, the herd's actions."""

from __future__ import annotations

from agents.live import Json
from gateway.herd.call import MOST_SECONDS
from gateway.herd.herd import ACTIONS
from gateway.openapi.operations import FILE, NDJSON, done, refusals
from gateway.writes import MOST_AT_ONCE

_TEXT: Json = {"type": "string", "minLength": 1}

FIELDS: Json = {
    "action": {"enum": list(ACTIONS)},
    "id": {**_TEXT, "description": "Which container: its engine's id, 4 or more first letters of it, or its id (1i54)"},
    "image": {**_TEXT, "description": "To create: an image's name, of Docker's unless it says another driver"},
    "template": {**_TEXT, "description": "To create: a template's name"},
    "body": {"type": "object", "description": "To create-raw: the body of the engine's own create request"},
    "name": _TEXT,
    "instances": {"type": "integer", "minimum": 1, "maximum": MOST_AT_ONCE, "description": "How many, spread evenly over the hosts"},
    "dockerInstance": {**_TEXT, "description": "Which host: its name or id"},
    "all": {"type": "boolean", "description": "Every host that is registered"},
    "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": MOST_SECONDS, "description": "Seconds for the answer: 120"},
}

ANSWER: Json = {
    "type": "object",
    "description": "One of these, or several of them: {containers: [...]}, {images: [...]}, {hosts: [...]}",
    "properties": {
        "statusCode": {"type": "integer", "description": "The engine's own; 504: it goes on"},
        "dockerInstance": {"type": "string"},
        "Response": {"description": "{Body: the engine's own}, or an empty text"},
    },
}


def herd() -> Json:
    """-> path -> its operations. It is beside /v1, as the herd's clients ask it."""
    body: Json = {"type": "object", "required": ["action"], "properties": FIELDS}
    asked = done("Containers and hosts, with the engine's own answers", 200, ANSWER, body)
    asked["responses"]["200"]["content"] |= {NDJSON: {"schema": FILE}}
    asked["responses"] |= refusals([501, 503])
    return {"/": {"post": asked}}

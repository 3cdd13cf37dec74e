"""How answers leave: JSON documents, errors as documents of gateway.errors, and files, which are read as they are or kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.responses import Response

from gateway.errors import error_document, error_headers


@dataclass(frozen=True, slots=True)
class File:
    """An answer that is no JSON document."""

    content: bytes
    media: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


def attachment(content: bytes, name: str) -> File:
    """For browsers to keep under this name."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    return File(content, "application/octet-stream", {"Content-Disposition": f"attachment; filename={safe}"})


def json_response(document: Any, status: int, headers: Mapping[str, str]) -> Response:
    body = orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)
    return Response(body, status, headers, media_type="application/json; charset=utf-8")


def error_response(error: BaseException, headers: Mapping[str, str]) -> Response:
    """Whatever happened, as its document, with its status and what that status says in headers."""
    document = error_document(error)
    return json_response(document, document["status"], {**headers, **error_headers(document["status"], error)})

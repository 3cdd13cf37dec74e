"""Every error the API can answer with: the one table from what was raised to status and code."""

from __future__ import annotations

import uuid
from typing import Any

import structlog
from starlette.exceptions import HTTPException

from commands.errors import NotFound, Refused
from eventstore import BadData, Unavailable
from projections.errors import Behind, TooSlow, ViewsUnavailable

log = structlog.get_logger(__name__)

RETRY_AFTER = "1"
"""Seconds after which a client may ask again what could not be answered now."""


class MethodNotAllowed(Refused):
    """The type has no such method for this caller."""

    def __init__(self, method: str, of: str) -> None:
        super().__init__("Method not allowed", f"{of} can't be asked to {method}", status=405)


class Unauthorized(Refused):
    """No valid key, and keys are required."""

    def __init__(self) -> None:
        super().__init__("Unauthorized", "an API access key and secret key are required", status=401)


class InvalidBody(Refused):
    """The body is not what can be read."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidBodyContent", message, status=400)


class TooLarge(Refused):
    def __init__(self, limit: int) -> None:
        super().__init__("Request Entity Too Large", f"a request's body may have at most {limit} bytes", status=413)


def status_and_code(error: BaseException) -> tuple[int, str]:
    """The table. What is not in it is a fault of ours."""
    match error:
        case Refused():
            return error.status, error.code
        case Unavailable() | ViewsUnavailable() | Behind():
            return 503, "Service Unavailable"
        case TooSlow():
            return 503, "QueryTooSlow"
        case BadData():
            return 422, "InvalidCharacters"
        case HTTPException():
            return error.status_code, {404: "Not Found", 405: "Method not allowed"}.get(error.status_code, error.detail)
    return 500, "Internal Server Error"


def error_document(error: BaseException) -> dict[str, Any]:
    status, code = status_and_code(error)
    identity = str(uuid.uuid4())
    if status == 500:
        log.error("A request failed", action="request-failed", error_id=identity, exc_info=error)
        message: str | None = f"this is a fault of the server's; its log tells more under {identity}"
    else:
        message = (error.message if isinstance(error, Refused) else str(error)) or code
    document: dict[str, Any] = {
        "id": identity, "type": "error", "links": {}, "actions": {}, "status": status, "code": code, "message": message, "detail": None,
    }  # fmt: skip
    if isinstance(error, Refused) and not isinstance(error, NotFound) and error.field is not None:
        document["fieldName"] = error.field
    return document


def error_headers(status: int) -> dict[str, str]:
    match status:
        case 401:
            return {"WWW-Authenticate": 'Basic realm="Enter API access key and secret key as username and password"'}
        case 503:
            return {"Retry-After": RETRY_AFTER}
    return {}

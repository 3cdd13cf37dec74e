"""Every error the API can answer with: the one table from what was raised to status and code."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import structlog

from commands.config.sources import Unreadable
from commands.errors import NotFound, Refused
from eventstore import BadData, Unavailable
from projections.errors import Behind, TooSlow, ViewsUnavailable

log = structlog.get_logger(__name__)

RETRY_AFTER = "1"
"""Seconds after which a client may ask again what could not be answered now."""


CODES: Mapping[str, tuple[int, str]] = {
    "InvalidBodyContent": (400, "the body is not JSON, or not of the shape that is wanted"),
    "Unauthorized": (401, "keys are required, and there is no valid one"),
    "InvalidCSRFToken": (403, "a browser's write does not repeat its cookie"),
    "Forbidden": (403, "this key may not do that"),
    "Not Found": (404, "there is no such thing, or the caller may not see it"),
    "Method not allowed": (405, "the type, or this path, has no such method for the caller"),
    "Request Timeout": (408, "the body came too slowly"),
    "Conflict": (409, "the state, or what others hold, does not allow it now"),
    "Request Entity Too Large": (413, "the body is too large"),
    "Too Many Requests": (429, "this key or address asks more often than it may; Retry-After says when to ask again"),
    "MissingRequired": (422, "a field that is required is absent"),
    "NotNullable": (422, "a field can't be null"),
    "NotUnique": (422, "another one has this value"),
    "MinLimitExceeded": (422, "a number is too small"),
    "MaxLimitExceeded": (422, "a number is too large"),
    "MinLengthExceeded": (422, "a text is too short"),
    "MaxLengthExceeded": (422, "a text is too long"),
    "InvalidOption": (422, "a value is none of a field's options"),
    "InvalidCharacters": (422, "a text holds characters that it may not hold"),
    "InvalidFormat": (422, "a value is of the wrong type"),
    "InvalidDateFormat": (422, "a value is no date"),
    "InvalidReference": (422, "an id names nothing that the caller can see"),
    "InvalidAction": (422, "the type has no such action"),
    "ActionNotAvailable": (422, "the action is not offered now"),
    "UnsupportedVersion": (422, "there is only v1"),
    "InvalidImageInstanceKind": (422, "the image is for another kind of instance"),
    "NetworkIdsSubnetIdsMutuallyExclusive": (422, "networkIds and subnetIds are both given"),
    "PortWrongFormat": (422, "a port is not [public:]private[/protocol]"),
    "PortInvalidPublicPort": (422, "a public port is not 1 to 65535"),
    "PortInvalidPrivatePort": (422, "a private port is not 1 to 65535"),
    "PortInvalidProtocol": (422, "a port's protocol is neither tcp nor udp"),
    "InvalidIdempotencyKey": (422, "an Idempotency-Key is empty, too long or not printable"),
    "IdempotencyKeyReused": (422, "an Idempotency-Key came with another request before"),
    "Not Implemented": (501, "this server can't do it as it is set up: the message says what it lacks"),
    "AgentError": (502, "the agent of the host answered that it can't, and why"),
    "Service Unavailable": (503, "the database, the views or a config item's files can't be read now; Retry-After says when to ask again"),
    "Gateway Timeout": (504, "the agent of a host did not answer in time"),
    "QueryTooSlow": (503, "nothing that the list is asked by has an index, and there is too much of it; or a link leads to too much"),
}
"""code -> status, and when it is answered: all that a client can be told. What is not here is a fault of the server's, with status 500."""


class MethodNotAllowed(Refused):
    """The type has no such method for this caller."""

    def __init__(self, method: str, of: str) -> None:
        super().__init__("Method not allowed", f"{of} can't be asked to {method}", status=405)


class Unauthorized(Refused):
    """No valid key, and keys are required. `brought`: there was one, but nobody may act with it."""

    def __init__(self, *, brought: bool = False) -> None:
        bad = "the API key that came is not valid: its access or secret key is wrong, or it or its account is not active"
        super().__init__("Unauthorized", bad if brought else "an API access key and secret key are required", status=401)


class InvalidBody(Refused):
    """The body is not what can be read."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidBodyContent", message, status=400)


class TooLarge(Refused):
    def __init__(self, limit: int) -> None:
        super().__init__("Request Entity Too Large", f"a request's body may have at most {limit} bytes", status=413)


class TooLate(Refused):
    def __init__(self, seconds: float) -> None:
        super().__init__("Request Timeout", f"a request's body has to be there within {seconds:g} s: send it again, faster", status=408)


def status_and_code(error: BaseException) -> tuple[int, str]:
    """The table. What is not in it is a fault of ours."""
    match error:
        case Refused():
            return error.status, error.code
        case Unavailable() | ViewsUnavailable() | Behind() | Unreadable():
            return 503, "Service Unavailable"
        case TooSlow():
            return 503, "QueryTooSlow"
        case BadData():
            return 422, "InvalidCharacters"
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


def error_headers(status: int, error: BaseException | None = None) -> dict[str, str]:
    """`error`: tells when to ask again, where it knows."""
    match status:
        case 401:
            return {"WWW-Authenticate": 'Basic realm="Enter API access key and secret key as username and password"'}
        case 408:  # the rest of the body may still come
            return {"Connection": "close"}
        case 429:
            return {"Retry-After": str(getattr(error, "retry_after", RETRY_AFTER))}
        case 503:
            return {"Retry-After": RETRY_AFTER}
    return {}

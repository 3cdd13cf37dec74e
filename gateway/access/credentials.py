"""What a request says to be known by, read from its Authorization header, and how it is compared with what is kept. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

LONGEST = 8192
"""Characters of a header that are looked at."""


@dataclass(frozen=True, slots=True)
class Presented:
    """An access key and its secret key; both may be anything."""

    access: str
    secret: str


def presented(authorization: str | None) -> Presented | None:
    """Basic <base64 of access:secret>, or Bearer access:secret, or Bearer <base64 of it>. None: nothing that can be read."""
    if not authorization or len(authorization) > LONGEST:
        return None
    scheme, _, given = authorization.strip().partition(" ")
    given = given.strip()
    match scheme.lower():
        case "basic":
            text = _decoded(given)
        case "bearer":
            text = given if ":" in given else _decoded(given)
        case _:
            return None
    access, colon, secret = text.partition(":")
    return Presented(access, secret) if colon and access else None


def same(one: str, other: str) -> bool:
    """In a time that tells neither where they differ nor how long they are."""
    return hmac.compare_digest(_digest(one), _digest(other))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""

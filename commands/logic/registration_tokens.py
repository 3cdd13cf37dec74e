"""Registration tokens: what a credential of that kind says to who may register a machine with it, for a while. Pure.

    <publicValue>:<start of its period, milliseconds>:<HMAC of both under the secretValue>
"""

from __future__ import annotations

import base64
import hashlib
import hmac

REGISTRATION_TOKEN = "registrationToken"
"""Of credentials that sign tokens. It is also the user name with which a token is brought as a password."""

HOUR = 3_600_000
_DIGITS = 15


def token(public: str, secret: str, now: int) -> str:
    """`now`: milliseconds. All of an hour have the same."""
    return _signed(public, secret, now - now % HOUR)


def public_of(given: str) -> str:
    """The publicValue that a token names; "": it is no token."""
    public, *rest = given.split(":")
    return public if len(rest) == 2 and rest[0].isascii() and rest[0].isdigit() and len(rest[0]) <= _DIGITS else ""


def is_valid(given: str, public: str, secret: str, now: int, period: int) -> bool:
    """Whether a credential with these values signed it, and no longer ago than `period` milliseconds."""
    if public_of(given) != public or not public:
        return False
    start = int(given.split(":")[1])
    signed = hmac.compare_digest(_signed(public, secret, start).encode(), given.encode("utf-8", "replace"))
    return signed and now < start + period


def _signed(public: str, secret: str, start: int) -> str:
    text = f"{public}:{start}"
    digest = base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()
    return f"{text}:{''.join(c for c in digest if c not in '/=+')}"

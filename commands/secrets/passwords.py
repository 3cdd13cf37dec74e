"""Passwords that somebody chose are kept as scrypt hashes: nobody has to read them back, so nobody can.

    scrypt$<cost>$<salt>$<hash>
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable

HASHED = frozenset({"usernamePassword"})
"""The kinds of credential whose secretValue is one. The keys of other kinds are random, and shown to whom they belong."""

COST = 2**14
_BLOCK, _PARALLEL = 8, 1
_SALT = 16
_MOST_COST = 2**17
_MOST_MEMORY = 256 * _BLOCK * _MOST_COST  # bytes; twice what the costliest takes


def hashed(password: str, chance: Callable[[int], bytes], cost: int = COST) -> str:
    """Takes some 50 ms: call it in a thread."""
    salt = chance(_SALT)
    return f"scrypt${cost}${_text(salt)}${_text(_scrypt(password, salt, cost))}"


def matches(password: str, kept: str) -> bool:
    """Whether this is the password; not, if what is kept is no hash. As slow as hashed()."""
    try:
        name, cost, salt, wanted = kept.split("$")
        if name != "scrypt" or int(cost) > _MOST_COST:
            return False
        return hmac.compare_digest(_scrypt(password, base64.b64decode(salt), int(cost)), base64.b64decode(wanted))
    except ValueError:
        return False


def _scrypt(password: str, salt: bytes, cost: int) -> bytes:
    given = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(given, salt=salt, n=cost, r=_BLOCK, p=_PARALLEL, maxmem=_MOST_MEMORY, dklen=32)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()

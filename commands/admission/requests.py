"""What NATS asks about who connects, and the answers that it believes: signed tokens, in NATS' own form of JWT. Pure.

    {connect_opts: {nkey, sig}, client_info: {nonce}, user_nkey, server_id} -> {jwt: what the user may do} or {error}

NATS hands on what the client said and leaves it to us to see whether it is true: the signature is over the nonce that NATS gave.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import nkeys
import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from commands.admission.keys import NatsKeys, public

ACCOUNT = "CORRAL"
"""NATS' account in which all of Corral's subjects are."""

AUTH_SUBJECT = "$SYS.REQ.USER.AUTH"

_PUBLIC_BYTES = 35
"""A prefix, the key's 32, and a checksum of two."""


@dataclass(frozen=True, slots=True)
class Request:
    """`user`: by which NATS knows the connection in the answer. `key`: "": the client showed none. `at`: seconds since 1970."""

    server: str
    user: str
    key: str
    signature: str
    nonce: str
    at: int
    place: str = ""
    """What the client calls itself, and from where it comes: for the log."""

    @property
    def proven(self) -> bool:
        """Whether the client holds the private half of the key that it shows."""
        try:
            signature = base64.b64decode(self.signature.replace("-", "+").replace("_", "/") + "==")
            Ed25519PublicKey.from_public_bytes(_raw(self.key)).verify(signature, self.nonce.encode())
        except (ValueError, InvalidSignature):
            return False
        return bool(self.nonce)


def read(token: bytes) -> Request:
    """Raises ValueError for what is no request."""
    try:
        claims = orjson.loads(_decoded(token.split(b".")[1]))
        asked = claims["nats"]
        client, shown = asked["client_info"], asked["connect_opts"]
        place = f"{client.get('name') or 'a client'} from {client.get('host')}"
        return Request(
            str(asked["server_id"]["id"]), str(asked["user_nkey"]), str(shown.get("nkey") or ""), str(shown.get("sig") or ""),
            str(client.get("nonce") or ""), int(claims["iat"]), place,
        )  # fmt: skip
    except (IndexError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise ValueError(f"it is no request of NATS' for a connection: {error!r}") from None


def admission(keys: NatsKeys, request: Request, name: str, hears: Sequence[str], says: Sequence[str], now: int) -> bytes:
    """`name`: under which NATS shows the connection. It may do nothing but hear and say this."""
    rights = {"sub": {"allow": list(hears)}, "pub": {"allow": list(says)} if says else {"deny": [">"]}}
    user = {"nats": {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, **rights}}
    token = _signed(keys.issuer, {"sub": request.user, "aud": ACCOUNT, "name": name, **user}, now)
    return _answer(keys, request, {"jwt": token.decode()}, now)


def refusal(keys: NatsKeys, request: Request, why: str, now: int) -> bytes:
    """`why` is for NATS' own log: it tells the client no more than that it may not."""
    return _answer(keys, request, {"error": why}, now)


def check_public(key: str) -> str:
    """A user's public nkey as it was given. Raises ValueError, saying what one looks like."""
    try:
        _raw(key)
    except ValueError:
        raise ValueError("it is no public nkey of a user: 56 letters and digits that begin with U") from None
    return key


def _answer(keys: NatsKeys, request: Request, said: dict[str, str], now: int) -> bytes:
    body = {"nats": {"type": "authorization_response", "version": 2, **said}}
    return _signed(keys.issuer, {"sub": request.user, "aud": request.server, **body}, now)


def _signed(seed: str, claims: dict[str, Any], now: int) -> bytes:
    pair, issuer = _issuer(seed)
    told = {**claims, "iss": issuer, "iat": now}
    told["jti"] = base64.b32encode(hashlib.sha256(orjson.dumps(told)).digest()).decode().rstrip("=")
    head = _encoded(orjson.dumps({"typ": "JWT", "alg": "ed25519-nkey"})) + b"." + _encoded(orjson.dumps(told))
    return head + b"." + _encoded(pair.sign(head))


@lru_cache(2)
def _issuer(seed: str) -> tuple[Any, str]:
    """Thousands connect at once, after NATS was away."""
    return nkeys.from_seed(seed.encode()), public(seed)


def _raw(key: str) -> bytes:
    """The 32 bytes of a user's public nkey. Raises ValueError."""
    raw = base64.b32decode(key)
    if len(raw) != _PUBLIC_BYTES or raw[0] != nkeys.PREFIX_BYTE_USER or int.from_bytes(raw[-2:], "little") != nkeys.crc16(raw[:-2]):
        raise ValueError("it is no public nkey of a user")
    return raw[1:-2]


def _encoded(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _decoded(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"==")

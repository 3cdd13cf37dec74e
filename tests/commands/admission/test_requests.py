"""Whoever shows a key has to prove that it is theirs; what is no request is none."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import nkeys
import orjson
import pytest

from commands.admission.keys import NatsKeys, public
from commands.admission.requests import Request, admission, check_public, read, refusal
from tests.commands.admission.rows import new_seed

KEYS = NatsKeys(bytes(32))
SEED, NONCE = new_seed(), "uOfFZf3D3L-pT78"


def signed(seed: str, nonce: str) -> str:
    return base64.urlsafe_b64encode(nkeys.from_seed(seed.encode()).sign(nonce.encode())).decode().rstrip("=")


REQUEST = Request("NSERVER", "UUSER", public(SEED), signed(SEED, NONCE), NONCE, 1)


def claims(token: bytes) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(token.split(b".")[1] + b"=="))
    return found


def test_a_signature_over_the_nonce_proves_the_key() -> None:
    assert REQUEST.proven


@pytest.mark.parametrize("change", [
    {"nonce": "another"}, {"nonce": "", "signature": signed(SEED, "")}, {"key": public(new_seed())}, {"signature": ""}, {"signature": "!"},
    {"key": ""}, {"key": "U" * 56}, {"signature": signed(new_seed(), NONCE)}, {"signature": "é"},
])  # fmt: skip
def test_anything_else_does_not(change: dict[str, str]) -> None:
    assert not replace(REQUEST, **change).proven  # type: ignore[arg-type]  # all of these are text


def test_an_answer_is_for_this_server_and_this_connection_and_is_signed_by_the_issuer() -> None:
    for token in (admission(KEYS, REQUEST, "agent-7/U7", ["a.>"], ["b"], 5), refusal(KEYS, REQUEST, "no", 5)):
        told = claims(token)
        assert (told["aud"], told["sub"], told["iss"]) == ("NSERVER", "UUSER", public(KEYS.issuer))
        head, _, signature = token.rpartition(b".")
        nkeys.from_seed(KEYS.issuer.encode()).verify(head, base64.urlsafe_b64decode(signature + b"=="))


def test_who_may_say_nothing_is_told_so() -> None:
    """Where a list is empty, NATS would let them say everything."""
    inner = claims(claims(admission(KEYS, REQUEST, "watcher/U", ["corral.>"], [], 5))["nats"]["jwt"].encode())
    assert inner["nats"]["pub"] == {"deny": [">"]}


@pytest.mark.parametrize("token", [b"", b"a", b"a.b.c", b"a.e30.c", b"a.bnVsbA.c", b"a.eyJuYXRzIjp7fX0.c", b"a.\xff.c"])
def test_what_is_no_request_is_said_to_be_none(token: bytes) -> None:
    with pytest.raises(ValueError):
        read(token)


MISTYPED = REQUEST.key[:20] + ("A" if REQUEST.key[20] != "A" else "B") + REQUEST.key[21:]


@pytest.mark.parametrize("key", ["", "U", public(KEYS.issuer), SEED, MISTYPED, "ü" * 56])
def test_only_a_users_public_key_can_be_registered(key: str) -> None:
    with pytest.raises(ValueError, match="begin with U"):
        check_public(key)
    assert check_public(REQUEST.key) == REQUEST.key

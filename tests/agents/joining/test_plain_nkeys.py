"""An agent that has nothing but Python signs as one that has the package nkeys."""

from __future__ import annotations

import random

import nkeys
import pytest

from agents.joining import plain_nkeys


@pytest.mark.parametrize("number", range(8))
def test_seeds_keys_and_signatures_are_those_of_the_package(number: int) -> None:
    chance = random.Random(number)
    secret, nonce = chance.randbytes(32), chance.randbytes(number * 7)
    seed = plain_nkeys.encode_seed(secret, plain_nkeys.PREFIX_BYTE_USER)
    assert seed == nkeys.encode_seed(secret, nkeys.PREFIX_BYTE_USER)
    plain, real = plain_nkeys.from_seed(seed), nkeys.from_seed(seed)
    assert plain.public_key == real.public_key
    assert plain.sign(nonce) == real.sign(nonce)


@pytest.mark.parametrize("seed", [b"", b"SU", b"SUAAAA", b"U" * 58])
def test_what_is_no_seed_is_said_to_be_none(seed: bytes) -> None:
    with pytest.raises(ValueError):
        plain_nkeys.from_seed(seed)


def test_a_seed_with_another_letter_is_none() -> None:
    seed = plain_nkeys.encode_seed(bytes(32), plain_nkeys.PREFIX_BYTE_USER)
    with pytest.raises(ValueError, match="58 letters"):
        plain_nkeys.from_seed(seed[:20] + (b"B" if seed[20:21] != b"B" else b"C") + seed[21:])

"""How a secret becomes ciphertext and back, and how keys are kept: pure. The vault holds the keys and calls this.

A secret is AES-GCM under its stream's key, tied to stream and field, and says which: "credential-7/secretValue:<ciphertext>". In the
table of keys a stream's key is itself wrapped by the master key, where there is one, so that a copy of the database alone opens nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from commands.catalogue.secrets import SEALED

Json = dict[str, Any]
Chance = Callable[[int], bytes]

KEY_BYTES = 32
_NONCE = 12
_ID = 4
_BARE, _WRAPPED = b"\x00", b"\x01"


class Unreadable(Exception):
    """This ciphertext is not of this key, or not as it was made."""


class WrongMasterKey(Exception):
    """The streams' keys can't be read with the master key that was given, or that was not: say which, and stop."""


def seal(key: bytes, stream: str, name: str, value: Any, chance: Chance) -> Json:
    place, nonce = f"{stream}/{name}", chance(_NONCE)
    sealed = nonce + AESGCM(key).encrypt(nonce, orjson.dumps(value), place.encode())
    return {SEALED: f"{place}:{base64.b64encode(sealed).decode()}"}


def sealed_for(sealed: Json) -> tuple[str, str]:
    """The stream and the field that it was sealed for, as it says itself."""
    stream, _, name = str(sealed[SEALED]).partition(":")[0].partition("/")
    return stream, name


def unseal(key: bytes, sealed: Json) -> Any:
    """`key`: that of the stream which it was sealed for. Raises Unreadable."""
    place, _, text = str(sealed[SEALED]).partition(":")
    try:
        raw = base64.b64decode(text, validate=True)
        return orjson.loads(AESGCM(key).decrypt(raw[:_NONCE], raw[_NONCE:], place.encode()))
    except (InvalidTag, ValueError) as error:
        raise Unreadable(f"what says that it was sealed for {place} was not, or not with this key") from error


class MasterKeys:
    """Wraps streams' keys with the first of these, unwraps with any: a second one is there while the first takes over. None: bare keys."""

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        if any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"a master key has {KEY_BYTES} bytes")
        self._keys = {hashlib.sha256(key).digest()[:_ID]: AESGCM(key) for key in keys}
        self._first = next(iter(self._keys), b"")

    @property
    def several(self) -> bool:
        return len(self._keys) > 1

    def wrap(self, stream: str, key: bytes, chance: Chance) -> bytes:
        if not self._first:
            return _BARE + key
        nonce = chance(_NONCE)
        return _WRAPPED + self._first + nonce + self._keys[self._first].encrypt(nonce, key, stream.encode())

    def unwrap(self, stream: str, kept: bytes) -> bytes:
        """Raises WrongMasterKey."""
        if kept[:1] == _BARE:
            return kept[1:]
        master = self._keys.get(kept[1 : 1 + _ID])
        if master is None:
            given = "the one that was given is another" if self._keys else "none was given"
            raise WrongMasterKey(f"the keys of this cloud's secrets are wrapped with a master key, and {given}")
        try:
            return master.decrypt(kept[1 + _ID : 1 + _ID + _NONCE], kept[1 + _ID + _NONCE :], stream.encode())
        except InvalidTag as error:
            raise WrongMasterKey(f"the key of {stream} can't be unwrapped: its row in the database is not as it was written") from error

    def is_current(self, kept: bytes) -> bool:
        """Whether a key is kept as these would keep it now."""
        return kept[: 1 + _ID] == _WRAPPED + self._first if self._first else kept[:1] == _BARE

"""The cloud's own keys at NATS, the same on all its servers: all are made of one secret that lies with the keys of the log's secrets."""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass, field

import nkeys

from commands.secrets.sealing import KEY_BYTES, MasterKeys
from eventstore import Store

ENTRY = "nats"
"""Its name among the streams' keys (no stream has such a name): wrapped by the master key as they are."""


@dataclass(frozen=True, slots=True)
class NatsKeys:
    """Seeds, as NATS writes them. The public half of each stands in NATS' configuration, or in what is signed with it."""

    secret: bytes = field(repr=False)

    @property
    def server(self) -> str:
        """Of Corral's processes: these may hear and say everything."""
        return self._seed("server", nkeys.PREFIX_BYTE_USER)

    @property
    def system(self) -> str:
        """Of the engine that ends connections: it sees NATS' own subjects."""
        return self._seed("system", nkeys.PREFIX_BYTE_USER)

    @property
    def watcher(self) -> str:
        """Of who owns a server's home, to look on."""
        return self._seed("watcher", nkeys.PREFIX_BYTE_USER)

    @property
    def issuer(self) -> str:
        """What NATS believes the engine's word by."""
        return self._seed("issuer", nkeys.PREFIX_BYTE_ACCOUNT)

    def _seed(self, name: str, prefix: int) -> str:
        raw = hmac.new(self.secret, f"corral nats {name}".encode(), hashlib.sha256).digest()
        seed: bytes = nkeys.encode_seed(raw, prefix)
        return seed.decode()


async def nats_keys(store: Store, master: MasterKeys) -> NatsKeys:
    """Made by who asks first. Raises WrongMasterKey."""
    fresh = master.wrap(ENTRY, os.urandom(KEY_BYTES), os.urandom)
    kept = (await store.add_keys({ENTRY: fresh}))[ENTRY]
    return NatsKeys(master.unwrap(ENTRY, kept))


def public(seed: str) -> str:
    """The half that others may know. Raises ValueError for what is no seed."""
    try:
        pair = nkeys.from_seed(seed.strip().encode())
        key: bytes = pair.public_key
    except Exception as error:  # the library raises its own, binascii's and nacl's here
        raise ValueError(f"it is no seed of an nkey: {error!r}") from None
    return key.decode()

"""How an agent shows NATS who it is: with an nkey that it makes itself. The private half stays in its folder, the server gets the other."""

from __future__ import annotations

import asyncio
import random
import secrets
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from agents.joining import plain_nkeys
from agents.joining.files import keep
from agents.joining.registration import RegistrationRefused

try:
    import nkeys
except ImportError:  # a host with plain Python; NATS' client imports it by this name
    sys.modules["nkeys"] = nkeys = plain_nkeys

log = structlog.get_logger("corral.agent.access")

SEED = "nats.nk"
"""In its folder. Whoever removes it gives the agent another key with its next start; the one before is good no more then."""

FIRST_SECONDS, AGAIN_SECONDS = (3.0, 10.0), 15.0
"""When a key that NATS does not take is registered once more: some time between the former after the first refusal, and again after the
latter. Where NATS was away, thousands are refused for a moment because too many come at once: they need nothing but another try, and what
they would ask of the server keeps the others waiting."""


@dataclass(slots=True)
class Access:
    """`seed`: "" where there is none to show; a NATS that asks for none is shown none. `tls`: whose certificate NATS is believed by, if it
    speaks TLS; `tls_name`: whom that is to name, where NATS is reached under another address. `register`: has the server take the key;
    asked when NATS does not let the agent in."""

    seed: str = ""
    tls: ssl.SSLContext | None = None
    register: Callable[[], Awaitable[None]] | None = None
    tls_name: str = ""
    _register_at: float | None = field(default=None, init=False)
    """None: it is let in, or was not refused yet."""
    _registering: asyncio.Task[None] | None = field(default=None, init=False)
    _told: str = field(default="", init=False)

    @property
    def options(self) -> Mapping[str, Any]:
        """For NATS' client."""
        given = {"nkeys_seed_str": self.seed or None, "tls": self.tls, "tls_hostname": self.tls_name or None}
        return {name: value for name, value in given.items() if value is not None}

    def refused(self) -> None:
        """NATS did not let it in. Says so once, and has the key registered once more, now and then."""
        now = asyncio.get_running_loop().time()
        if self._register_at is None:
            why = "the agent, its account or its API key was taken back, or no engine is at work" if self.seed else "it has no key to show"
            log.warning(f"NATS does not let this agent in: {why}. It is tried again until it does", action="nats-refused")
            self._register_at = now + random.uniform(*FIRST_SECONDS)
        if now < self._register_at:
            return
        self._register_at = now + AGAIN_SECONDS
        if self.register is not None and (self._registering is None or self._registering.done()):
            self._registering = asyncio.create_task(self._register(self.register))

    def let_in(self) -> None:
        if self._register_at is not None:
            log.warning("NATS lets this agent in again", action="nats-let-in")
        self._register_at = None

    async def _register(self, register: Callable[[], Awaitable[None]]) -> None:
        try:
            await register()
        except Exception as error:  # whatever it is, it is tried again with a later refusal
            if str(error) != self._told:
                log.warning("The server does not take this agent's key for NATS", action="key-not-taken", error=str(error))
            self._told = str(error)


def own_seed(folder: Path) -> str:
    """Made with the first start. Raises RegistrationRefused for a file that holds none."""
    path = folder / SEED
    if not path.exists():
        seed: bytes = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
        keep(path, seed.decode() + "\n")
    try:
        seed_kept = path.read_text().strip()
        public(seed_kept)
    except (OSError, UnicodeDecodeError) as error:
        raise RegistrationRefused(f"the key for NATS in {path} can't be read: {error}") from None
    except Exception:  # nkeys raises its own, binascii's and nacl's here
        raise RegistrationRefused(f"what is in {path} is no seed of an nkey: remove the file, and another key is made") from None
    return seed_kept


def public(seed: str) -> str:
    """The half that the server gets."""
    key: bytes = nkeys.from_seed(seed.encode()).public_key
    return key.decode()


def is_refusal(error: BaseException) -> bool:
    """Whether NATS said that it does not let somebody in. (Its client gives the words alone.)"""
    said = str(error).lower()
    return "authorization violation" in said or "authentication timeout" in said or "authentication expired" in said


def believed(certificates: str) -> ssl.SSLContext | None:
    """Whom NATS is believed by. None: NATS' client believes those of the system. Raises RegistrationRefused."""
    if not certificates:
        return None
    context = ssl.create_default_context()
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=certificates)
    except (ssl.SSLError, ValueError) as error:
        raise RegistrationRefused(f"what is to be believed at NATS is no certificate in PEM: {error}. Give one with --nats-ca") from None
    return context

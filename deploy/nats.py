"""NATS as the processes of a Corral reach it: where it is, the keys they show it, whose certificate they believe; and how it is set up."""

from __future__ import annotations

import shlex
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.joining.files import keep
from commands.admission.doorkeeper import PATIENCE
from commands.admission.keys import NatsKeys, nats_keys, public
from commands.admission.requests import ACCOUNT
from commands.secrets.sealing import MasterKeys
from deploy.cli.errors import WrongUse
from deploy.cli.keys import believing, trusting
from deploy.embedded import Home
from deploy.settings import BadSetting, Settings
from eventstore.postgres import PostgresStore

WATCHER = "nats.nk"
"""In the home: the seed with which its owner looks on."""

PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Nats:
    """`keys`: None where it asks for none. `ca`: whose certificates are believed, PEM; "": those of the system, or TLS is not spoken."""

    url: str
    keys: NatsKeys | None = None
    tls: ssl.SSLContext | None = None
    ca: str = ""
    ca_file: str = ""

    def options(self, seed: str = "") -> Mapping[str, Any]:
        """What NATS' client is to know. `seed`: another than that of Corral's processes."""
        shown = {"nkeys_seed_str": seed or self.keys.server} if self.keys is not None else {}
        return {**shown, **({"tls": self.tls} if self.tls is not None else {})}

    def told(self) -> dict[str, Any]:
        """What agents are told of it."""
        keys: dict[str, Any] = {"natsKeys": True} if self.keys is not None else {}
        return {"nats": self.url, **keys, **({"natsCa": self.ca} if self.ca else {})}

    def command(self, home: Path) -> str:
        """How NATS' own CLI is called, by the home's owner."""
        shown = ["--nkey", str(home / WATCHER)] if self.keys is not None else []
        return shlex.join(["nats", "-s", self.url, *shown, *(["--tlsca", self.ca_file] if self.ca_file else [])])

    @property
    def what_to_do(self) -> str:
        """When it does not answer, or refuses."""
        set_ = "" if self.keys is not None else ", and set CORRAL_NATS_KEYS=true"
        return f"start it, or correct CORRAL_NATS. If it asks for keys: give it what `corral nats-config` prints{set_}"


async def nats_of(settings: Settings, postgres: str, master: MasterKeys) -> Nats:
    """As the settings say; where it asks for keys, they are looked up beside the log. The url is still to come where it is our own."""
    keys = await keys_of(postgres, master) if settings.nats_asks else None
    own = settings.nats_tls
    file = settings.nats_ca or (own[0] if own else None)
    if file is None:
        return Nats(settings.nats, keys)
    try:
        # Our own is known by its certificate, whatever name that has.
        tls, ca = trusting(str(own[0])) if own else believing(str(file)), file.read_text()
    except (WrongUse, OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"{error}. Set CORRAL_NATS_CA to a file of certificates in PEM") from error
    return Nats(settings.nats, keys, tls, ca, str(file))


async def keys_of(postgres: str, master: MasterKeys) -> NatsKeys:
    store = await PostgresStore.open(postgres, patience=PATIENCE_SECONDS)
    try:
        return await nats_keys(store, master)
    finally:
        await store.close()


def note_nats(home: Home, nats: Nats) -> None:
    """For `corral env`, and for who watches from this home."""
    if nats.keys is not None:
        keep(home.path / WATCHER, nats.keys.watcher + "\n")
    home.note(nats=nats.url, nats_nkey=str(home.path / WATCHER) if nats.keys is not None else "", nats_ca=nats.ca_file)


def access_config(keys: NatsKeys) -> str:
    """The part of NATS' configuration by which it lets in Corral's processes, and asks them about everybody else."""
    server, system, issuer = public(keys.server), public(keys.system), public(keys.issuer)
    return (
        "accounts {\n"
        f"  {ACCOUNT} {{ users: [ {{ nkey: {server} }} ] }}\n"
        f"  SYS {{ users: [ {{ nkey: {system} }} ] }}\n"
        "}\n"
        "system_account: SYS\n"
        "authorization {\n"
        f"  timeout: {PATIENCE}\n"
        f"  auth_callout {{ issuer: {issuer}, account: {ACCOUNT}, auth_users: [ {server}, {system} ] }}\n"
        "}\n"
    )

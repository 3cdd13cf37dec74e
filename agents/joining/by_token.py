"""How a machine joins with a registration token: it registers under a key of its own, and is given an agent's keys. Functions here block.

    key (made once, kept) -> POST register -> GET register?key= until it has keys -> number and keys (kept)

Every step may happen again: what is kept in the agent's folder makes the same machine the same agent.
"""

from __future__ import annotations

import json
import os
import secrets
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agents.joining.credentials import Credentials
from agents.joining.files import keep
from agents.joining.registration import Place, RegistrationRefused, Server, ServerAway, nats_address

KEY, KEYS = "registration-key", "keys.json"

TOKEN = "registrationToken"
"""What stands in the place of an access key where a registration token is the secret one."""

TAKEN_BACK = (
    "it does not take the keys that this machine was given when it joined: its agent was deactivated or removed, or this is another "
    "Corral. Activate the agent, or join anew with another --home (or without the folder of this one)"
)

PATIENCE = 30.0
"""Seconds for which the keys are waited for in one try."""
FIRST_LOOK, LONGEST_LOOK = 0.03, 0.5
"""Seconds between two looks, growing from the one to the other."""


@dataclass(frozen=True, slots=True)
class Member:
    """What a machine that has joined knows of itself."""

    number: int
    keys: Credentials


def invitation(url: str) -> tuple[str, Credentials]:
    """http://server:8080/v1/scripts/<token> -> the server, and the token. Raises RegistrationRefused."""
    base, scripts, text = url.strip().rpartition("/scripts/")
    if not scripts or text.count(":") != 2 or urlsplit(base).scheme not in ("http", "https"):
        looks = "http://server:8080/v1/scripts/<token>, as registrationUrl of a registration token shows it"
        raise RegistrationRefused(f"{url!r} is no address to join by: it looks like {looks}")
    return base.removesuffix("/v1"), Credentials(TOKEN, text)


def token_given() -> Credentials | None:
    """That of the environment, as the script of a token sets it."""
    access, secret = (os.environ.get(f"CATTLE_REGISTRATION_{each}_KEY") for each in ("ACCESS", "SECRET"))
    return Credentials(access, secret) if access and secret else None


def joined(folder: Path) -> Member | None:
    """What an earlier start of this agent was given."""
    try:
        kept = json.loads((folder / KEYS).read_text())
        return Member(int(kept["number"]), Credentials(str(kept["accessKey"]), str(kept["secretKey"])))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise RegistrationRefused(f"{folder / KEYS} can't be read: remove it, and join again with a registration token") from None


def join(url: str, folder: Path, token: Credentials, tls: ssl.SSLContext | None = None) -> Member:
    """Registers this machine, or finds the registration of an earlier try. Raises RegistrationRefused, ServerAway."""
    key = _kept_key(folder)
    server = Server(url, token, tls)
    server.create("v1/register", {"key": key}, {"key": key})  # who was faster was an earlier try of ours: the key is nobody else's
    deadline, pause = time.monotonic() + PATIENCE, FIRST_LOOK
    while not _has_keys(row := _registered(server, key)):
        if time.monotonic() > deadline:
            shown = f"its registration is {row.get('state')}" if row else "it does not show its registration"
            raise ServerAway(f"{server.base} has no keys for this machine yet: {shown}")
        time.sleep(pause)
        pause = min(LONGEST_LOOK, 2 * pause)
    number = (row.get("data") or {}).get("agentId")
    if not isinstance(number, int):
        raise RegistrationRefused(f"{server.base} says of no agent that it is this machine's: is it a Corral server?")
    keep(folder / KEYS, json.dumps({"number": number, "accessKey": row["accessKey"], "secretKey": row["secretKey"]}) + "\n")
    return Member(number, Credentials(row["accessKey"], row["secretKey"]))


def place_of(url: str, member: Member, *, created: bool, tls: ssl.SSLContext | None = None) -> Place:
    """Where a machine that has joined is to work. Raises RegistrationRefused, ServerAway."""
    server = Server(url, member.keys, tls, TAKEN_BACK)
    told = server.get("corral/info")
    return Place(member.number, nats_address(told, server.base), created, told)


def _registered(server: Server, key: str) -> dict[str, Any]:
    """{}: not to be seen yet."""
    listed = server.get("v1/register", key=key).get("data") or []
    return next((each for each in listed if each.get("key") == key and not each.get("removed")), {})


def _has_keys(row: dict[str, Any]) -> bool:
    return row.get("state") == "active" and bool(row.get("accessKey") and row.get("secretKey"))


def _kept_key(folder: Path) -> str:
    path = folder / KEY
    if not path.exists():
        keep(path, secrets.token_hex(20) + "\n")
    return path.read_text().strip()

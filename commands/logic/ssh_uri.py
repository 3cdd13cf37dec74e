"""ssh://user:password@host:22 -> where an agent's machine is, and its password, which is kept apart, as a secret. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from commands.errors import Refused

SCHEME = "ssh://"
PORT = 22

PASSWORD = "sshPassword"
"""The agent's field; nobody reads it."""


@dataclass(frozen=True, slots=True)
class SshPlace:
    """Where to log in, and as whom."""

    user: str
    host: str
    port: int = PORT

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


def is_ssh(uri: Any) -> bool:
    return isinstance(uri, str) and uri.startswith(SCHEME)


def place_of(uri: str) -> SshPlace:
    """Raises Refused."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(SCHEME), None
    if not is_ssh(uri) or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment or port == 0:
        raise Refused("InvalidFormat", "an address over ssh looks like ssh://user@host:22, or ssh://user:password@host:22", "uri")
    return SshPlace(unquote(parts.username or "") or "root", parts.hostname, port or PORT)


def without_password(fields: Mapping[str, Any]) -> dict[str, Any]:
    """An agent's fields as they are kept. A uri that comes without a password leaves the one that there was, if any. Raises Refused."""
    uri = fields.get("uri")
    if not isinstance(uri, str) or not is_ssh(uri):
        return dict(fields)
    place, password = place_of(uri), urlsplit(uri).password
    if password is None:
        return dict(fields)
    host = f"[{place.host}]" if ":" in place.host else place.host
    return {**fields, "uri": f"{SCHEME}{quote(place.user)}@{host}:{place.port}", PASSWORD: unquote(password)}

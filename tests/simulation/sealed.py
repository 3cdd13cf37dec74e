"""No secret leaves in clear: not into the log, not onto the bus; and whoever may read one can."""

from __future__ import annotations

from random import Random
from typing import Any

from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.secrets import MASK, is_sealed, replaced_in_event, secret_names, secrets_of
from commands.resource import Resource, split_stream
from commands.secrets.sealing import MasterKeys, Unreadable, unseal
from eventstore import Recorded
from eventstore.memory import MemoryStore
from tests.simulation.broken import Broken

MARK = "s3cret-of-a-simulation"
"""In every secret that clients give, and of every pair that is made."""


def a_secret(random: Random) -> str:
    return f"{MARK}-{random.randrange(10**6)}"


def told_nobody(subject: str, payload: bytes) -> None:
    """Of whatever is published."""
    if MARK.encode() in payload:
        raise Broken(f"a secret is told in clear on {subject}")


def is_kept(event: Recorded) -> None:
    """Of whatever is appended: what the catalogue calls secret is sealed."""

    def look(name: str, value: Any) -> Any:
        if value is not None and value != MASK and not is_sealed(value):
            raise Broken(f"{event.id} ({event.type}) holds its {name} in clear")
        return value

    replaced_in_event(event.data, secrets_of(CATALOGUE, split_stream(event.stream)[0]), secret_names(CATALOGUE), look)
    if MARK in str(event.data):
        raise Broken(f"{event.id} ({event.type}) holds a secret in clear")


def complaints(resources: dict[str, Resource], store: MemoryStore) -> list[str]:
    """At rest: each secret opens, and that of what is purged does not."""
    found = []
    for each in resources.values():
        secret = each.row.get("secretValue") if each.type == "credential" else None
        if secret is None:
            continue
        opens = _opens(store, each.stream, secret)
        if opens == (each.state == "purged"):
            found.append(f"{each.stream} is {each.state}, and its secret can {'still' if opens else 'not'} be read")
    return found


def _opens(store: MemoryStore, stream: str, secret: Any) -> bool:
    kept = store._keys.get(stream)
    try:
        return kept is not None and bool(unseal(MasterKeys().unwrap(stream, kept), secret))
    except Unreadable:
        return False

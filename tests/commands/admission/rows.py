"""Rows as the log tells them, for who asks by them whom to let in."""

from __future__ import annotations

import secrets
from typing import Any

import nkeys

from commands.resource import Resource
from commands.turns.fleet import Fleet


def new_seed() -> str:
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
    return seed.decode()


def row(type: str, number: int, key: str | None = None, **columns: Any) -> Resource:
    given = {"id": number, "state": "active", "removed": None, **columns}
    return Resource(type, number, version=1, position=1, row={**given, "data": {"natsKey": key} if key else {}})


def an_agent(number: int, key: str | None, **columns: Any) -> list[Resource]:
    """With its account, and that one's key."""
    account = 100 + number
    return [
        row("agent", number, key, accountId=account, **columns),
        row("account", account, kind="agent"),
        row("credential", 1000 + number, kind="agentApiKey", accountId=account),
    ]


def changed(fleet: Fleet, type: str, number: int, **columns: Any) -> None:
    """As a following event would."""
    present = fleet.get(type, number)
    assert present is not None
    data = {**present.data, **columns.pop("data", {})}
    fleet._take(Resource(type, number, present.version + 1, present.position + 1, {**present.row, **columns, "data": data}))

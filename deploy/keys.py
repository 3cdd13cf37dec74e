"""The first admin's API key: found (or made) at the start of a server that asks for keys, told, and kept in its home for the CLI there."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path

from agents.joining.credentials import Credentials
from agents.joining.files import keep
from commands.accepting.service import Actor
from commands.logic.registration_tokens import token
from commands.resource import Resource
from deploy.cli.keys import HOME_KEY
from deploy.wiring import Parts
from eventstore import CommandKey
from projections.query import Filter, Query

SECONDS = 20.0
POLL = 0.1
MOST = 1000


async def admin_key(parts: Parts) -> Credentials | None:
    """None: it is not active yet, as no engine is at work."""
    with suppress(TimeoutError):
        async with asyncio.timeout(SECONDS):
            while True:
                if (key := await _active(parts)) is not None:
                    return key
                await asyncio.sleep(POLL)
    return None


def keep_for_cli(home: Path, key: Credentials) -> None:
    keep(home / HOME_KEY, json.dumps({"access": key.access_key, "secret": key.secret_key}))


async def joining_token(parts: Parts) -> str:
    """With which a host joins, and can do nothing else. "": there is none, as somebody took it back."""
    for public, secret in await _values(parts, await _credentials(parts, "registrationToken")):
        return token(public, secret, int(parts.store.now().timestamp() * 1000))
    return ""


async def _active(parts: Parts) -> Credentials | None:
    kept = await _credentials(parts, "apiKey")
    coming = [each for each in kept if each.state in ("requested", "registering", "activating", "active")]
    if not coming:  # a cloud whose accounts get none, or whose admin took all of them back: without one it is closed for good
        key = CommandKey(str(parts.admin), "admin-key", str(max((each.id for each in kept), default=0)), 201)
        fields = {"accountId": parts.admin, "name": "made at the start"}
        await parts.commands.create("apiKey", fields, Actor(parts.admin, "corral:keys"), key)
    return next((Credentials(*values) for values in await _values(parts, coming)), None)


async def _credentials(parts: Parts, kind: str) -> list[Resource]:
    """The admin's."""
    type = parts.commands.catalogue.type("credential")
    await parts.views.wait_for(await parts.store.head(), POLL)
    owner = Filter(type.fields["accountId"], "eq", parts.admin), Filter(type.fields["kind"], "eq", kind)
    return [seen.resource for seen in await parts.views.rows(Query(type, filters=owner, limit=MOST))]


async def _values(parts: Parts, credentials: list[Resource]) -> list[tuple[str, str]]:
    """Of those that are active."""
    opened = await parts.commands.vault.opened_all([each for each in credentials if each.state == "active"])
    found = [(each.row.get("publicValue"), each.row.get("secretValue")) for each in opened]
    return [(public, secret) for public, secret in found if isinstance(public, str) and isinstance(secret, str)]

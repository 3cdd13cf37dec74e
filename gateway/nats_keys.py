"""POST /corral/nats/keys: the public half of an nkey becomes that of an agent, an external handler, or one's own account.

    {"key": "U..."}                                   an agent's own account: its agent's; an admin's or a reader's: its own
    {"key": "U...", "agentId": "1a7"}                 of an agent that one may see and change
    {"key": "U...", "externalHandlerId": "1eh3"}      of an external handler, by an admin
    {"key": null, ...}                                there is none from now on

The one before is good no more, and whoever is connected with it is cut off. The private half never comes here.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from commands.admission.holders import scope
from commands.admission.registering import register
from commands.admission.requests import check_public
from commands.catalogue.ids import number_of
from commands.catalogue.model import ResourceType
from commands.errors import Refused
from commands.resource import Resource
from commands.turns.handlers import HANDLER
from gateway.access.agents import FIELD as AGENT_FIELD
from gateway.access.agents import agent_of
from gateway.access.callers import Callers
from gateway.current import current
from gateway.html.door import check_csrf
from gateway.request import ApiRequest, read_request
from gateway.services import Services

HANDLER_FIELD = "externalHandlerId"


async def nats_key(services: Services, callers: Callers, request: Request, correlation: str) -> tuple[dict[str, Any], int]:
    """-> the document, and the position that it is in force from. Raises Refused, Conflict, and what the store and the views raise."""
    read = await read_request(request, callers, services.settings, correlation)
    check_csrf(request, read.method)
    key = _key(read)
    type, row = await _row(services, read)
    holder, caller = scope(row), read.caller
    # Who only reads has a key of their own all the same; what handlers may is what an admin gives them.
    may = {"account": row.id == caller.account, HANDLER: caller.sees_all}.get(row.type, caller.acts_on(type, row))
    if holder is None or not may:
        raise Refused("Forbidden", f"{row.name} gets no key of NATS': agents, external handlers, admins and readers do", status=403)
    if key is not None and row.removed:
        raise Refused("InvalidReference", f"{row.name} is removed: NATS lets nobody in as it", AGENT_FIELD if row.type == "agent" else None)
    outcome = await register(services.commands, row.stream, key, read.actor)
    document = {"of": row.stream, "key": key, "hears": list(holder.hears), "says": list(holder.says)}
    return document, outcome.position


def _key(request: ApiRequest) -> str | None:
    given = request.one()
    if "key" not in given:
        raise Refused("MissingRequired", "say the public half of the nkey, or null for none", "key")
    try:
        return None if given["key"] in (None, "") else check_public(str(given["key"]))
    except ValueError as error:
        raise Refused("InvalidFormat", str(error), "key") from None


async def _row(services: Services, request: ApiRequest) -> tuple[ResourceType, Resource]:
    given, caller = request.one(), request.caller
    if (asked := given.get(HANDLER_FIELD)) is not None:
        type, number = services.catalogue.type(HANDLER), number_of(str(asked), plain=request.plain_ids)
        seen = await current(services, type, number) if number is not None and caller.sees(type) else None
        if seen is None or not caller.sees_row(type, seen.resource):
            raise Refused("InvalidReference", f"there is no external handler {asked}", HANDLER_FIELD)
        return type, seen.resource
    agent = await agent_of(services, caller, given.get(AGENT_FIELD), plain=request.plain_ids)
    type = services.catalogue.type("agent" if agent is not None else "account")
    number = agent if agent is not None else caller.account
    seen = await current(services, type, number) if number is not None else None
    if seen is None:
        raise Refused("MissingRequired", "say whose key this is to be: agentId, or externalHandlerId", AGENT_FIELD)
    return type, seen.resource

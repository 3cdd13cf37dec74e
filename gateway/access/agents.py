"""For which agent somebody speaks: their account's own, or one that they name and may see."""

from __future__ import annotations

from typing import Any

from commands.catalogue.ids import number_of
from commands.errors import Refused
from gateway.access.caller import Caller
from gateway.access.kinds import AGENT
from gateway.current import current
from gateway.services import Services

FIELD = "agentId"


async def agent_of(services: Services, caller: Caller, given: Any, *, plain: bool) -> int | None:
    """`given`: what the field agentId says. None: nobody was named by who has no agent. Raises Refused, naming the field."""
    if given not in (None, ""):
        number = number_of(str(given), plain=plain)
        type = services.catalogue.type("agent")
        seen = await current(services, type, number) if number is not None else None
        if number is None or seen is None or not caller.sees_row(type, seen.resource):
            raise Refused("InvalidReference", f"there is no agent {given}", FIELD)
        return number
    if caller.kind != AGENT:
        return None
    if len(caller.agents) != 1:
        told = "your account has no agent" if not caller.agents else "your account has several agents: say for which one"
        raise Refused("MissingRequired", told, FIELD)
    return caller.agents[0]


async def own_agents(services: Services, caller: Caller) -> list[dict[str, Any]]:
    """What an agent is told of itself, whose documents show so little: its state, and those of the hosts that it brought."""
    told = []
    for number in caller.agents:
        seen = await current(services, services.catalogue.type("agent"), number)
        hosts = await services.views.get_many("host", await services.views.having(services.catalogue.type("host"), "agentId", number))
        if seen is not None:
            told.append({"id": number, "state": seen.resource.state, "hosts": [each.resource.state for each in hosts.values()]})
    return told

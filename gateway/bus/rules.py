"""Who may hear and say what. Of Cattle's rules, with one more: who speaks for an agent speaks for that one alone.

    admin, superadmin, readAdmin                names as given; with agentId: `;agent=<that one>`, told without it
    an agent's account                          `;agent=<its own>`, told without it
    everybody else                              `;account=<own>`, told without it
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from commands.catalogue.ids import number_of
from commands.errors import Refused
from gateway.access.caller import Caller
from gateway.bus import names
from gateway.current import current
from gateway.services import Services
from projections.query import Filter, Query

RAW = frozenset({"admin", "superadmin", "readAdmin"})
READS_ONLY = "readAdmin"
AGENT = "agent"

SILENT_KINDS = frozenset({"register", "agentRegister", "test", "system", "service"})
"""Accounts that have no API to subscribe with."""

MOST_NAMES = 500
ANSWERS = re.compile(r"reply\..+")
"""What accounts publish that are not admins'."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a subscriber hears."""

    names: tuple[str, ...]
    stripped: bool


def plain_ids(caller: Caller, asked: bool) -> bool:
    """An agent's account knows numbers alone."""
    return asked or caller.kind == AGENT


async def wanted(services: Services, caller: Caller, fields: Mapping[str, Any]) -> Wanted:
    """Raises Refused, naming the field that is wrong."""
    given = _names(fields.get("eventNames"))
    if caller.kind in SILENT_KINDS:
        raise Refused("Forbidden", f"an account of kind {caller.kind} subscribes to nothing", status=403)
    agent = await _agent(services, caller, fields.get("agentId"))
    if agent is not None:
        return _qualified(given, f";agent={agent}")
    if caller.kind in RAW:
        return Wanted(given, stripped=False)
    return _qualified(given, f";account={caller.account or 0}")


async def check_publish(services: Services, caller: Caller, name: str) -> None:
    """Raises Refused for who may not publish this."""
    if caller.kind == READS_ONLY or caller.kind in SILENT_KINDS:
        raise Refused("Forbidden", f"an account of kind {caller.kind} publishes nothing", status=403)
    if caller.kind in RAW:
        return
    if not ANSWERS.fullmatch(name):
        raise Refused("Forbidden", "you may publish answers alone, whose names begin with reply: take the event's replyTo", "name", 403)
    answer = names.read_answer_name(name)
    if answer is None:
        return
    if answer.agent is None or caller.kind != AGENT or answer.agent not in await agents_of(services, caller):
        raise Refused("Forbidden", f"{name} is not yours to answer: an agent's account answers for its own agent alone", "name", 403)


async def agents_of(services: Services, caller: Caller) -> list[int]:
    """The agents of an account."""
    type = services.catalogue.type("agent")
    owner = Filter(type.fields["accountId"], "eq", caller.account)
    found = await services.views.rows(Query(type, filters=(owner,), limit=20))
    return [seen.resource.id for seen in found if not seen.resource.removed]


async def _agent(services: Services, caller: Caller, given: Any) -> int | None:
    """The agent that it hears for, where it does."""
    if caller.kind not in RAW and caller.kind != AGENT:
        return None
    if given not in (None, ""):
        number = number_of(str(given), plain=True)
        type = services.catalogue.type("agent")
        seen = await current(services, type, number) if number is not None else None
        if number is None or seen is None or not caller.sees_row(type, seen.resource):
            raise Refused("InvalidReference", f"there is no agent {given}", "agentId")
        return number
    if caller.kind != AGENT:
        return None
    own = await agents_of(services, caller)
    if len(own) != 1:
        told = "your account has no agent" if not own else "your account has several agents: say for which one"
        raise Refused("MissingRequired", told, "agentId")
    return own[0]


def _names(given: Any) -> tuple[str, ...]:
    found = [given] if isinstance(given, str) else given
    if not found:
        raise Refused("MissingRequired", "say which events are to be heard, e.g. eventNames=resource.change", "eventNames")
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise Refused("InvalidFormat", "eventNames is a list of names, e.g. resource.change", "eventNames")
    if len(found) > MOST_NAMES:
        raise Refused("MaxLengthExceeded", f"at most {MOST_NAMES} names at once: `*` stands for any text", "eventNames")
    for name in found:
        if len(name) > names.LONGEST:
            raise Refused("MaxLengthExceeded", f"an event's name has at most {names.LONGEST} characters", "eventNames")
        if not names.CHARACTERS.fullmatch(name):
            raise Refused("InvalidCharacters", f"{name!r} is no event's name: letters, digits and * . _ - ; = are", "eventNames")
    return tuple(dict.fromkeys(found))


def _qualified(given: tuple[str, ...], qualifier: str) -> Wanted:
    """What somebody qualifies a name with is not for them to say."""
    mine = (names.plain(each) for each in given)
    return Wanted(tuple(dict.fromkeys(each + qualifier for each in mine if each)), stripped=True)

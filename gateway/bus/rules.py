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

from commands.errors import Refused
from gateway.access.agents import agent_of
from gateway.access.caller import Caller
from gateway.access.kinds import AGENT
from gateway.bus import names
from gateway.services import Services

MOST_NAMES = 500
ANSWERS = re.compile(r"reply\..+")
"""What accounts publish that are not admins'."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a subscriber hears."""

    names: tuple[str, ...]
    stripped: bool


async def wanted(services: Services, caller: Caller, fields: Mapping[str, Any]) -> Wanted:
    """Raises Refused, naming the field that is wrong."""
    given = _names(fields.get("eventNames"))
    if not _may_hear(services, caller):
        raise Refused("Forbidden", f"an account of kind {caller.kind} subscribes to nothing", status=403)
    if caller.of_kind.raw or caller.kind == AGENT:
        agent = await agent_of(services, caller, fields.get("agentId"), plain=True)
        return Wanted(given, stripped=False) if agent is None else _qualified(given, f";agent={agent}")
    return _qualified(given, f";account={caller.account or 0}")


def check_publish(services: Services, caller: Caller, name: str) -> None:
    """Raises Refused for who may not publish this."""
    if caller.of_kind.reads_only or not _may_hear(services, caller):
        raise Refused("Forbidden", f"an account of kind {caller.kind} publishes nothing", status=403)
    if caller.of_kind.raw:
        return
    if not ANSWERS.fullmatch(name):
        raise Refused("Forbidden", "you may publish answers alone, whose names begin with reply: take the event's replyTo", "name", 403)
    answer = names.read_answer_name(name)
    if answer is None:
        return
    if answer.agent is None or answer.agent not in caller.agents:
        raise Refused("Forbidden", f"{name} is not yours to answer: an agent's account answers for its own agent alone", "name", 403)


def _may_hear(services: Services, caller: Caller) -> bool:
    return caller.sees(services.catalogue.type("subscribe"))


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

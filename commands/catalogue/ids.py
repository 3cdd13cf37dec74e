"""The API's ids: 1i54 is number 54 of a type whose prefix is 1i. The gateway and the CLI write and read them."""

from __future__ import annotations

import re

from commands.catalogue.catalogue import Catalogue
from commands.catalogue.tasks import BY_NAME, BY_NUMBER, TASK

_ID = re.compile(r"1[a-z]+!?([0-9]{1,18})", re.IGNORECASE)
_NAMED = re.compile(r"1[a-z]+!(.+)", re.IGNORECASE)
_PLAIN = re.compile(r"[0-9]{1,18}")


def prefix_of(type_name: str, catalogue: Catalogue) -> str:
    """A type's own prefix; for one that the catalogue doesn't have, what Cattle would make of its name (agentGroup -> 1ag)."""
    known = catalogue.types.get(type_name)
    return known.prefix if known else "1" + (type_name[:1] + "".join(c for c in type_name[1:] if c.isupper())).lower()


def api_id(type_name: str, number: int | str, catalogue: Catalogue) -> str:
    if type_name == TASK and number in BY_NUMBER:
        return f"{prefix_of(type_name, catalogue)}!{BY_NUMBER[int(number)].name}"
    return f"{prefix_of(type_name, catalogue)}{number}"


def number_of(text: str, *, plain: bool = False) -> int | None:
    """The number an id names, or None. The prefix's letters are not compared with any type; just digits are an id only when `plain`.

    A task is named: 1t!agent.ping.
    """
    found = _ID.fullmatch(text)
    if found:
        return int(found[1])
    if (name := named(text)) is not None and (task := BY_NAME.get(name.lower())):
        return task.number
    return int(text) if plain and _PLAIN.fullmatch(text) else None


def named(text: str) -> str | None:
    """The name in an id of what has no number: 1as!engine.turns."""
    found = _NAMED.fullmatch(text)
    return found[1] if found else None

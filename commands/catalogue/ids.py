"""The API's ids: 1i54 is number 54 of a type whose prefix is 1i. The gateway and the CLI write and read them."""

from __future__ import annotations

import re

from commands.catalogue.model import Catalogue

_ID = re.compile(r"1[a-z]+!?([0-9]{1,18})", re.IGNORECASE)
_PLAIN = re.compile(r"[0-9]{1,18}")


def prefix_of(type_name: str, catalogue: Catalogue) -> str:
    """A type's own prefix; for one that the catalogue doesn't have, what Cattle would make of its name (agentGroup -> 1ag)."""
    known = catalogue.types.get(type_name)
    return known.prefix if known else "1" + (type_name[:1] + "".join(c for c in type_name[1:] if c.isupper())).lower()


def api_id(type_name: str, number: int | str, catalogue: Catalogue) -> str:
    return f"{prefix_of(type_name, catalogue)}{number}"


def number_of(text: str, *, plain: bool = False) -> int | None:
    """The number an id names, or None. The prefix's letters are not compared with any type; just digits are an id only when `plain`."""
    found = _ID.fullmatch(text)
    if found:
        return int(found[1])
    return int(text) if plain and _PLAIN.fullmatch(text) else None

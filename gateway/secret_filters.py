"""Filters on secrets, which SQL sees sealed only: what the other filters leave is opened and compared here, as SQL would compare it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from commands.vault import Vault
from projections.query import Filter
from projections.rows import Seen


def needs_opening(filter: Filter) -> bool:
    """Whether there is a value at all, SQL can tell by itself."""
    return filter.field.secret and filter.modifier not in ("null", "notnull")


async def matching(rows: Sequence[Seen], filters: Sequence[Filter], vault: Vault) -> list[Seen]:
    """The rows whose secrets fit all of these."""
    opened = await vault.opened_all([seen.resource for seen in rows])
    return [seen for seen, row in zip(rows, opened, strict=True) if all(fits(row.get(each.field.name), each) for each in filters)]


def fits(value: object, filter: Filter) -> bool:
    """Whether a text fits a filter of text, as SQL has it."""
    if not isinstance(value, str):
        return False  # null fits no comparison
    match filter.modifier:
        case "eq":
            return value == str(filter.value)
        case "ne":
            return value != str(filter.value)
        case "prefix":
            return value.startswith(str(filter.value))
        case "like":
            return _pattern(str(filter.value)).fullmatch(value) is not None
        case "notlike":
            return _pattern(str(filter.value)).fullmatch(value) is None
    raise ValueError(f"{filter.modifier} is not a modifier of a secret's filter")


def _pattern(like: str) -> re.Pattern[str]:
    """% any text, _ any character, a backslash takes the next one as it is."""
    parts = re.findall(r"\\(.)|([%_])|([^\\])", like, re.DOTALL)
    words = {"%": ".*", "_": "."}
    return re.compile("".join(words[wild] if wild else re.escape(escaped or plain) for escaped, wild, plain in parts), re.DOTALL)

"""Filters on secrets, which SQL sees sealed only: what the other filters leave is opened and compared here, as SQL would compare it."""

from __future__ import annotations

from collections.abc import Sequence

from commands.secrets.passwords import HASHED
from commands.secrets.vault import Vault
from projections.query import Filter
from projections.rows import Seen
from projections.selection import fits


def needs_opening(filter: Filter) -> bool:
    """Whether there is a value at all, SQL can tell by itself."""
    return filter.field.secret and filter.modifier not in ("null", "notnull")


async def matching(rows: Sequence[Seen], filters: Sequence[Filter], vault: Vault) -> list[Seen]:
    """The rows whose secrets fit all of these. A hash is nobody's to read, nor to guess letter by letter: it fits none."""
    rows = [seen for seen in rows if seen.resource.kind not in HASHED]
    opened = await vault.opened_all([seen.resource for seen in rows])
    return [seen for seen, row in zip(rows, opened, strict=True) if all(fits(row.get(each.field.name), each) for each in filters)]

"""New ids for a turn, which cannot wait: a small stock, refilled between turns when one ran out."""

from __future__ import annotations

import asyncio

from commands.turns.turn import NeedIds
from eventstore import Store

MOST = 64
"""Ids in stock at most; those left in it at the end are never given to anybody."""

QUIET = 1.0
"""Seconds without need after which the stock is small again."""


class Ids:
    """take() for the turn, then keep() once it is appended, or give_back() when it is taken again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stock: dict[str, list[int]] = {}
        self._taken: list[tuple[str, int]] = []
        self._wanted: dict[str, int] = {}
        self._refilled = 0.0

    def take(self, category: str) -> int:
        stock = self._stock.get(category)
        if not stock:
            raise NeedIds(category)
        number = stock.pop(0)
        self._taken.append((category, number))
        return number

    def keep(self) -> None:
        self._taken.clear()

    def give_back(self) -> None:
        for category, number in reversed(self._taken):
            self._stock[category].insert(0, number)
        self._taken.clear()

    async def refill(self, category: str) -> None:
        """Gets more ids of the category, and of every other that ran out, so that the turn is not interrupted for each."""
        now = asyncio.get_running_loop().time()
        busy = now - self._refilled < QUIET
        self._refilled = now
        self._wanted.setdefault(category, 1)
        for name in [name for name in self._wanted if name == category or not self._stock.get(name)]:
            self._wanted[name] = min(MOST, self._wanted[name] * 2) if busy and name in self._stock else 1
            self._stock.setdefault(name, []).extend(await self._store.ids(name, self._wanted[name]))

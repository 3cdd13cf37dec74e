"""Who wants which name: found by the name, not by asking everybody. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from gateway.bus.names import matches

T = TypeVar("T")

_Place = tuple[str, str]


class Index(Generic[T]):
    """Names without a star are looked up whole; those with one by their qualifier and by what stands before the star."""

    def __init__(self) -> None:
        self._whole: dict[str, dict[T, None]] = {}
        self._starred: dict[_Place, dict[str, dict[T, None]]] = {}
        self._lengths: Counter[int] = Counter()
        """Of what stands before stars -> how many places have that length."""

    def __bool__(self) -> bool:
        return bool(self._whole or self._starred)

    def add(self, wanted: Iterable[str], who: T) -> None:
        for name in wanted:
            if "*" not in name:
                self._whole.setdefault(name, {})[who] = None
                continue
            place = _place(name)
            if place not in self._starred:
                self._lengths[len(place[1])] += 1
            self._starred.setdefault(place, {}).setdefault(name, {})[who] = None

    def remove(self, wanted: Iterable[str], who: T) -> None:
        for name in wanted:
            if "*" not in name:
                _take(self._whole, name, who)
                continue
            place = _place(name)
            if (here := self._starred.get(place)) is None:
                continue
            _take(here, name, who)
            if not here:
                del self._starred[place]
                self._lengths[len(place[1])] -= 1
                self._lengths += Counter()  # those of which there is none are gone

    def find(self, name: str) -> list[T]:
        """Each once, whatever number of its names fits."""
        found = dict(self._whole.get(name, {}))
        for starred, who in self._near(name):
            if matches(starred, name):
                found.update(who)
        return list(found)

    def _near(self, name: str) -> Iterator[tuple[str, dict[T, None]]]:
        if not self._starred:
            return
        for qualifier in {_qualifier(name), ""}:
            for length in self._lengths:
                if length <= len(name):
                    yield from self._starred.get((qualifier, name[:length]), {}).items()


def _place(starred: str) -> _Place:
    qualifier = _qualifier(starred)
    return ("" if "*" in qualifier else qualifier, starred.partition("*")[0])


def _qualifier(name: str) -> str:
    _, separator, last = name.rpartition(";")
    return separator and separator + last


def _take(place: dict[str, dict[T, None]], name: str, who: T) -> None:
    if (here := place.get(name)) is not None:
        here.pop(who, None)
        if not here:
            del place[name]

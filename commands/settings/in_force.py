"""Which settings are in force: of all that give a value to a name, the strongest does. What operators change over HTTP counts at once.

    environment > command line > files > rows of the log (the only ones that change while servers run) > defaults

Everything that goes by a setting reads it here each time, so that a change needs no restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from commands.settings.settings import DEFAULTS, BadValue, check_order, disordered, read_value, shown

log = structlog.get_logger("corral.settings")

ENVIRONMENT, COMMAND_LINE, DATABASE, PACKAGED = "Environment Variables", "System Properties", "Database", "Code Packaged Defaults"
"""The names of sources, as Cattle shows them. A file's is its own."""


@dataclass(frozen=True, slots=True)
class Source:
    """What one place says, read once at the start."""

    name: str
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """A setting of the log: /v1/settings/1s<id>."""

    id: int
    name: str
    text: str | None


@dataclass(frozen=True, slots=True)
class Active:
    """A setting as it is in force. `rows`: what the log has under its name, which may be in force or not."""

    name: str
    value: Any
    source: str | None
    """None: nobody gives it a value that counts."""
    rows: tuple[Row, ...] = ()


class Settings(Mapping[str, Any]):
    """Name -> value, of all that have one. One of these is shared by all parts of a process."""

    def __init__(self, sources: Sequence[Source] = (), defaults: Mapping[str, Any] = {}) -> None:
        """`sources`: the strongest first. `defaults`: those that are others in this process. Raises BadValue, which names the source."""
        self._defaults = {**DEFAULTS, **defaults}
        self._sources = tuple(sources)
        self._rows: tuple[Row, ...] = ()
        self._values: dict[str, Any] = {}
        self._from: dict[str, str] = {}
        self._given: dict[str, tuple[str, Any]] = {}
        """Name -> source and value of what is stronger than the log."""
        for source in reversed(self._sources):
            for name, text in source.texts.items():
                try:
                    self._given[name] = source.name, read_value(name, text)
                except BadValue as bad:
                    raise BadValue(f"{source.name}: {bad}", bad.code) from None
        self._choose(())
        check_order(self._values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def take(self, rows: Iterable[Row]) -> bool:
        """These are the log's rows now. -> whether anything in force is another than before"""
        ordered = tuple(sorted(rows, key=lambda row: row.id))
        if ordered == self._rows:
            return False
        before = self._values
        self._choose(ordered)
        return self._values != before

    def check(self, name: str, text: str) -> None:
        """Whether a row may say so, whatever is in force now. Raises BadValue."""
        check_order({**self._values, name: read_value(name, text)})

    def active(self) -> list[Active]:
        """Everything that has a value, or a row, by name."""
        rows: dict[str, list[Row]] = {}
        for row in self._rows:
            rows.setdefault(row.name, []).append(row)
        return [
            Active(name, self._values.get(name), self._from.get(name), tuple(rows.get(name, ())))
            for name in sorted({*self._values, *rows})
        ]

    def _choose(self, rows: tuple[Row, ...]) -> None:
        """The newest row of a name counts. One with a value that today's Corral has no use for is passed over."""
        values, sources = dict(self._defaults), dict.fromkeys(self._defaults, PACKAGED)
        for row in rows:
            if row.text is None:
                continue
            try:
                values[row.name] = read_value(row.name, row.text)
                sources[row.name] = DATABASE
            except BadValue as bad:
                log.warning("A stored setting is passed over", action="setting-unusable", setting=row.name, error=str(bad))
        for name, (source, value) in self._given.items():
            values[name], sources[name] = value, source
        if (pair := disordered(values)) and DATABASE in (sources[pair[0]], sources[pair[1]]):
            log.warning("Two stored settings contradict each other, and are passed over", action="setting-unusable", settings=pair)
            for name in pair:
                if sources[name] == DATABASE:
                    values[name], sources[name] = self._defaults[name], PACKAGED
        self._rows, self._values, self._from = rows, values, sources


def text_of(active: Active) -> str | None:
    """Its value as it is written; None: it has none."""
    return None if active.source is None else shown(active.value)

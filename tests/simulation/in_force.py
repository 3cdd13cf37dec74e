"""Which external handlers are in force, as the log tells: a process has those that were when it began, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from commands import events
from commands.resource import ACTIVE, Open, Resource
from commands.turns.handlers import HANDLER, MAP, PROCESS, ROWS, phase_and_process
from eventstore import Recorded
from tests.simulation.broken import Broken

Place = tuple[int, str, str]
"""A handler, and the phase and process that it takes part in."""


@dataclass(slots=True)
class Reign:
    """While a handler is in force at a place."""

    since: int
    until: int | None = None


class InForce:
    """Folds the handlers' rows as the log grows, by itself."""

    def __init__(self, resources: Mapping[str, Resource]) -> None:
        self._resources = resources
        self._active: dict[str, int] = {}
        """Rows of handlers that are active -> since when."""
        self._reigns: dict[Place, list[Reign]] = {}

    def take(self, event: Recorded) -> None:
        """After the event is folded."""
        row = self._resources[event.stream]
        if row.type not in ROWS:
            return
        if row.state in ACTIVE and not row.removed:
            self._active.setdefault(row.stream, event.position)
        else:
            self._active.pop(row.stream, None)
        present = self._present()
        for place, reigns in self._reigns.items():
            if reigns[-1].until is None and place not in present:
                reigns[-1].until = event.position
        for place in present:
            reigns = self._reigns.setdefault(place, [])
            if not reigns or reigns[-1].until is not None:
                reigns.append(Reign(event.position))

    def _present(self) -> set[Place]:
        found: set[Place] = set()
        for stream in self._active:
            each = self._resources[stream]
            if each.type == MAP:
                handler, process = f"{HANDLER}-{each.row['externalHandlerId']}", f"{PROCESS}-{each.row['externalHandlerProcessId']}"
                if handler in self._active and process in self._active:
                    phase, name = phase_and_process(str(self._resources[process].row["name"]))
                    found.add((each.row["externalHandlerId"], phase, name))
        return found

    # --- what a process does about them ---

    def asked(self, event: Recorded, bracket: Open, begun: int) -> None:
        """A handler is asked, in a process whose tree began at `begun` (0: in this very append)."""
        number = event.data["handler"]
        phase, process = phase_and_process(event.data["command"].partition(";handler=")[0])
        reigns = self._reigns.get((number, phase, process), [])
        if begun and not any(each.since <= begun and (each.until is None or each.until > begun) for each in reigns):
            raise Broken(f"{event.id} asks handler {number} for {phase} of {process}, begun at {begun}, when it was in force at {reigns}")

    def ended(self, event: Recorded, bracket: Open, begun: int) -> None:
        """A process succeeded: all that were in force since it began were asked. (In the place of the built-in logic one may be enough.)"""
        if event.type != events.PROCESS_SUCCEEDED or not begun:
            return
        asked = {(each.handler, phase_and_process(each.command.partition(";handler=")[0])[0]) for each in bracket.asked.values()}
        for (number, phase, process), reigns in self._reigns.items():
            if process != bracket.process or phase == "handlers" or reigns[-1].until is not None:
                continue
            if reigns[-1].since <= begun and (number, phase) not in asked:
                raise Broken(f"{event.id} ends {process}, begun at {begun}, without handler {number}, in force since {reigns[-1].since}")

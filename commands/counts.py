"""What an engine counts of its work, for whoever shows it. Counting decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from commands import events
from eventstore import Recorded
from eventstore.counts import LONG_SECONDS, Distribution

OUTCOMES: Mapping[str, str] = {
    events.TRANSITIONED: "succeeded",
    events.PROCESS_SUCCEEDED: "succeeded",
    events.PROCESS_FAILED: "failed",
    events.PROCESS_CANCELLED: "cancelled",
}
"""How a process ended -> what that is called."""

HANDLER = "handler"
"""What the questions to external handlers are counted as: their names are their owners' to choose."""


HANDLERS = ";handler="
"""What an external handler's name follows in what it is asked."""


@dataclass(slots=True)
class Counts:
    """Of one engine, since it began."""

    turns: Distribution = field(default_factory=Distribution)
    """Seconds from a turn's beginning until what it decided was in the log, and sent."""
    turns_failed: int = 0
    begun: Counter[str] = field(default_factory=Counter)
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(process, outcome) -> how often. One that hands over to another (instance.create to instance.start) ends as that."""
    sent: Counter[str] = field(default_factory=Counter)
    """Command, or HANDLER -> how often one was sent for the first time."""
    calls: Counter[str] = field(default_factory=Counter)
    """External handler -> how often it was asked for the first time."""
    sent_again: Counter[str] = field(default_factory=Counter)
    answers: dict[str, Distribution] = field(default_factory=dict)
    """Command, or HANDLER -> seconds from its first sending to its answer."""

    def saw(self, event: Recorded) -> None:
        """An event of a root that is this engine's."""
        if event.type == events.PROCESS_STARTED:
            self.begun[event.data["process"]] += 1
        elif (outcome := OUTCOMES.get(event.type)) is not None:
            process = event.data["process"]
            self.ended[process, outcome] += 1
            if event.type == events.TRANSITIONED:
                self.begun[process] += 1

    def asked(self, command: str, *, again: bool = False) -> None:
        name, _, handler = command.partition(HANDLERS)
        kind = HANDLER if handler else name
        if again:
            self.sent_again[kind] += 1
            return
        self.sent[kind] += 1
        if handler:
            self.calls[handler] += 1

    def answered(self, command: str, seconds: float) -> None:
        kind = HANDLER if HANDLERS in command else command
        self.answers.setdefault(kind, Distribution(LONG_SECONDS)).add(seconds)

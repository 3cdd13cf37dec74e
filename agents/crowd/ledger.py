"""One ledger on disk for all agents of a crowd: each has a part of it, and takes it for its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from agents.process.ledger import Arrival, Behind, Ledger, Verdict


class Part(Ledger):
    """What one agent notes, in a ledger that is opened and closed by whoever shares it out."""

    def __init__(self, whole: Ledger, owner: str) -> None:
        super().__init__(whole.folder)
        self._whole, self._prefix = whole, f"{owner}: "

    def open(self) -> None: ...

    def close(self) -> None: ...

    def accept(self, arrivals: Sequence[Arrival]) -> list[Verdict]:
        return [self._plain(each) for each in self._whole.accept([self._marked(each) for each in arrivals])]

    def answer(self, replies: Mapping[str, bytes]) -> None:
        self._whole.answer(replies)

    def learn(self, epochs: Mapping[str, int]) -> None:
        self._whole.learn({self._prefix + subject: epoch for subject, epoch in epochs.items()})

    def newest(self, subject: str) -> int:
        return self._whole.newest(self._prefix + subject)

    def fact(self, name: str) -> str | None:
        return self._whole.fact(self._prefix + name)

    def remember(self, name: str, value: str) -> None:
        self._whole.remember(self._prefix + name, value)

    def _marked(self, arrival: Arrival) -> Arrival:
        def mine(subjects: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(self._prefix + each for each in subjects)

        return replace(arrival, guarded=mine(arrival.guarded), heeded=mine(arrival.heeded), outdates=mine(arrival.outdates))

    def _plain(self, verdict: Verdict) -> Verdict:
        return replace(verdict, subject=verdict.subject.removeprefix(self._prefix)) if isinstance(verdict, Behind) else verdict

"""The engine's cache: the resources of the roots at work, folded; filled by one query, kept live by what is appended and followed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

import structlog

from commands import events
from commands.resource import Resource, empty, evolve
from commands.snapshots import thawed
from commands.trace import NO_TIES
from eventstore import Recorded, Resumed

MOST = 4096
"""Roots kept; the least recently used goes first, and is loaded again when it is needed."""

Folded = dict[str, Resource]


class Roots:
    """Root -> its resources by stream. Versions tell whether an event is news, so each may come twice."""

    def __init__(self) -> None:
        self._roots: OrderedDict[str, Folded] = OrderedDict()
        self._awaited: dict[str, list[Recorded]] = {}
        """Root that is being read -> what was followed since: it may be missing in what is read."""
        self._asked: dict[str, dict[str, Folded]] = {}
        """Root -> command without an answer -> the root as it was then: what its payload is built from when it is sent."""

    def __contains__(self, root: str) -> bool:
        return root in self._roots

    def get(self, root: str) -> Folded | None:
        found = self._roots.get(root)
        if found is not None:
            self._roots.move_to_end(root)
        return found

    def put(self, root: str, folded: Folded, asked: dict[str, Folded] | None = None) -> Folded:
        """All of a root, as it was read, and when its unanswered commands were asked (see as_asked). What is known already is kept: it
        is at least as new."""
        since = self._awaited.pop(root, ())
        if (known := self._roots.get(root)) is not None:
            return known
        self._roots[root] = folded
        if asked:
            self._asked[root] = asked
        for event in since:
            _take(folded, event)
        while len(self._roots) > MOST:
            self._asked.pop(self._roots.popitem(last=False)[0], None)
        return folded

    def when_asked(self, root: str, ask: str) -> Folded | None:
        """The root as it was at the request of a command that had no answer when the root was read, or that was kept; told once."""
        return self._asked.get(root, {}).pop(ask, None)

    def keep_asked(self, root: str, asks: Iterable[str]) -> None:
        """These were asked by the root's last turn, and are to be sent later, with the payload that they would have now."""
        if (folded := self._roots.get(root)) is not None:
            as_it_is = dict(folded)
            self._asked.setdefault(root, {}).update((ask, as_it_is) for ask in asks)

    def expect(self, root: str) -> None:
        """The root is about to be read: what is followed until it is `put` counts, too."""
        self._awaited.setdefault(root, [])

    def expected(self, root: str) -> None:
        """It was read, or could not be."""
        self._awaited.pop(root, None)

    def at_work(self, root: str) -> bool:
        """Whether it is known, and has something under way (which its wake-ups take further)."""
        return any(each.open or each.undoing or each.asides for each in self._roots.get(root, {}).values())

    def parked(self, root: str) -> bool:
        """Whether something in it waits for people."""
        return any(bracket.parked for each in self._roots.get(root, {}).values() for bracket in each.open.values())

    def count_parked(self) -> int:
        return sum(map(self.parked, self._roots))

    def begin(self, root: str) -> None:
        """A root whose very first event follows: nothing need be read to know it whole."""
        if root not in self._roots:
            self.put(root, {})

    def follow(self, event: Recorded) -> bool:
        """Takes in an event of the log; False where it is known already. One that skips others makes the root forgotten."""
        folded = self._roots.get(event.root)
        if folded is None:
            if event.root in self._awaited:
                self._awaited[event.root].append(event)
            return True
        present = folded.get(event.stream) or empty(event.stream)
        if event.version <= present.version:
            return False
        if not _take(folded, event):
            self.forget(event.root)
        return True

    def forget(self, root: str) -> None:
        self._roots.pop(root, None)
        self._asked.pop(root, None)

    def forget_all(self, which: Callable[[str], bool]) -> None:
        for root in [root for root in self._roots if which(root)]:
            self.forget(root)


def tell_of(root: str, folded: Folded) -> None:
    """What this task logs from here on is about the root, and the request that led to what is under way in it."""
    brackets = [*folded[root].open.values()] if root in folded else []
    brackets = brackets or [bracket for each in folded.values() for bracket in each.open.values()]
    ties = brackets[0].ties if brackets else NO_TIES
    trace = ties.trace.trace_id if ties.trace is not None else None
    structlog.contextvars.bind_contextvars(root=root, correlation=ties.correlation, trace=trace)


def as_asked(read: Resumed) -> tuple[Folded, dict[str, Folded]]:
    """What was read of a root -> its resources, and those as they were when each command was asked that has no answer.

    Of one that was asked before a snapshot of another stream was taken that is not known here: the snapshot tells what came later.
    """
    resources: Folded = {each.stream: thawed(each) for each in read.snapshots}
    told_later = max((each.position for each in read.snapshots), default=0)
    asked: dict[str, Folded] = {}
    for event in read.events:
        resources[event.stream] = evolve(resources.get(event.stream) or empty(event.stream), event)
        if event.type == events.STEP_REQUESTED and event.position > told_later:
            asked[event.data["id"]] = dict(resources)  # resources are values: this copies no more than their names
        elif event.type in (events.STEP_SUCCEEDED, events.STEP_FAILED):
            asked.pop(event.data["id"], None)
    return resources, asked


def _take(folded: Folded, event: Recorded) -> bool:
    """Folds the stream's next event in; False where it is another."""
    present = folded.get(event.stream) or empty(event.stream)
    if event.version == present.version + 1:
        folded[event.stream] = evolve(present, event)
        return True
    return False

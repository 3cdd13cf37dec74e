"""The engine's agenda: which roots have something to take in, in what order they take turns, and how many are at work at once.

    add -> (room among those at work?) -> ready -> taken: running -> done: at work while it waits for an answer
              `-> queued, the first come first ^                        |-> parked, or waiting for another root: no longer at work,
                                                                        |   and before all that came later when it goes on
                                                                        `-> nothing under way: gone
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from commands.turns.intake import Answer, Triggers


@dataclass(slots=True)
class _News:
    """What a root has to take in with its next turn."""

    cause: str = ""
    answers: list[Answer] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    unsendable: dict[str, str] = field(default_factory=dict)
    progress: dict[str, tuple[int | None, str | None]] = field(default_factory=dict)

    def triggers(self) -> Triggers:
        return Triggers(
            self.cause, tuple(self.answers), dict(self.failed), frozenset(self.silent), dict(self.unsendable), dict(self.progress)
        )  # fmt: skip


class Agenda:
    """A root takes one turn at a time, and each turn takes in all that came since the one before."""

    def __init__(self, most: Callable[[], int], shared: Callable[[str], bool]) -> None:
        """`most()` roots are at work at once. `shared`: those that many others wait for, and that therefore never wait themselves."""
        self._most, self._shared = most, shared
        self._news: dict[str, _News] = {}
        self._ready: deque[str] = deque()
        self._queue: list[tuple[int, str]] = []
        self._queued: set[str] = set()
        self._at_work: set[str] = set()
        self._places: dict[str, int] = {}
        """Root -> its place in the order in which they came, kept until nothing is under way in it."""
        self._next_place = itertools.count()
        self.running: set[str] = set()
        self.moved = asyncio.Event()
        """Set whenever a turn is over, or what waits is no more."""

    @property
    def at_work(self) -> int:
        return len(self._at_work)

    @property
    def queued(self) -> int:
        return len(self._queued)

    def add(
        self, root: str, *, cause: str = "", answer: Answer | None = None, failed: tuple[str, str] | None = None, silent: str | None = None,
        unsendable: tuple[str, str] | None = None, progress: tuple[str, int | None, str | None] | None = None,
    ) -> None:  # fmt: skip
        """The root is to take a turn soon: once, however often this is called before it does."""
        is_known = root in self._news
        news = self._news.setdefault(root, _News())
        news.cause = cause or news.cause
        if answer is not None:
            news.answers.append(answer)
        if failed is not None:
            news.failed[failed[0]] = failed[1]
        if silent is not None:
            news.silent.add(silent)
        if unsendable is not None:
            news.unsendable[unsendable[0]] = unsendable[1]
        if progress is not None:
            news.progress[progress[0]] = progress[1:]
        if root in self.running:
            return  # it goes on right after this turn
        # It was at work before: what it asked for must not wait.
        urgent = any(each is not None for each in (answer, silent, unsendable, progress))
        if root in self._queued and urgent:
            self._queued.discard(root)
        elif is_known:
            return
        if self._shared(root):
            self._ready.append(root)
        elif urgent or root in self._at_work or len(self._at_work) < self._most():
            self._begin(root)
        else:
            self._queued.add(root)
            heapq.heappush(self._queue, (self._place(root), root))

    def is_next(self, root: str) -> bool:
        """Whether its turn is under way, or to come without waiting for room among those at work."""
        return root in self.running or (root in self._news and root not in self._queued)

    def take(self) -> tuple[str, Triggers] | None:
        """The next root's turn; None: nobody is ready. Its taker says when it is `done`."""
        while self._ready:
            root = self._ready.popleft()
            if root not in self.running and (news := self._news.pop(root, None)) is not None:
                self.running.add(root)
                return root, news.triggers()
        return None

    def done(self, root: str, *, under_way: bool, waits: bool = False) -> None:
        """Its turn is over. `under_way`: whether it has an end to come to yet. `waits`: for people, or for what is another root's to do:
        it makes room then, so that whatever it waits for finds some."""
        self.running.discard(root)
        self.moved.set()
        if root in self._news:
            self._ready.append(root)
        elif not under_way or waits:
            self._at_work.discard(root)
        if not under_way and root not in self._news:
            self._places.pop(root, None)
        self.admit()

    def forget(self, which: Callable[[str], bool]) -> None:
        """These are another engine's now. Those that run end by themselves."""
        self._news = {root: news for root, news in self._news.items() if not which(root)}
        self._places = {root: place for root, place in self._places.items() if not which(root)}
        self._queued = {root for root in self._queued if not which(root)}
        self._queue = [(place, root) for place, root in self._queue if not which(root)]
        heapq.heapify(self._queue)
        self._ready = deque(root for root in self._ready if not which(root))
        self._at_work = {root for root in self._at_work if not which(root)}
        self.moved.set()
        self.admit()

    def admit(self) -> None:
        """Those that wait begin, as far as there is room."""
        while self._queue and len(self._at_work) < self._most():
            _, root = heapq.heappop(self._queue)
            if root in self._queued:  # else it was promoted meanwhile
                self._queued.discard(root)
                self._begin(root)

    def _place(self, root: str) -> int:
        place = self._places.get(root)
        if place is None:
            place = self._places[root] = next(self._next_place)
        return place

    def _begin(self, root: str) -> None:
        self._place(root)
        self._at_work.add(root)
        self._ready.append(root)

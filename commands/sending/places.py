"""Places for commands in flight to each agent, and the roots that wait for one: the throttle of Dispatch. Pure.

    take -> (room?) -> in flight -> leave -> the root with the oldest request is called: its place is kept until it came
        `-> wait: by root, without the command's payload, which is built when it is sent
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator


class _Agent:
    """Of one agent."""

    __slots__ = ("called", "in_flight", "queue", "waiting")

    def __init__(self) -> None:
        self.in_flight: set[str] = set()
        self.called: set[str] = set()
        """Roots that were told to come: each has a place until then."""
        self.waiting: dict[str, int] = {}
        """Root -> position of its oldest request that has no place."""
        self.queue: list[tuple[int, str]] = []
        """The same as a heap; entries that `waiting` does not know any more are passed over."""


class Places:
    """`most()` commands are in flight to an agent at once. `call(root)`: there is room for what it asks."""

    def __init__(self, most: Callable[[], int], call: Callable[[str], None]) -> None:
        self._most, self._call = most, call
        self._agents: dict[int, _Agent] = {}
        self._agent_of: dict[str, int] = {}
        """Command in flight -> its agent."""
        self._roots: dict[str, set[int]] = {}
        """Root -> agents at which it waits, or was called to."""

    def take(self, agent: int, ask: str) -> bool:
        """A place for a command. False: there is none."""
        if ask in self._agent_of:
            return True
        here = self._agents.setdefault(agent, _Agent())
        if len(here.in_flight) + len(here.called) >= self._most():
            return False
        here.in_flight.add(ask)
        self._agent_of[ask] = agent
        return True

    def leave(self, ask: str) -> None:
        """The command's place is free; the next root is called."""
        agent = self._agent_of.pop(ask, None)
        if agent is not None:
            self._agents[agent].in_flight.discard(ask)
            self.fill(agent)

    def wait(self, agent: int, since: int, root: str) -> bool:
        """The root wants a place for what it asked at position `since`. -> whether it is the first to wait there"""
        here = self._agents.setdefault(agent, _Agent())
        if root in here.called or since >= here.waiting.get(root, since + 1):
            return False
        here.waiting[root] = since
        heapq.heappush(here.queue, (since, root))
        self._roots.setdefault(root, set()).add(agent)
        return len(here.waiting) == 1

    def came(self, root: str) -> set[int]:
        """The root is here, to take what places there are, and to wait anew for others. -> agents to `fill` after that"""
        agents = self._roots.pop(root, set())
        for agent in agents:
            self._agents[agent].called.discard(root)
            self._agents[agent].waiting.pop(root, None)
        return agents

    def fill(self, agent: int) -> None:
        """Calls those who wait, the oldest request first, as far as there is room."""
        here = self._agents.get(agent)
        if here is None:
            return
        while here.waiting and len(here.in_flight) + len(here.called) < self._most():
            since, root = heapq.heappop(here.queue)
            if here.waiting.get(root) == since:
                del here.waiting[root]
                here.called.add(root)
                self._call(root)
        if not (here.in_flight or here.called or here.waiting):
            self._agents.pop(agent, None)

    def fill_all(self) -> None:
        """There may be more room than before."""
        for agent in list(self._agents):
            self.fill(agent)

    def waits(self, root: str) -> bool:
        return root in self._roots

    def call_again(self, agent: int, root: str) -> None:
        """For a call that was lost: its place is kept, and must not be kept for ever."""
        here = self._agents.get(agent)
        if here is not None and root in here.called:
            self._call(root)

    def waiting_for(self, agent: int) -> set[str]:
        """Roots that wait for a place at this agent."""
        here = self._agents.get(agent)
        return {*here.waiting, *here.called} if here is not None else set()

    def forget(self, which: Callable[[str], bool]) -> None:
        """These roots wait no more."""
        agents = {agent for root in [root for root in self._roots if which(root)] for agent in self.came(root)}
        for agent in agents:
            self.fill(agent)

    def loads(self) -> Iterator[tuple[int, int, int]]:
        """(agent, commands in flight to it, roots that wait for a place there)"""
        for agent, here in sorted(self._agents.items()):
            yield agent, len(here.in_flight), len(here.waiting) + len(here.called)

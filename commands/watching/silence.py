"""For how long agents have been silent, as far as this server listened. Pure: whoever listens tells it of time and of what was heard.

    listened ---> each agent is silent for so much longer, until it is heard
    was away ---> (no NATS, another connection, a loop that stood still) nothing is known any more: all begin anew
    is not mine > who takes over an agent's partition listens to it for as long as anybody, before it says anything
"""

from __future__ import annotations

from collections.abc import Collection
from math import inf

STALLED = 2.0
"""Seconds by which a look may come too late: after a longer one nobody knows what was not heard meanwhile."""


class Silence:
    """By agent, in seconds."""

    def __init__(self) -> None:
        self._silent: dict[int, float] = {}
        self._left: set[int] = set()

    def heard(self, agent: int) -> bool:
        """-> whether it comes back: it was not heard at the last look, or had left."""
        back = self._silent.get(agent, inf) > 0 or agent in self._left
        self._silent[agent] = 0.0
        self._left.discard(agent)
        return back

    def leaves(self, agent: int) -> None:
        """It said so: that is no silence, and nobody need wait."""
        self._left.add(agent)

    def begin_anew(self) -> None:
        """This server was away. (What an agent said before stays said.)"""
        self._silent.clear()

    def listened(self, seconds: float, agents: Collection[int], mine: Collection[int]) -> None:
        """Some more time has passed in which these agents could have been heard."""
        self._silent = {each: self._silent.get(each, 0.0) + seconds if each in mine else 0.0 for each in agents}
        self._left.intersection_update(agents)

    def of(self, agent: int) -> float:
        return inf if agent in self._left else self._silent.get(agent, 0.0)

    def asked(self, agent: int) -> None:
        """Something was done about it: it is silent from now on."""
        self._left.discard(agent)
        self._silent[agent] = 0.0

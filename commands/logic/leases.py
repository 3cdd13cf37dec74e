"""What a resource takes and gives back of what is leased, from what it has and what it is to have. Pure: claims and releases."""

from __future__ import annotations

from collections.abc import Callable, Collection

from commands.turns.turn import Failure, Turn
from eventstore import Claim, Release

Leases = Collection[tuple[int, str]]
"""(number of the owner, item), as resource.leases_of tells them."""

Scope = Callable[[int], str]
"""Number of the owner -> the scope."""

PORTS = range(20000, 40000)
"""Of those that are given out: for links by a service, for tunnels on a host."""


def swapped(scope: Scope, has: Leases, wanted: Leases) -> tuple[tuple[Claim, ...], tuple[Release, ...]]:
    claims = tuple(Claim(scope(owner), item) for owner, item in wanted if (owner, item) not in has)
    return claims, given_back(scope, [each for each in has if each not in wanted])


def given_back(scope: Scope, has: Leases) -> tuple[Release, ...]:
    return tuple(Release(scope(owner), item) for owner, item in has)


def free_port(turn: Turn, scope: str, but: Collection[str]) -> str:
    """`but`: what this decision is about to take already. Raises Failure."""
    found = turn.pick(scope, len(PORTS), lambda index: str(PORTS[index]), but=but)
    if found is None:
        raise Failure("No port available : Port allocation error")
    return found

"""What resources asked and have no answer to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from commands.resource import Asked, Open, Resource

Waiting = tuple[str, Open | None, Asked]
"""A command without an answer: its stream, the process that waits for it (None: it undoes what a closed one left, or is asked aside),
and itself."""


def asked_of(resource: Resource) -> Iterator[Waiting]:
    """What a resource asked and has no answer to."""
    for bracket in resource.open.values():
        yield from ((resource.stream, bracket, asked) for asked in bracket.asked.values() if asked.unanswered)
    yield from ((resource.stream, None, asked) for asked in resource.undoing.values() if asked.unanswered)
    yield from ((resource.stream, None, asked) for asked in resource.asides.values())


def only_asked(resources: Iterable[Resource]) -> int | None:
    """The one agent whose answers are all that these resources wait for, as far as they tell."""
    waiting = [each for resource in resources for each in asked_of(resource)]
    agents = {asked.agent for _, _, asked in waiting}
    if len(agents) != 1 or any(bracket is None or asked.handler for _, bracket, asked in waiting):
        return None
    return agents.pop()

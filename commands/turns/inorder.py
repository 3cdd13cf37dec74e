"""Agents that know no epochs are asked one thing at a time about each thing, in the order in which it was asked. Pure.

    asked, unanswered, its process closed meanwhile ---in front: sent again until it is answered
    asked of the same agent about the same thing -----behind: sent when that is answered

Corral's own agents know by a command's epoch what is newest, and are asked at once. Another one does whatever it hears last: a start that
is answered by nobody yet must not come after the stop.
"""

from __future__ import annotations

from collections.abc import Iterable

from commands.catalogue.catalogue import Catalogue
from commands.resource import Resource
from commands.turns.unanswered import Waiting, asked_of
from commands.turns.world import World

KNOWS = "knowsEpochs"
"""Of an agent's data: as its answers to pings say."""


def knows_epochs(agent: Resource | None) -> bool:
    """An agent of Corral's own says so; one that registered with an `event://` address and does not say it hears over HTTP."""
    if agent is None or not str(agent.row.get("uri") or "").startswith("event://"):
        return True
    return agent.data.get(KNOWS) is True


def in_order(world: World, mine: Iterable[Resource]) -> tuple[list[Waiting], dict[str, str]]:
    """-> what may be sent of these resources' unanswered commands, and what has to wait: command -> the one it waits for."""
    resources = list(mine)
    waiting = [each for resource in resources for each in asked_of(resource)]
    agents = {asked.agent for _, _, asked in waiting if asked.agent}
    unknowing = {agent for agent in agents if not knows_epochs(world.fleet.get("agent", agent))}
    if not unknowing:
        return waiting, {}
    closed = [(each.stream, None, asked) for each in resources for asked in each.late.values() if asked.agent in unknowing]
    lines: dict[tuple[int, object], list[Waiting]] = {}
    for each in (*closed, *(each for each in waiting if each[2].agent in unknowing)):
        lines.setdefault((each[2].agent, _thing(world.catalogue, world.resources[each[0]])), []).append(each)
    behind: dict[str, str] = {}
    sent = [each for each in waiting if each[2].agent not in unknowing]
    for line in lines.values():
        first, *others = sorted(line, key=lambda each: each[2].epoch)
        wanted = [each for each in others if each not in closed]
        behind |= {each[2].id: first[2].id for each in wanted}
        if wanted or first not in closed:  # what nobody waits behind is over: if its answer comes, it is taken in all the same
            sent.append(first)
    return sent, behind


def _thing(catalogue: Catalogue, resource: Resource) -> object:
    """What a command is about: maps of the same two are about the same."""
    ties = [tuple(resource.row.get(name) for name in key) for key in catalogue.type(resource.type).single]
    return (resource.type, ties[0]) if ties else resource.stream

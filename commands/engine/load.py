"""How an engine stands just now, in figures, for whoever shows it: looked up when it is asked for, and kept nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from commands.engine.agenda import Agenda
from commands.engine.partitions import Partitions
from commands.engine.roots import Roots
from commands.sending.dispatch import Dispatch
from commands.turns.fleet import Fleet
from commands.watching.strays import Strays


@dataclass(frozen=True, slots=True)
class Load:
    """How an engine stands just now."""

    ready: bool
    """It has looked what is open in its partitions."""
    followed: int
    """The position up to which it has seen the log."""
    partitions: int
    sure: bool
    """Its leases can't be another's yet."""
    roots: Mapping[str, int]
    """working, queued, parked -> how many roots."""
    outstanding: Mapping[tuple[str, str], int]
    """(asked, silent or answered; the state of the agent that is asked, or HANDLER) -> how many commands wait for their answers."""
    waiting: int
    """Roots that wait for a place among the commands to their agent."""
    agents: Mapping[str, int]
    hosts: Mapping[str, int]
    """State -> how many there are of those that are not removed."""
    strays: Mapping[str, int]
    strays_ended: Mapping[str, int]


def load_of(
    ready: bool, partitions: Partitions, agenda: Agenda, roots: Roots, dispatch: Dispatch, fleet: Fleet, strays: Strays | None = None
) -> Load:
    def state_of(agent: int) -> str:
        present = fleet.get("agent", agent)
        return present.state if present is not None else "purged"

    agents, hosts = (Counter(each.state for each in fleet.all(name) if not each.removed) for name in ("agent", "host"))
    return Load(
        ready, fleet.followed, len(partitions.held), partitions.sure,
        {"working": agenda.at_work, "queued": agenda.queued, "parked": roots.count_parked()},
        dispatch.count(state_of), sum(waits for _, _, waits in dispatch.loads()), agents, hosts,
        strays.count() if strays is not None else {}, strays.ended if strays is not None else {},
    )  # fmt: skip

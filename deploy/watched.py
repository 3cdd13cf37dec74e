"""The parts of a running process as they are looked at from outside, and what only the database knows of them, asked for each look."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from agents.process.lanes import Carried
from commands.admission.doorkeeper import Doorkeeper
from commands.engine.engine import Engine
from deploy.settings import Role
from eventstore import StoreError
from eventstore.postgres import PostgresStore
from gateway.access.callers import Callers
from gateway.bus.hub import Hub
from gateway.observed import Requests
from projections.errors import ViewsError
from projections.views import Views

LOOK_SECONDS = 1.0
"""For all that one look asks of the database."""


class NatsConnection(Protocol):
    @property
    def connected(self) -> bool: ...

    @property
    def connections(self) -> int:
        """How often it was made."""


class LocalAgents(Protocol):
    """Those of this process."""

    @property
    def running(self) -> int: ...

    @property
    def carried(self) -> Carried:
        """What all of them ever did."""


@dataclass(slots=True)
class Watched:
    """None: this process has no such part, or not yet."""

    roles: tuple[Role, ...]
    version: str
    store: PostgresStore
    requests: Requests = field(default_factory=Requests)
    views: Views | None = None
    engine: Engine | None = None
    hub: Hub | None = None
    callers: Callers | None = None
    agents: LocalAgents | None = None
    doorkeeper: Doorkeeper | None = None
    nats: dict[str, NatsConnection] = field(default_factory=dict)
    """Whose connection -> it."""
    port: int | None = None
    """Of its figures, where they have one of their own."""
    built: bool = False
    """The views held the whole log once: from then on they only lag."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What the database says just now. `trouble`: why it says nothing."""

    head: int = 0
    writable: bool = False
    views: int = 0
    lag_seconds: float = 0.0
    """How long the first event that the views lack has been in the log."""
    behind_seconds: float = 0.0
    """The same of the engine's own reading."""
    poisoned: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""


async def look(watched: Watched) -> Moment:
    """Never raises, and never waits for longer than LOOK_SECONDS."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await _look(watched)
    except TimeoutError:
        return Moment(trouble=f"the database did not answer within {LOOK_SECONDS:g} s")
    except (StoreError, ViewsError) as error:
        return Moment(trouble=str(error))


async def _look(watched: Watched) -> Moment:
    store = watched.store
    head, writable = await asyncio.gather(store.head(), store.writable())
    if watched.views is None:
        return Moment(head, writable)
    status = await watched.views.status()
    watched.built = watched.built or status.position >= head
    followed = watched.engine.fleet.followed if watched.engine is not None else head
    lag, behind = [await _waits(store, position) if position < head else 0.0 for position in (status.position, followed)]
    return Moment(head, writable, status.position, lag, behind, status.poisoned)


async def _waits(store: PostgresStore, position: int) -> float:
    """For how long what follows a position has been in the log."""
    following = await store.read_all(position, 1)
    return max(0.0, (store.now() - following[0].at).total_seconds()) if following else 0.0

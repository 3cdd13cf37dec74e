"""Broken parts, to prove that the simulation finds what it is there to find. Each is a table row: a name, and a world built with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agents.ledger import Arrival, Fresh, Verdict
from commands import placement
from commands.dispatch import Dispatch, Outstanding
from commands.engine import Engine
from commands.turn import Answer
from eventstore import Held
from eventstore.memory import MemoryStore
from eventstore.types import Appended, Json, Lease, Write
from tests.simulation.hosts import KeptLedger
from tests.simulation.world import Parts


class UnfencedLog(MemoryStore):
    """It takes an append under any lease, as if an engine could not lose one."""

    async def append(self, writes: Sequence[Write], *, lease: Lease | None = None, **given: Any) -> Appended:
        return await super().append(writes, lease=None, **given)


class ForgetfulLog(MemoryStore):
    """It does not remember which commands it has."""

    async def append(self, writes: Sequence[Write], *, command: Any = None, **given: Any) -> Appended:
        return await super().append(writes, command=None, **given)


class GenerousLog(MemoryStore):
    """It counts what is claimed of a host, and refuses nobody (placement does not look at what is free, either)."""

    def _claimed(self, ops: Sequence[Json]) -> dict[tuple[str, str], Held | None]:
        return super()._claimed([{**op, "l": op["l"] and 10**9} for op in ops])


class PartlyRead(MemoryStore):
    """Nobody need know a root whole to end its work."""

    async def append(self, writes: Sequence[Write], *, whole: Sequence[str] = (), **given: Any) -> Appended:
        return await super().append(writes, **given)


class BlankLedger(KeptLedger):
    """An agent that remembers neither epochs nor answers."""

    def accept(self, arrivals: Sequence[Arrival]) -> list[Verdict]:
        return [Fresh() for _ in arrivals]

    def answer(self, replies: Mapping[str, bytes]) -> None:
        """Forgotten at once."""


class IdleEngine(Engine):
    """It never looks for the work that others left."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        setattr(self._wakeups, "poll", asyncio.Event().wait)  # noqa: B010 - one that finds nothing


class HastyEngine(Engine):
    """It takes silence for an error."""

    def _on_silence(self, root: str, ask: str) -> None:
        outstanding = self._dispatch.outstanding(ask)
        if outstanding is not None:
            self.schedule(root, answer=Answer(ask, outstanding.command, {}, "no answer"))


def _never_again(dispatch: Dispatch, each: Outstanding, elapsed: float) -> None:
    """What is not answered is not sent again."""


def _soon_silent(dispatch: Dispatch, each: Outstanding, elapsed: float) -> None:
    each.seconds = min(each.seconds, 3.0)
    _tick(dispatch, each, elapsed)


_tick = Dispatch._tick


def _ticking(tick: Callable[[Dispatch, Outstanding, float], None]) -> Callable[[], None]:
    def prepare() -> None:
        setattr(Dispatch, "_tick", tick)  # noqa: B010 - for this process, which ends with it

    return prepare


def _place_blindly() -> None:
    setattr(placement, "free", lambda host, fleet: placement.capacity(host))  # noqa: B010 - for this process, which ends with it


MUTATIONS: dict[str, Callable[[], Parts]] = {
    "unfenced-log": lambda: Parts(store=UnfencedLog),
    "forgetful-log": lambda: Parts(store=ForgetfulLog),
    "generous-log": lambda: Parts(store=GenerousLog, prepare=_place_blindly),
    "partly-read": lambda: Parts(store=PartlyRead),
    "blank-ledger": lambda: Parts(ledger=BlankLedger),
    "idle-engine": lambda: Parts(engine=IdleEngine),
    "hasty-engine": lambda: Parts(engine=HastyEngine, prepare=_ticking(_soon_silent)),
    "never-again": lambda: Parts(prepare=_ticking(_never_again)),
}

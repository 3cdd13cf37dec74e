"""Broken parts, to prove that the simulation finds what it is there to find. Each is a table row: a name, and a world built with it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from agents.process.ledger import Arrival, Fresh, Verdict
from agents.wire import Message
from commands.engine.engine import Engine
from commands.logic import placement, vnets
from commands.resource import Resource
from commands.secrets.vault import Vault
from commands.sending.dispatch import Dispatch
from commands.sending.outstanding import Outstanding
from commands.turns import calls, handlers
from commands.turns.claimed import leased
from commands.turns.draft import Draft
from commands.turns.turn import Answer, Turn
from commands.watching.strays import Stray, Strays
from eventstore import Claim, Held, Release
from eventstore.clock import LogClock
from eventstore.memory import MemoryStore
from eventstore.types import Appended, Json, Lease, Write
from tests.simulation.hosts import KeptLedger, SlowDriver
from tests.simulation.sealed import MARK
from tests.simulation.world import START, Parts

Claims = tuple[Claim, ...]
Releases = tuple[Release, ...]


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


class OwnClock(LogClock):
    """It goes by the server's clock, whatever the log says."""

    def now(self) -> datetime:
        return START + timedelta(seconds=self.ticks())


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


class HoardingLog(MemoryStore):
    """It keeps the keys of what is purged."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._keys = _Hoard()


class _Hoard(dict[str, bytes]):
    def pop(self, *given: Any) -> Any:
        """Nothing goes."""


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


def _patched(where: Any, name: str, instead: Any) -> Callable[[], None]:
    def prepare() -> None:
        setattr(where, name, instead)

    return prepare


async def _open(vault: Vault, writes: Sequence[Write]) -> list[Write]:
    """Nothing is sealed."""
    return list(writes)


async def _leave_alone(strays: Strays, agent: Resource, stray: Stray) -> None:
    """What has no place somewhere goes on there."""


def _keep(driver: SlowDriver, request: Message) -> None:
    """It says that it has removed what it keeps."""
    if request.name != "compute.instance.remove":
        _do(driver, request)


_do = SlowDriver._do


def _merging(kept: Callable[[Draft, str, Json, Claims, Releases], None]) -> Callable[[], None]:
    """`kept`: instead of what a decision merges into a row, with what it claims and releases."""
    return _patched(Draft, "merge", lambda draft, stream, changes, claims=(), releases=(): kept(draft, stream, changes, claims, releases))


def _unclaimed(draft: Draft, stream: str, changes: Json, claims: Claims, releases: Releases) -> None:
    """Addresses, macs and ports are taken without a claim."""
    _merge(draft, stream, changes, tuple(each for each in claims if not leased(each.scope)), releases)


def _unreleased(draft: Draft, stream: str, changes: Json, claims: Claims, releases: Releases) -> None:
    """They are never given back."""
    _merge(draft, stream, changes, claims, tuple(each for each in releases if not leased(each.scope)))


_merge = Draft.merge


def _a_vnet_each_time() -> None:
    """Whoever comes to a spot makes a vnet of its own there."""
    setattr(vnets, "vnet_at", lambda world, nic, network, host: None)  # noqa: B010 - for this process, which ends with it
    setattr(vnets, "scope", lambda network, counted=itertools.count(): f"{network.stream}/vnet-{next(counted)}")  # noqa: B010 - the same


MUTATIONS: dict[str, Callable[[], Parts]] = {
    "unfenced-log": lambda: Parts(store=UnfencedLog),
    "forgetful-log": lambda: Parts(store=ForgetfulLog),
    "generous-log": lambda: Parts(store=GenerousLog, prepare=_place_blindly),
    "partly-read": lambda: Parts(store=PartlyRead),
    "own-clock": lambda: Parts(clock=OwnClock),
    "blank-ledger": lambda: Parts(ledger=BlankLedger),
    "idle-engine": lambda: Parts(engine=IdleEngine),
    "hasty-engine": lambda: Parts(engine=HastyEngine, prepare=_ticking(_soon_silent)),
    "open-vault": lambda: Parts(prepare=_patched(Vault, "sealed", _open)),
    "tells-secrets": lambda: Parts(prepare=_patched(handlers, "masked", lambda value, names: {**value, "secretValue": MARK})),
    "hoarding-log": lambda: Parts(store=HoardingLog),
    "unclaimed": lambda: Parts(prepare=_merging(_unclaimed)),
    "unreleased": lambda: Parts(prepare=_merging(_unreleased)),
    "a-vnet-each-time": lambda: Parts(prepare=_a_vnet_each_time),
    "looks-away": lambda: Parts(prepare=_patched(Turn, "_look_after", lambda turn: None)),
    "deaf-machine": lambda: Parts(prepare=_patched(SlowDriver, "_do", _keep)),
    "eager-handlers": lambda: Parts(prepare=_patched(calls, "_minds", lambda turn, stream, bracket, handler: True)),
    "no-handlers": lambda: Parts(prepare=_patched(calls, "_taking_part", lambda turn, stream, bracket, process: [])),
    "strays-at-large": lambda: Parts(prepare=_patched(Strays, "_end", _leave_alone)),
    "never-again": lambda: Parts(prepare=_ticking(_never_again)),
}

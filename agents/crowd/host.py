"""A simulated host of a crowd: a whole agent, whose driver suffers what the dice say."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from agents.crowd.faults import Dice, Place
from agents.driver import DriverError, Held, Json, Report, uuid_at
from agents.joining.access import Access
from agents.process.agent import Agent
from agents.process.lanes import Carried
from agents.process.ledger import Ledger
from agents.simulated import SimulatedDriver
from agents.wire import Message

log = structlog.get_logger("corral.crowd")

Vanish = Callable[[float], None]


class FaultyDriver:
    """A simulated driver whose commands take the fate that the dice have for them."""

    kind = "sim"

    def __init__(self, inner: SimulatedDriver, place: Place, dice: Dice, counts: Counter[str], vanish: Vanish) -> None:
        """`counts`: the faults that befell it, by kind. `vanish`: the agent is to be gone for so many seconds, at once."""
        self.inner, self._place, self._dice, self._counts, self._vanish = inner, place, dice, counts, vanish
        self._seen: Counter[str] = Counter()
        self._copies: dict[str, int] = {}

    async def open(self, folder: Path) -> None:
        await self.inner.open(folder)

    async def close(self) -> None:
        await self.inner.close()

    async def carry_out(self, request: Message, report: Report) -> Json:
        self._seen[request.name] += 1
        fate = self._dice.fate(self._place, request.name, self._seen[request.name])
        self._counts.update(fate.faults)
        await asyncio.sleep(fate.delay)
        if fate.die is not None and fate.dies_first:
            await self._gone(fate.die)
        if fate.fail is not None:
            raise DriverError(f"Failing [{request.name}]: {fate.fail}")
        answer = await self.inner.carry_out(request, report)
        if fate.forget is not None and request.name == "compute.instance.activate":
            self.inner.forget(uuid_at(request.data, "instanceHostMap", "instance"), fate.forget)
        if fate.die is not None:
            await self._gone(fate.die)
        if fate.copies != 1:
            self._copies[request.id] = fate.copies
        return answer

    async def instances(self) -> dict[str, str]:
        return await self.inner.instances()

    async def held(self) -> Mapping[str, Held]:
        return await self.inner.held()

    async def resources(self, ping: Json) -> list[Json]:
        return await self.inner.resources(ping)

    def copies(self, request: Message) -> int:
        return self._copies.pop(request.id, 1)

    async def _gone(self, seconds: float) -> None:
        self._vanish(seconds)
        await asyncio.get_running_loop().create_future()  # what is under way ends with the agent


class CrowdHost:
    """`start`, `stop`; in between it may vanish and come back by itself."""

    def __init__(self, number: int, driver: SimulatedDriver, place: Place, dice: Dice, counts: Counter[str], uuid: str) -> None:
        """`number`: the agent's plain id."""
        self.number, self.uuid, self.place = number, uuid, place
        self.driver = FaultyDriver(driver, place, dice, counts, self.vanish)
        self._agent: Agent | None = None
        self._make: Callable[[], Agent] | None = None
        self._away: asyncio.Task[None] | None = None

    @property
    def away(self) -> bool:
        """Whether its agent is gone just now."""
        return self._away is not None

    @property
    def hears(self) -> bool:
        return self._agent is not None and self._agent.ready.is_set()

    async def start(self, nats: str, access: Access, ledger: Ledger, heartbeat_seconds: float, carried: Carried) -> None:
        """Returns at once; NATS may be away."""

        def make() -> Agent:
            return Agent(
                self.number, self.uuid, self.driver, ledger.folder, nats, heartbeat_seconds=heartbeat_seconds, ledger=ledger,
                carried=carried, access=access,
            )  # fmt: skip

        self._make = make
        await self._begin(make)

    async def heard(self, seconds: float) -> None:
        """Waits until it hears commands, for so long at most."""
        if self._agent is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._agent.ready.wait(), seconds)

    async def stop(self) -> None:
        if self._away is not None:
            self._away.cancel()
            await asyncio.wait({self._away}, timeout=5)
        if self._agent is not None:
            await self._agent.stop(grace=0.0)
            self._agent = None

    def vanish(self, seconds: float) -> None:
        """As if the agent had been killed, and started again so much later. One that is gone already stays so for its time."""
        if self._away is None and self._make is not None:
            self._away = asyncio.create_task(self._be_away(self._make, seconds))

    async def _begin(self, make: Callable[[], Agent]) -> None:
        agent = make()
        await agent.start()
        self._agent = agent

    async def _be_away(self, make: Callable[[], Agent], seconds: float) -> None:
        try:
            agent, self._agent = self._agent, None
            if agent is not None:
                await agent.stop(grace=0.0)
            await asyncio.sleep(seconds)
            await self._begin(make)
        except Exception:  # one host of many: the others go on, and so does this one with its next death
            log.exception("A simulated host did not come back", action="crowd-lost", host=self.uuid)
        finally:
            self._away = None

"""An agent's heartbeats: it lives, and what runs there. Published every few seconds, at once when asked to or when NATS is back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from nats.aio.client import Client

from agents.driver import Driver, DriverError, TakesPartInNetworks
from agents.process import failpoints
from agents.process.connection import reached
from agents.wire import Presence, presence_subject

log = structlog.get_logger("corral.agent.heartbeat")

LOOK_SECONDS = 4.0
AWAY_SECONDS = 0.2


class Heartbeat:
    """`run` as a task."""

    def __init__(self, number: int, uuid: str, driver: Driver, connection: Callable[[], Client | None], seconds: float) -> None:
        self._number, self._uuid, self._driver = number, uuid, driver
        self._connection = connection
        self._seconds = seconds
        self._now = asyncio.Event()
        self._seen: dict[str, str] = {}
        self._trouble: str | None = None

    def announce(self) -> None:
        self._now.set()

    async def run(self) -> None:
        while True:
            pause = self._seconds if await self._beat() else AWAY_SECONDS
            try:
                async with asyncio.timeout(pause):  # wait_for forgets a cancel that meets the event (Python 3.11)
                    await self._now.wait()
            except TimeoutError:
                continue
            self._now.clear()

    async def farewell(self) -> None:
        """The last one: nobody need wait for this agent to be missed."""
        await self._tell(leaving=True)

    async def _beat(self) -> bool:
        client = self._connection()
        if client is None or not client.is_connected:
            return False
        with failpoints.doing("heartbeat"):
            await self._look()
            failpoints.reach("before", "presence")
            told = await self._tell()
            failpoints.reach("after", "presence")
        return told

    async def _tell(self, leaving: bool = False) -> bool:
        client = self._connection()
        if client is None or not client.is_connected:
            return False
        presence = Presence(
            agent=self._number, uuid=self._uuid, instances=self._seen, trouble=self._trouble, leaving=leaving,
            networks=self._driver.networks_version if isinstance(self._driver, TakesPartInNetworks) else None,
        )  # fmt: skip
        try:
            await client.publish(presence_subject(self._number), presence.encode())
            if leaving:  # of the others one that is lost is made good by the next
                await reached(client, 2)
        except Exception as error:  # lost in this moment: the next one counts
            log.warning("A heartbeat could not be published", action="heartbeat-failed", agent=self._number, error=repr(error))
            return False
        return True

    async def _look(self) -> None:
        """An engine that does not answer is not an empty one: what was seen last is told, and why it is no more than that."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                self._seen = await self._driver.instances()
            trouble = None
        except TimeoutError:
            trouble = f"the {self._driver.kind} engine did not answer within {LOOK_SECONDS:.0f} seconds"
        except DriverError as error:
            trouble = str(error)
        except Exception as error:
            log.exception("The driver broke", action="driver-broke", command="instances")
            trouble = repr(error)
        if trouble != self._trouble:
            log.warning("What runs here can't be seen" if trouble else "What runs here is seen again", action="look", trouble=trouble)
        self._trouble = trouble

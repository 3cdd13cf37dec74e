"""One agent with several drivers, for a machine that runs containers and virtual machines: each command goes to the driver of its kind.

The kind is that of the host or storage pool which the command is about. What the drivers hold is told together. An ability that only some
of them have is there for what those hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

import structlog

from agents.driver import (
    AnswersBadly,
    AnswersLive,
    Driver,
    DriverError,
    Held,
    Json,
    LiveRefused,
    RemembersEpochs,
    Report,
    TakesPartInNetworks,
    TellsWhose,
    UnknownCommand,
)
from agents.live import UNKNOWN_VERB, Question
from agents.wire import NETWORK_APPLY, Message

log = structlog.get_logger("corral.agent.several")

_ABOUT = (
    ("instanceHostMap", "host"),
    ("volumeStoragePoolMap", "storagePool"),
    ("imageStoragePoolMap", "storagePool"),
    ("host",),
)  # fmt: skip
"""Where a command's data name what it is about."""


class SeveralDrivers:
    """They share the agent's folder: each keeps its files there under names of its own."""

    def __init__(self, drivers: Sequence[Driver]) -> None:
        self.drivers = tuple(drivers)

    @property
    def kind(self) -> str:
        return "+".join(each.kind for each in self.drivers)

    async def open(self, folder: Path) -> None:
        for each in self.drivers:
            await each.open(folder)

    async def close(self) -> None:
        for each in self.drivers:
            await each.close()

    async def carry_out(self, request: Message, report: Report) -> Json:
        return await self.driver_for(request).carry_out(request, report)

    async def instances(self) -> dict[str, str]:
        """Of all of them, or of none: that one engine does not answer must not look as if it held nothing."""
        held = await asyncio.gather(*(each.instances() for each in self.drivers))
        return {uuid: state for each in held for uuid, state in each.items()}

    async def epochs(self) -> Mapping[str, int]:
        known = await asyncio.gather(*(each.epochs() for each in self.drivers if isinstance(each, RemembersEpochs)))
        return {uuid: epoch for each in known for uuid, epoch in each.items()}

    async def held(self) -> Mapping[str, Held]:
        """What a driver holds that tells not whose it is may be anybody's."""
        held = await asyncio.gather(*map(_held, self.drivers))
        return {uuid: told for each in held for uuid, told in each.items()}

    def live_verbs(self, question: Question) -> frozenset[str]:
        asked = self._asked(question)
        return frozenset() if asked is None else asked.live_verbs(question)

    async def live(self, question: Question, given: AsyncIterator[Json]) -> AsyncGenerator[Json, None]:
        asked = self._asked(question)
        if asked is None:
            raise LiveRefused(UNKNOWN_VERB, f"this agent's hosts of kind {question.host.get('kind')} answer nothing live")
        async with aclosing(asked.live(question, given)) as pieces:
            async for piece in pieces:
                yield piece

    @property
    def networks_version(self) -> str | None:
        """Where they know different ones, all are told again."""
        known = {each.networks_version for each in self._on_networks()}
        return None if not known else known.pop() if len(known) == 1 else ""

    async def apply_networks(self, data: Json) -> Json:
        answer: Json = {}
        taking_part = self._on_networks()
        if not taking_part:
            raise UnknownCommand(NETWORK_APPLY, self.kind)
        for each in taking_part:
            told = await each.apply_networks(data)
            answer = {**told, "trouble": {**answer.get("trouble", {}), **told.get("trouble", {})}}
        return answer

    def copies(self, request: Message) -> int:
        try:
            driver = self.driver_for(request)
        except DriverError:
            return 1
        return driver.copies(request) if isinstance(driver, AnswersBadly) else 1

    async def resources(self, ping: Json) -> list[Json]:
        """On one physical host, whichever engine speaks of it. One that does not answer keeps the others' hosts from nobody."""
        told = await asyncio.gather(*(each.resources(ping) for each in self.drivers), return_exceptions=True)
        failed = [each for each in told if isinstance(each, BaseException)]
        for each in failed:
            if not isinstance(each, DriverError) or len(failed) == len(told):
                raise each
            log.warning("One of this agent's engines does not say what it has", action="look-failed", error=str(each))
        return on_one_machine([element for each in told if not isinstance(each, BaseException) for element in each])

    def driver_for(self, request: Message) -> Driver:
        """Raises DriverError where none is of the kind."""
        kind = kind_of(request.data)
        found = next((each for each in self.drivers if each.kind == kind), None)
        if found is None:
            known = " and ".join(each.kind for each in self.drivers)
            raise DriverError(f"{request.name} is about {f'a host of kind {kind}' if kind else 'no host'}, and this agent has {known}")
        return found

    def _asked(self, question: Question) -> AnswersLive | None:
        kind = question.host.get("kind")
        return next((each for each in self.drivers if each.kind == kind and isinstance(each, AnswersLive)), None)

    def _on_networks(self) -> list[TakesPartInNetworks]:
        return [each for each in self.drivers if isinstance(each, TakesPartInNetworks) and each.networks_version is not None]


async def _held(driver: Driver) -> Mapping[str, Held]:
    if isinstance(driver, TellsWhose):
        return await driver.held()
    epochs = await driver.epochs() if isinstance(driver, RemembersEpochs) else {}
    return {uuid: Held(state, epochs.get(uuid, 0), None, driver.kind) for uuid, state in (await driver.instances()).items()}


def kind_of(data: Mapping[str, object]) -> str | None:
    """Of the host or pool that a command is about."""
    for path in _ABOUT:
        here: object = data
        for key in path:
            here = here.get(key) if isinstance(here, Mapping) else None
        if isinstance(here, Mapping) and isinstance(here.get("kind"), str):
            return str(here["kind"])
    return None


def on_one_machine(elements: Sequence[Json]) -> list[Json]:
    """The first physical host is the one that all hosts are on."""
    physical = next((each for each in elements if each.get("type") == "physicalHost"), None)
    if physical is None:
        return list(elements)
    rest = [each for each in elements if each.get("type") != "physicalHost"]
    return [physical, *({**each, "physicalHostUuid": physical["uuid"]} if each.get("type") == "host" else each for each in rest)]

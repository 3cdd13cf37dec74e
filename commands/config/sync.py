"""Tells agents of configuration that they lack: what nobody waits for, and what has changed since they applied it.

    every 15 s: rows that are behind, or whose files are others by now --> config.update (fire and forget) --> GET, PUT configcontent
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, Protocol

import structlog

from agents.wire import command_subject, partition_of, reply_subject
from commands.catalogue.catalogue import Catalogue
from commands.config.sources import Sources, Unreadable
from commands.logic.agent_instances import is_delegate
from commands.logic.config_items import COMMAND, CONFIG_URL, asked_for, is_behind, rows_of
from commands.logic.delegation import Delegated
from commands.resource import Resource
from commands.sending.bus import Bus
from commands.sending.questions import question
from commands.turns.fleet import Fleet
from commands.turns.world import World

log = structlog.get_logger("corral.config")

SECONDS = 15.0
MOST = 100
"""Agents that are told in one round; the others are in the next ones."""


class Engine(Protocol):
    """Whose agents are told."""

    @property
    def fleet(self) -> Fleet: ...

    def is_surely_ours(self, root: str) -> bool: ...


class ConfigSync:
    """`run` as a task, beside the engine: it tells the agents of that one's partitions. `url`: of the API, where settings say none."""

    def __init__(
        self, bus: Bus, catalogue: Catalogue, settings: Mapping[str, Any], sources: Sources, engine: Engine, url: str = "",
        seconds: float = SECONDS,
    ) -> None:  # fmt: skip
        self._bus, self._catalogue, self._settings, self._sources = bus, catalogue, settings, sources
        self._engine, self._url, self._seconds = engine, url, seconds
        self._after = 0
        """The agent that was told last: the next round begins behind it."""

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            if self._bus.connected:
                for agent, rows in list(islice(self._lacking(), MOST)):
                    await self._tell(agent, rows)

    def _lacking(self) -> Iterator[tuple[Resource, list[Resource]]]:
        """Active agents, and what they are to fetch. (What has no files here can't be fetched.)"""
        world = World(self._catalogue, {}, self._engine.fleet)
        known: dict[str, str | None] = {}
        for agent in sorted(world.fleet.all("agent"), key=lambda each: (each.id <= self._after, each.id)):
            if agent.state != "active" or not self._engine.is_surely_ours(agent.stream):
                continue
            if lacking := [each for each in rows_of(world, agent) if self._lacks(each, known)]:
                yield agent, lacking

    def _lacks(self, row: Resource, known: dict[str, str | None]) -> bool:
        name = str(row.row.get("name"))
        if name not in known:
            known[name] = self._source(name)
        return known[name] is not None and (is_behind(row) or row.row.get("sourceVersion") != known[name])

    def _source(self, name: str) -> str | None:
        """The version of what is in an item; None: it can't be fetched."""
        try:
            return self._sources.version(name)
        except Unreadable as error:
            log.warning(f"Agents are not told of configuration: {error}", action="config-unreadable", item=name)
            return None

    async def _tell(self, agent: Resource, rows: list[Resource]) -> None:
        self._after = agent.id
        data, number = asked_for(rows, self._settings[CONFIG_URL] or self._url), agent.id
        message = question(self._catalogue, agent, COMMAND, data, self._seconds)
        if is_delegate(agent):
            through = Delegated(World(self._catalogue, {}, self._engine.fleet), number, message).through()
            if through is None:  # its instance is on no host yet
                return
            number, message = through
            message = replace(message, replyTo=reply_subject(partition_of(agent.stream), number, message.id))
        log.info("An agent is told of configuration that it lacks", action="config-update", agent=agent.id, items=len(rows))
        await self._bus.publish(command_subject(number, message.name), message.encode(), message.replyTo or "")

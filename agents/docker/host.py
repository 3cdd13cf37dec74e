"""The host that a Docker engine is, as the answers to pings tell of it: also while the engine is away."""

from __future__ import annotations

import uuid
from pathlib import Path

from agents.docker.engine import Engine, NoEngine
from agents.driver import Json
from agents.patience import known_host
from agents.wire import UNDERLAY

_HOSTS = uuid.UUID("7b9f3c5e-2f0a-4a57-9d53-6c1f0a2be1d4")
"""The space in which an engine's id becomes a host's uuid: the same engine is the same host, also to an agent that lost its folder."""


class EngineHost:
    """`name`: where none is given, its engine's machine is asked for its own."""

    def __init__(self, engine: Engine, name: str | None) -> None:
        self._engine, self._name = engine, name
        self._path = Path()
        self._known: Json = {}

    def open(self, folder: Path) -> None:
        self._path = folder / "host.json"

    @property
    def title(self) -> str:
        """As errors name it."""
        name = self._name or self._known.get("name")
        return f"host {name}" if name else f"the host of {self._engine.url}"

    async def elements(self, underlay: str) -> list[Json]:
        """The physicalHost, host and storagePool. Raises NoEngine for one that was never there."""
        self._known = await known_host(self._path, self._look, NoEngine)
        own, name = self._known["uuid"], self._known["name"]
        return [
            {"type": "physicalHost", "kind": "physicalHost", "uuid": f"{own}-physical-host", "name": name},
            {
                "type": "host", "kind": "docker", "uuid": own, "name": name, "physicalHostUuid": f"{own}-physical-host",
                "data": {UNDERLAY: underlay},
            },
            {"type": "storagePool", "kind": "docker", "uuid": f"{own}-pool", "name": f"{name} Docker images", "hostUuid": own},
        ]

    async def _look(self) -> Json:
        info: Json = await self._engine.look(lambda client: client.info())
        return {"uuid": str(uuid.uuid5(_HOSTS, info["ID"])), "name": self._name or info["Name"]}

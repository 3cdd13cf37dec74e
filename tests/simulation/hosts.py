"""Machines that run containers: what outlives an agent (the boxes, its ledger), and the real agent over a driver that is slow and fails."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agents.driver import RUNNING, STOPPED, DriverError, Held, Json, Report, instance_of_root_volume, uuid_at
from agents.process.agent import Agent
from agents.process.ledger import _SCHEMA, Ledger
from agents.wire import Message
from tests.simulation.loop import Process
from tests.simulation.network import Network, SimulatedClient
from tests.simulation.weather import Weather

REMOVED = "removed"


@dataclass
class Box:
    """A container, or what is left of one."""

    state: str
    epoch: int
    cloud: str | None = None


Fails = Callable[["Machine", str], None]
"""Told when a command is answered with an error."""

Acts = Callable[["Machine", Message, str, str], None]
"""Told before a box changes: the machine, the command that does it, the instance's uuid, its new state."""


@dataclass
class Machine:
    """A host. It has no fate of its own: only its agent dies and comes back."""

    name: str
    hosts: int
    pools_per_host: int
    weather: Weather
    acts: Acts
    fails: Fails
    number: int = 0
    """The agent's."""
    boxes: dict[str, Box] = field(default_factory=dict)
    ledger: sqlite3.Connection = field(default_factory=lambda: sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))
    process: Process | None = None
    agent: Agent | None = None

    def __post_init__(self) -> None:
        self.ledger.executescript(_SCHEMA)

    def boot(self, network: Network, process: Process, make_ledger: Callable[[sqlite3.Connection], Ledger]) -> Agent:
        """A new life of its agent, to be started in that process."""
        self.process = process
        client = SimulatedClient(network, process)
        self.agent = Agent(
            self.number, self.name, SlowDriver(self), Path("nowhere"), client, ledger=make_ledger(self.ledger), farewell=True
        )
        return self.agent

    def change(self, request: Message, uuid: str, state: str) -> None:
        """What a driver does, in one go."""
        self.acts(self, request, uuid, state)
        box = self.boxes.get(uuid)
        if state == RUNNING:
            if box is None or box.state == REMOVED:
                self.boxes[uuid] = Box(RUNNING, request.epoch, request.cloud)
            else:
                box.state = RUNNING
        elif box is not None and box.state != REMOVED:
            box.state = state


class KeptLedger(Ledger):
    """The agent's own ledger over a disk that outlives the agent."""

    def __init__(self, disk: sqlite3.Connection) -> None:
        super().__init__(Path("nowhere"))
        self._disk = disk

    def open(self) -> None:
        if self._disk.in_transaction:  # as after a crash
            self._disk.execute("rollback")
        self._database = self._disk

    def close(self) -> None:
        self._database = None


class SlowDriver:
    """The Driver of a machine."""

    kind = "sim"

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    async def open(self, folder: Path) -> None:
        """There is nothing to open."""

    async def close(self) -> None:
        """There is nothing to close."""

    async def carry_out(self, request: Message, report: Report) -> Json:
        weather = self._machine.weather
        await asyncio.sleep(weather.random.random() * weather.work_seconds)
        if weather.random.random() < 0.2:
            report("half done", 50)
        if weather.strikes(weather.failures):
            raise self._error(request, "fails")
        self._do(request)
        await asyncio.sleep(weather.random.random() * weather.work_seconds)
        if weather.strikes(weather.failures / 3):
            raise self._error(request, "fails after it was done")
        return {}

    def _error(self, request: Message, said: str) -> DriverError:
        self._machine.fails(self._machine, request.name)
        return DriverError(f"{request.name} {said}")

    def _do(self, request: Message) -> None:
        machine, data = self._machine, request.data
        match request.name:
            case "compute.instance.activate":
                machine.change(request, uuid_at(data, "instanceHostMap", "instance"), RUNNING)
            case "compute.instance.deactivate":
                machine.change(request, uuid_at(data, "instanceHostMap", "instance"), STOPPED)
            case "compute.instance.remove":
                machine.change(request, uuid_at(data, "instanceHostMap", "instance"), REMOVED)
            case "storage.volume.remove":
                if (owner := instance_of_root_volume(data)) is not None:
                    machine.change(request, owner, REMOVED)

    async def instances(self) -> dict[str, str]:
        return {uuid: box.state for uuid, box in self._machine.boxes.items() if box.state != REMOVED}

    async def held(self) -> dict[str, Held]:
        return {uuid: Held(box.state, box.epoch, box.cloud, self.kind) for uuid, box in self._machine.boxes.items() if box.state != REMOVED}

    async def resources(self, ping: Json) -> list[Json]:
        machine = self._machine
        weather = machine.weather
        if weather.strikes(weather.failures):
            raise DriverError("the engine does not answer")
        hosts = [f"{machine.name}-{number}" for number in range(machine.hosts)]
        pools = [(host, f"{host}-{number}") for host in hosts for number in range(machine.pools_per_host)]
        return [
            *({"type": "storagePool", "kind": "sim", "uuid": pool, "hostUuid": host} for host, pool in pools),
            *({"type": "host", "kind": "sim", "uuid": host, "physicalHostUuid": machine.name} for host in hosts),
            {"type": "physicalHost", "kind": "sim", "uuid": machine.name},
        ]

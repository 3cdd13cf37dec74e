"""What breaks in a simulation, and how it is mended: a table of faults, struck at random while the storm lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from agents.driver import RUNNING, STOPPED
from tests.simulation.broken import Broken
from tests.simulation.loop import inside

if TYPE_CHECKING:
    from tests.simulation.hosts import Machine
    from tests.simulation.world import Node, World


class Faults:
    """Each fault lasts for some time and then mends what it broke, unless the calm has mended everything before."""

    def __init__(self, world: World) -> None:
        self._world, self._random = world, world.random
        self._over = False
        self._table: tuple[tuple[float, Callable[[], Coroutine[Any, Any, None]]], ...] = (
            (4, self._engine_dies), (3, self._engine_pauses), (1, self._engine_restarts), (1, self._gateway_dies),
            (3, self._agent_dies), (1, self._box_ends), (1, self._agent_stops), (1, self._agent_stays_away), (1.5, self._nats_goes),
            (1, self._cut_from_nats), (1.5, self._database_goes), (1, self._cut_from_database),
        )
        self._chosen = [row for row in self._table if self._random.random() < 0.7]
        """So that some seeds are about a few troubles alone."""
        self._pause = self._random.choice((1.0, 4.0, 15.0))

    async def run(self) -> None:
        """Until it is cancelled."""
        world = self._world
        while self._chosen:
            await asyncio.sleep(self._random.random() * 2 * self._pause)
            fault = self._random.choices(self._chosen, [weight for weight, _ in self._chosen])[0][1]
            world.begin(fault())

    def heal(self) -> None:
        """The calm: everything is there again."""
        world = self._world
        self._over = True
        world.network.heal()
        world.database.heal()
        for node in [*world.engines, *world.gateways]:
            if node.process.paused:
                world.loop.resume(node.process)
        for node in world.engines:
            if not node.process.alive or (node.task is not None and node.task.done()):
                self._start_again(node)
        world.gateways = [each if each.process.alive else world.start_gateway(int(each.name[-1])) for each in world.gateways]
        for machine in world.machines:
            if machine.process is None or not machine.process.alive:
                world.boot_agent(machine)

    # --- servers ---

    def _start_again(self, node: Node) -> None:
        world = self._world
        world.engines[world.engines.index(node)] = world.start_engine(int(node.name[-1]))

    async def _engine_dies(self) -> None:
        node = self._random.choice(self._world.engines)
        if not node.process.works:
            return
        self._world.tell(node.name, "is killed")
        self._world.loop.kill(node.process)
        await self._lasts(0.1, 12.0)
        if not self._over:
            self._world.tell(node.name, "starts again")
            self._start_again(node)

    async def _engine_pauses(self) -> None:
        node = self._random.choice(self._world.engines)
        if not node.process.works:
            return
        self._world.tell(node.name, "is paused")
        self._world.loop.pause(node.process)
        await self._lasts(0.5, 15.0)
        if not self._over:
            self._world.tell(node.name, "wakes")
            self._world.loop.resume(node.process)

    async def _engine_restarts(self) -> None:
        """In order: it is told to stop, and gives up what it holds."""
        node = self._random.choice(self._world.engines)
        if not node.process.works or node.task is None or node.task.done():
            return
        self._world.tell(node.name, "is stopped")
        node.task.cancel()
        await asyncio.wait({node.task}, timeout=20)
        if node in self._world.engines:  # not killed meanwhile, nor started again by the calm
            if not node.task.done() and node.process.works:
                self._world.fail(Broken(f"{node.name} does not stop"))
            self._world.loop.kill(node.process)
            self._start_again(node)

    async def _gateway_dies(self) -> None:
        world = self._world
        node = self._random.choice(world.gateways)
        if not node.process.alive:
            return
        world.tell(node.name, "is killed")
        world.loop.kill(node.process)
        await self._lasts(0.1, 5.0)
        if not self._over:
            world.gateways[world.gateways.index(node)] = world.start_gateway(int(node.name[-1]))

    # --- agents ---

    def _some_agent(self) -> Machine | None:
        there = [each for each in self._world.machines if each.process is not None and each.process.alive]
        return self._random.choice(there) if there else None

    async def _agent_dies(self, least: float = 0.1, most: float = 8.0) -> None:
        machine = self._some_agent()
        if machine is None or machine.process is None:
            return
        self._world.tell(machine.name, "is killed")
        self._world.loop.kill(machine.process)
        await self._lasts(least, most)
        if not self._over:
            self._world.tell(machine.name, "starts again")
            self._world.boot_agent(machine)

    async def _agent_stays_away(self) -> None:
        """Long enough to be missed."""
        await self._agent_dies(32.0, 50.0)

    async def _agent_stops(self) -> None:
        """In order, and it says so."""
        machine, world = self._some_agent(), self._world
        if machine is None or machine.process is None or machine.agent is None:
            return
        process = machine.process
        world.tell(machine.name, "is stopped")
        with inside(process):
            stopping = world.loop.create_task(machine.agent.stop(2.0))
        await asyncio.wait({stopping}, timeout=30)
        if process.alive:
            if not stopping.done():
                world.fail(Broken(f"{machine.name} does not stop"))
            world.loop.kill(process)
            if not self._over:
                await self._lasts(0.1, 5.0)
            if not machine.process.alive:  # else the calm came meanwhile, and began it: a machine has one agent
                world.boot_agent(machine)

    async def _box_ends(self) -> None:
        """A container ends by itself."""
        running = [(machine, uuid) for machine in self._world.machines for uuid, box in machine.boxes.items() if box.state == RUNNING]
        if running:
            machine, uuid = self._random.choice(running)
            self._world.tell(machine.name, f"      {uuid[:8]} ends by itself")
            self._world.promises.ended.add(uuid)
            machine.boxes[uuid].state = STOPPED

    # --- what they talk over ---

    async def _nats_goes(self) -> None:
        if self._world.network.up:
            self._world.tell("nats", "is away")
            self._world.network.go_down()
            await self._lasts(0.2, 20.0)
            if not self._over:
                self._world.tell("nats", "is back")
                self._world.network.heal()

    async def _cut_from_nats(self) -> None:
        process = self._random.choice([*(each.process for each in self._world.engines), *(each.process for each in self._world.machines)])
        if process is not None:
            self._world.tell(process.name, "is cut off from nats")
            self._world.network.cut_off(process)
            await self._lasts(0.5, 20.0)
            if not self._over:
                self._world.network.heal()

    async def _database_goes(self) -> None:
        if self._world.database.up:
            self._world.tell("database", "is away")
            self._world.database.up = False
            await self._lasts(0.2, 15.0)
            if not self._over:
                self._world.tell("database", "is back")
                self._world.database.heal()

    async def _cut_from_database(self) -> None:
        node = self._random.choice([*self._world.engines, *self._world.gateways])
        self._world.tell(node.name, "is cut off from the database")
        self._world.database.cut_off(node.process)
        await self._lasts(0.5, 15.0)
        if not self._over:
            self._world.database.heal()

    async def _lasts(self, least: float, most: float) -> None:
        await asyncio.sleep(self._random.uniform(least, most))


"""An agent killed at every place there is, over a real Docker engine: the next one goes on, and what is asked for happens once.

The places are found by an agent that has each that it comes by written down, step by step of an instance's life. Then there are as many
lives as a step has places: in each, every step kills its agent at another one, and the next agent is asked again. Every other one of them
has lost its ledger.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import ImageNotFound, NotFound

from agents.wire import Message
from tests.agents.lives import Life
from tests.agents.orders import Ear, activate, command, deactivate, in_pool, instance, on_host, on_pool, purge
from tests.agents.process.forks import SECONDS, Forks
from tests.support.lab import LabHost, names

AT_ONCE = 4
"""Lives lived at the same time."""
SIGKILL = 9


@dataclass(frozen=True, slots=True)
class Step:
    """A command of an instance's life, and how many containers there are after it, in which state."""

    make: Callable[[DockerLife, int], Message]
    after: tuple[str, ...]
    images: int = 1
    needed: bool = True
    """Later steps live on what it does; another one is left out of lives in which it has no place to die at."""


def _of_volume(verb: str) -> Callable[[DockerLife, int], Message]:
    return lambda life, epoch: command(f"storage.volume.{verb}", on_pool(life.tree), epoch, agent=life.number)


def _of_image(verb: str) -> Callable[[DockerLife, int], Message]:
    return lambda life, epoch: command(f"storage.image.{verb}", in_pool(f"docker:{life.image}"), epoch, agent=life.number)


UP, DOWN, NONE = ("running",), ("exited",), ()
STEPS = (
    Step(_of_image("activate"), NONE, needed=False),
    Step(_of_volume("activate"), NONE, needed=False),
    Step(lambda life, epoch: activate(life.tree, epoch, agent=life.number), UP),
    Step(lambda life, epoch: deactivate(life.tree, epoch, agent=life.number), DOWN),
    Step(lambda life, epoch: activate(life.tree, epoch, agent=life.number), UP, needed=False),
    Step(_of_volume("deactivate"), UP, needed=False),
    Step(lambda life, epoch: purge(life.tree, epoch, agent=life.number), NONE),
    Step(lambda life, epoch: activate(life.tree, epoch, agent=life.number), UP),
    Step(lambda life, epoch: command("compute.instance.remove", on_host(life.tree), epoch, agent=life.number), NONE),
    Step(_of_image("deactivate"), NONE, needed=False),
    Step(_of_image("remove"), NONE, images=0),
)  # fmt: skip


@dataclass(kw_only=True)
class DockerLife(Life):
    client: docker.APIClient
    image: str
    volumes: set[str] = field(default_factory=set)
    began: float = field(default_factory=time.time)

    async def live(self, step: Step, epoch: int, point: str) -> None:
        await self.step(step.make(self, epoch), point, partial(self._check, step))

    async def _check(self, step: Step, point: str) -> None:
        found = await asyncio.to_thread(self._containers)
        assert tuple(each["State"] for each in found) == step.after, f"{point}: {found}"
        self.volumes |= {mount["Name"] for each in found for mount in each["Mounts"]}
        there = await asyncio.to_thread(self._has_image)
        assert there is bool(step.images), f"{point}: image {self.image}"

    def _containers(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.client.containers(
            all=True, filters={"label": [f"corral.instance.uuid={self.tree['uuid']}"]}
        )
        return listed

    def _has_image(self) -> bool:
        try:
            self.client.inspect_image(self.image)
        except ImageNotFound:
            return False
        return True

    def effects(self) -> Counter[str]:
        """What the engine did to containers of this instance: what happened how often."""
        filters = {"type": "container", "label": f"corral.instance.uuid={self.tree['uuid']}"}
        events = self.client.events(since=int(self.began), until=int(time.time()) + 1, filters=filters, decode=True)
        return Counter(each["Action"] for each in events if each["Action"] in ("create", "start", "stop", "destroy"))

    def left(self) -> list[str]:
        def there(volume: str) -> bool:
            try:
                self.client.inspect_volume(volume)
            except NotFound:
                return False
            return True

        return [volume for volume in self.volumes if there(volume)]


@pytest.fixture
async def forks(nats_url: str, docker_host: str) -> AsyncIterator[Forks]:
    async with Forks(nats_url, docker=docker_host) as forks:
        yield forks


@pytest.mark.timeout(300)
async def test_killed_anywhere_an_agent_goes_on_and_what_it_is_asked_for_happens_once(
    forks: Forks, nats_url: str, docker_hosts: dict[str, LabHost], number: int, tmp_path: Path
) -> None:
    host = docker_hosts[names()[0]]
    client = docker.APIClient(host.base_url, version="auto", timeout=int(SECONDS))
    numbers = (number * 1000 + each for each in count())
    made: list[str] = []

    async def a_life(stack: AsyncExitStack, forgetful: bool = False) -> DockerLife:
        own = next(numbers)
        ear = await stack.enter_async_context(Ear(nats_url, own))
        tag = secrets.token_hex(4)
        await asyncio.to_thread(client.tag, host.image, "corral/killed", tag)
        made.append(f"corral/killed:{tag}")
        return _life(own, tmp_path / str(own), forks, ear, client=client, image=made[-1], forgetful=forgetful)

    async def live(gate: asyncio.Semaphore, points: list[list[str]], turn: int) -> None:
        async with gate, AsyncExitStack() as stack:
            life = await a_life(stack, forgetful=turn % 2 == 1)
            lived = [step for step in range(len(STEPS)) if STEPS[step].needed or turn < len(points[step])]
            for step in lived:
                await life.live(STEPS[step], 10 * (step + 1), points[step][turn] if turn < len(points[step]) else "")
            done = await asyncio.to_thread(life.effects)
            again = 4 in lived  # the one start of what was stopped
            assert done == Counter(create=2, start=2 + again, stop=1, destroy=2), f"life {turn}: {done}"
            assert await asyncio.to_thread(life.left) == []

    try:
        async with AsyncExitStack() as stack:
            life = await a_life(stack)
            points = [await life.points(step.make(life, 10 * (each + 1))) for each, step in enumerate(STEPS)]
        assert any("create_container_from_config" in point for point in points[2])
        gate = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for turn in range(max(map(len, points))):
                group.create_task(live(gate, points, turn))
    finally:
        for image in made:
            try:
                await asyncio.to_thread(partial(client.remove_image, image, force=True))
            except ImageNotFound:
                continue
        client.close()


@pytest.mark.timeout(120)
async def test_killed_as_it_starts_or_tells_that_it_lives_an_agent_goes_on(
    forks: Forks, nats_url: str, docker_hosts: dict[str, LabHost], number: int, tmp_path: Path
) -> None:
    host = docker_hosts[names()[0]]
    client = docker.APIClient(host.base_url, version="auto", timeout=int(SECONDS))
    try:
        async with Ear(nats_url, number) as ear:
            life = _life(number, tmp_path / "agent", forks, ear, client=client, image=host.image)
            await life.live(STEPS[2], 10, "")
            told = tmp_path / "told"
            assert await forks.start(number, life.folder, told=told)
            async with asyncio.timeout(SECONDS):
                while "heartbeat after presence#1" not in (points := told.read_text().splitlines()):
                    await asyncio.sleep(0.01)
            await forks.kill(number)
            assert {point.split()[0] for point in points} == {"agent", "heartbeat"}
            for each in points:
                if await forks.start(number, life.folder, each):
                    assert await forks.died(number) == SIGKILL
            before = len(ear.presences)
            assert await forks.start(number, life.folder)
            assert (await ear.wait_for_presence(before + 1, SECONDS)).instances[life.tree["uuid"]] == "running"
            await ear.ask(purge(life.tree, 20, agent=number), SECONDS)
            await forks.kill(number)
            assert await asyncio.to_thread(life.effects) == Counter(create=1, start=1, destroy=1)
    finally:
        client.close()


def _life(number: int, folder: Path, forks: Forks, ear: Ear, *, image: str, **more: Any) -> DockerLife:
    tree = instance(f"killed-{number}", imageUuid=f"docker:{image}", command="sleep 600", stopTimeout=0, dockerVolumes=["/kept"])
    return DockerLife(number=number, folder=folder, forks=forks, ear=ear, tree=tree, image=image, spares=_seen_by_heartbeats, **more)


def _seen_by_heartbeats(point: str) -> bool:
    """Whose an image is, is looked up once: a heartbeat may have done so a moment before."""
    return point.endswith("inspect_image#1")

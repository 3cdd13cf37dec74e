"""An agent killed before and after each call of a real libvirt: the next one goes on, and a machine is begun, ended and removed once.

As in test_failpoints, each step of a life kills its agent at another place; here the places are libvirt's calls alone, and the guest itself
says how often it was booted.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from agents.libvirt.connection import bindings
from agents.libvirt.machine import domain_uuid
from agents.wire import Message
from tests.agents.lives import Life
from tests.agents.orders import Ear, activate, command, deactivate, on_host, on_pool
from tests.agents.process.forks import SECONDS, Forks
from tests.support.guests import boot_image
from tests.support.lab import LabHost, names
from tests.support.virtual_machines import clear, domains_of, machine

AT_ONCE = 4

STEPS: tuple[tuple[Callable[[dict[str, Any], int, int], Message], tuple[int, int]], ...] = (
    (lambda tree, epoch, agent: activate(tree, epoch, agent=agent), (1, 1)),
    (lambda tree, epoch, agent: deactivate(tree, epoch, agent=agent), (0, 1)),
    (lambda tree, epoch, agent: activate(tree, epoch, agent=agent), (1, 2)),
    (lambda tree, epoch, agent: command("compute.instance.remove", on_host(tree), epoch, agent=agent), (-1, 0)),
)
"""A command of a machine's life, and what there is after it: whether it runs (-1: there is none), and how often it was booted."""


@pytest.fixture
async def forks(nats_url: str, docker_hosts: dict[str, LabHost], tmp_path: Path) -> AsyncIterator[Forks]:
    lab = docker_hosts[names()[0]]
    async with Forks(nats_url, libvirt=lab.libvirt_url) as forks:
        yield forks
    await asyncio.to_thread(clear, lab, tmp_path)


@pytest.mark.timeout(300)
async def test_killed_at_any_call_of_libvirt_an_agent_goes_on_and_a_machine_boots_once_for_each_start(
    forks: Forks, nats_url: str, docker_hosts: dict[str, LabHost], number: int, tmp_path: Path
) -> None:
    lab = docker_hosts[names()[0]]
    numbers = (number * 1000 + each for each in count())

    async def a_life(stack: AsyncExitStack, forgetful: bool = False) -> Life:
        own = next(numbers)
        folder = tmp_path / str(own)
        ear = await stack.enter_async_context(Ear(nats_url, own))
        image = {"uuid": str(uuid.uuid4()), "url": boot_image(folder / "images" / "counter.img").as_uri()}
        tree = machine(str(uuid.uuid4()), image, fields={"stopTimeout": 0})
        life = Life(number=own, folder=folder, forks=forks, ear=ear, tree=tree, forgetful=forgetful)
        assert await forks.start(own, folder)
        data = on_pool(tree)
        data["volumeStoragePoolMap"]["volume"] |= {"uuid": tree["volumes"][0]["uuid"], "image": image}
        answer = await ear.ask(command("storage.volume.activate", data, 5, agent=own), SECONDS)
        assert answer.transitioning is None, answer
        await forks.kill(own)
        return life

    async def live(gate: asyncio.Semaphore, points: list[list[str]], turn: int) -> None:
        async with gate, AsyncExitStack() as stack:
            life = await a_life(stack, forgetful=turn % 2 == 1)
            for (make, after), places in zip(STEPS, points, strict=True):
                asked = make(life.tree, 10 * (len(life.told) + 1), life.number)
                await life.step(asked, places[turn] if turn < len(places) else "", partial(check, life, after))

    async def check(life: Life, after: tuple[int, int], point: str) -> None:
        runs, boots = after
        found = await asyncio.to_thread(_active, lab, life.tree["uuid"])
        assert found == ([] if runs < 0 else [bool(runs)]), point
        serial = life.folder / "disks" / f"serial-{life.tree['uuid']}.log"
        if runs < 0:
            assert not serial.exists(), point
            return
        async with asyncio.timeout(SECONDS):
            while runs and f"corral boot {boots}\n." not in serial.read_text():
                await asyncio.sleep(0.05)
        assert serial.read_text().count("boot") == boots, point

    async with AsyncExitStack() as stack:
        life = await a_life(stack)
        points = [
            [each for each in await life.points(make(life.tree, 10 * (step + 1), life.number)) if _is_libvirts(each)]
            for step, (make, _) in enumerate(STEPS)
        ]
    assert [any(f" after {call}#" in point for point in points[0]) for call in ("defineXML", "create")] == [True, True]
    assert any(" after destroy#" in point for point in points[1])
    assert any(" after undefineFlags#" in point for point in points[3])
    gate = asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as group:
        for turn in range(max(map(len, points))):
            group.create_task(live(gate, points, turn))


def _is_libvirts(point: str) -> bool:
    """Those of the agent's own (its ledger, its answer) are test_failpoints'."""
    libvirt, call = bindings(), point.rpartition(" ")[2].partition("#")[0]
    return hasattr(libvirt.virConnect, call) or hasattr(libvirt.virDomain, call)


def _active(lab: LabHost, instance: str) -> list[bool]:
    """Of each domain of an instance: whether it runs."""
    return [" id=" in xml.partition(">")[0] for name, xml in domains_of(lab).items() if name == f"corral-{domain_uuid(instance)}"]

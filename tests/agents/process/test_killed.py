"""Agents that are killed in the middle of a command, in processes of their own, whenever it happens to be: nothing is done twice.

(test_failpoints has them killed at every single place.)
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agents.simulated import SimulatedDriver
from tests.agents.orders import Ear, activate, deactivate, instance

Launch = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def launch(nats_url: str, number: int, tmp_path: Path) -> AsyncIterator[Launch]:
    """Starts an agent process that hears; whatever still runs is killed after the test."""
    started: list[asyncio.subprocess.Process] = []

    async def start(**given: Any) -> asyncio.subprocess.Process:
        settings = {"number": number, "nats": nats_url, "folder": str(tmp_path / "agent"), **given}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.agents.process.dying_agent", json.dumps(settings),
            stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3],
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        async with asyncio.timeout(20):
            # The agent's log goes to stdout too.
            while line := await process.stdout.readline():
                if line == b"ready\n":
                    break
        assert line == b"ready\n", "the agent process ended before it was ready"
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            process.kill()
        await asyncio.wait_for(process.communicate(), 10)


async def boxes(tmp_path: Path) -> dict[str, tuple[str, int]]:
    driver = SimulatedDriver("agent1")
    await driver.open(tmp_path / "agent")
    found = {uuid: (box.state, box.created) for uuid, box in driver.boxes().items()}
    await driver.close()
    return found


@pytest.mark.parametrize("where", ["delay", "linger"])
async def test_killed_before_or_after_the_work_the_instance_is_created_once(
    launch: Launch, ear: Ear, number: int, tmp_path: Path, where: str
) -> None:
    first = await launch(knobs={where: {"compute.instance.activate": 30}})
    web = instance()
    sent = activate(web, agent=number)
    await ear.send(sent)
    await asyncio.sleep(0.4)
    assert (web["uuid"] in await boxes(tmp_path)) is (where == "linger")
    first.kill()
    await first.wait()
    await launch()
    assert (await ear.ask_until_answered(sent)).transitioning is None
    assert await boxes(tmp_path) == {web["uuid"]: ("running", 1)}


async def test_killed_at_any_time_under_load_each_instance_is_created_once(launch: Launch, ear: Ear, number: int, tmp_path: Path) -> None:
    sent = [activate(instance(f"web{each}"), each + 1, agent=number) for each in range(60)]
    knobs = {"delay": {"compute.instance.activate": 0.02}, "linger": {"compute.instance.activate": 0.02}}
    for moment in (0.02, 0.05, 0.1, 0.15):
        agent = await launch(knobs=knobs)
        await ear.send(*sent)
        await asyncio.sleep(moment)
        agent.kill()
        await agent.wait()
    await launch(knobs=knobs)
    await ear.send(*sent)
    for each in sent:
        assert (await ear.wait_for(each.id))[0].transitioning is None
    assert set((await boxes(tmp_path)).values()) == {("running", 1)}


async def test_an_epoch_is_on_disk_before_the_work_begins(launch: Launch, ear: Ear, number: int) -> None:
    first = await launch(knobs={"delay": {"compute.instance.deactivate": 30}})
    web = instance()
    await ear.send(deactivate(web, 20, agent=number))
    await asyncio.sleep(0.4)
    first.kill()
    await first.wait()
    await launch()
    late = await ear.ask(activate(web, 10, agent=number))
    assert (late.context or {}).get("stale") is True

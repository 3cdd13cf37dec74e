"""Fixtures for the tests of agents: a number nobody else uses, an ear at its subjects, and a simulated agent."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from agents.docker import DockerDriver
from agents.process.agent import Agent
from agents.simulated import Knobs, SimulatedDriver
from tests.agents.docker.box import DockerBox, a_docker_box
from tests.agents.libvirt.host import Host, Open, opened
from tests.agents.orders import Ear
from tests.support.lab import LabHost, names

_numbers = itertools.count(90_000)

StartSimulated = Callable[..., Awaitable[tuple[Agent, SimulatedDriver]]]


@pytest.fixture
def number() -> int:
    """An agent's id; NATS is shared by all tests."""
    return next(_numbers)


@pytest.fixture
async def ear(nats_url: str, number: int) -> AsyncIterator[Ear]:
    async with Ear(nats_url, number) as ear:
        yield ear


@pytest.fixture
async def start_simulated(nats_url: str, number: int, tmp_path: Path) -> AsyncIterator[StartSimulated]:
    """Starts a simulated agent that hears; it is stopped after the test."""
    async with AsyncExitStack() as stack:

        async def start(knobs: Knobs | None = None, concurrency: int = 8, heartbeat: float = 5.0) -> tuple[Agent, SimulatedDriver]:
            driver = SimulatedDriver("agent1", tmp_path / "agent", knobs=knobs)
            agent = Agent(number, "agent1", driver, tmp_path / "agent", nats_url, concurrency=concurrency, heartbeat_seconds=heartbeat)
            await stack.enter_async_context(agent)
            await agent.ready.wait()
            return agent, driver

        yield start


@pytest.fixture
async def box(docker_hosts: dict[str, LabHost], ear: Ear, nats_url: str, tmp_path: Path) -> AsyncIterator[DockerBox]:
    """An agent on the first real host that hears."""
    host = docker_hosts[names()[0]]
    async with a_docker_box(DockerDriver(host.base_url, host_ip=host.address), host, ear, nats_url, tmp_path / "agent") as box:
        yield box


@pytest.fixture
async def open_host(docker_hosts: dict[str, LabHost], tmp_path: Path) -> AsyncIterator[Open]:
    """Opens a libvirt driver on one of the lab's hosts; what it made is gone after the test."""
    async with AsyncExitStack() as stack:
        yield partial(opened, stack, docker_hosts, tmp_path)


@pytest.fixture
async def libvirt_host(open_host: Open) -> Host:
    return await open_host()

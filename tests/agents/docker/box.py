"""A Docker driver in an agent, and the engine behind it: what a test has started, and what runs of it. The engine is shared by tests."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import docker

from agents.docker import DockerDriver
from agents.process.agent import Agent
from agents.wire import Message
from tests.agents.orders import Ear, Json, activate, instance
from tests.support.lab import LabHost

UUID = "corral.instance.uuid"
SECONDS = 30


@dataclass
class DockerBox:
    host: LabHost
    client: docker.APIClient
    ear: Ear
    driver: DockerDriver
    made: list[Json] = field(default_factory=list)

    def container(self, script: str = "exec sleep 600", **fields: object) -> Json:
        """An instance's tree that runs a shell script, in the image that is there."""
        given = {"imageUuid": f"docker:{self.host.image}", "command": "sh", "commandArgs": ["-c", script], "stopTimeout": 0}
        self.made.append(instance(f"box-{secrets.token_hex(4)}", **{**given, **fields}))
        return self.made[-1]

    async def start(self, tree: Json, epoch: int = 10) -> Message:
        """The agent's answer."""
        return await self.ear.ask(activate(tree, epoch, agent=self.ear.agent), SECONDS)

    async def started(self, tree: Json, epoch: int = 10) -> Json:
        """What the engine says of it, once the agent has started it."""
        answer = await self.start(tree, epoch)
        assert answer.transitioning is None, answer.transitioningMessage
        return self.inspected(tree)

    async def printed(self, tree: Json) -> str:
        """What its program wrote until it ended, each time it ran."""
        await self.started(tree)
        async with asyncio.timeout(SECONDS):
            while self.inspected(tree)["State"]["Status"] != "exited":
                await asyncio.sleep(0.1)
        logs: bytes = self.client.logs(self.inspected(tree)["Id"])
        return logs.decode()

    async def said(self, tree: Json, lines: int) -> list[str]:
        """The lines that its program wrote, once there are so many."""
        async with asyncio.timeout(SECONDS):
            while True:
                logs: bytes = self.client.logs(self.inspected(tree)["Id"])
                if len(found := logs.decode().splitlines()) >= lines:
                    return found
                await asyncio.sleep(0.1)

    def of(self, tree: Json) -> list[Json]:
        found: list[Json] = self.client.containers(all=True, filters={"label": [f"{UUID}={tree['uuid']}"]})
        return found

    def of_image(self, name: str) -> list[Json]:
        found: list[Json] = self.client.containers(all=True, filters={"ancestor": [name]})
        return found

    def inspected(self, tree: Json) -> Json:
        (only,) = self.of(tree)
        inspected: Json = self.client.inspect_container(only["Id"])
        return inspected


@asynccontextmanager
async def a_docker_box(driver: DockerDriver, host: LabHost, ear: Ear, nats_url: str, folder: Path) -> AsyncIterator[DockerBox]:
    """At the end the containers that it made are removed."""
    client = docker.APIClient(host.base_url, version="auto", timeout=SECONDS)
    box = DockerBox(host, client, ear, driver)
    try:
        async with Agent(ear.agent, f"agent-{ear.agent}", driver, folder, nats_url) as agent:
            await agent.ready.wait()
            yield box
    finally:
        for tree in box.made:
            for each in box.of(tree):
                client.remove_container(each["Id"], force=True, v=True)
        client.close()

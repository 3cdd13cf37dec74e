"""An agent in a process of its own that dies at a chosen point, as kill -9 would have it: `python -m tests.agents.dying_agent <json>`.

{"number", "nats", "folder", "docker": url | null, "die": "after-create" | "before-create" | null, "knobs": {...}}; prints "ready".
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import docker

from agents.docker import DockerDriver
from agents.driver import Driver
from agents.process import Agent
from agents.simulated import Knobs, SimulatedDriver


def die_around_create(when: str) -> None:
    real = docker.APIClient.create_container_from_config

    def create(client: docker.APIClient, *given: Any, **named: Any) -> Any:
        if when == "before-create":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(client, *given, **named)  # type: ignore[no-untyped-call]
        if when == "after-create":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    docker.APIClient.create_container_from_config = create  # type: ignore[method-assign, assignment]


def die_after_start() -> None:
    real = docker.APIClient.start

    def start(client: docker.APIClient, *given: Any, **named: Any) -> None:
        real(client, *given, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    docker.APIClient.start = start  # type: ignore[method-assign, assignment]


async def main(given: dict[str, Any]) -> None:
    if given.get("die") == "after-start":
        die_after_start()
    elif given.get("die"):
        die_around_create(given["die"])
    driver: Driver
    if given.get("docker"):
        driver = DockerDriver(given["docker"])
    else:
        driver = SimulatedDriver("agent1", knobs=Knobs(**given.get("knobs", {})))
    agent = Agent(given["number"], "agent1", driver, Path(given["folder"]), given["nats"])
    await agent.start()
    await agent.ready.wait()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await agent.wait()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))

"""Agents over a Docker engine or a libvirt, each in a process that begins in no time: `python -m tests.agents.process.forked_agents`.

    in    {"number", "nats", "folder", "docker" or "libvirt", "point": "" | a failpoint, "told": "" | a file}      an agent is forked
          {"number", "kill": true}                                                                    it is killed
    out   {"number", "said": "ready"}, {"number", "said": "dead", "signal": 9}

The end of its input ends them all. What an agent needs is imported once, before.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents.docker import DockerDriver
from agents.driver import Driver
from agents.libvirt import LibvirtDriver, LibvirtOptions
from agents.process import failpoints
from agents.process.agent import Agent

Say = Callable[[dict[str, Any]], None]


async def live(given: dict[str, Any], say: Say) -> None:
    failpoints.arm(given["point"], given["told"])
    folder = Path(given["folder"])
    agent = Agent(given["number"], "agent1", driver_of(given, folder), folder, given["nats"])
    await agent.start()
    await agent.ready.wait()
    say({"number": given["number"], "said": "ready"})
    await agent.wait()


def driver_of(given: dict[str, Any], folder: Path) -> Driver:
    if "docker" in given:
        return DockerDriver(given["docker"])
    return LibvirtDriver(given["libvirt"], LibvirtOptions(storage=folder / "disks", virtualization="qemu", host_ip="127.0.0.1"))


def fork(given: dict[str, Any], say: Say) -> int:
    child = os.fork()
    if child:
        return child
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for each in (0, 1):
            os.dup2(nothing, each)
        asyncio.run(live(given, say))
    finally:
        os._exit(1)


def main() -> None:
    out = os.dup(1)

    def say(what: dict[str, Any]) -> None:
        os.write(out, json.dumps(what).encode() + b"\n")  # whole: it is shorter than what a pipe takes at once

    living: dict[int, int] = {}
    """Process -> agent."""
    waiting = b""
    while True:
        if select.select([0], [], [], 0.01)[0]:
            read = os.read(0, 65536)
            if not read:
                break
            *lines, waiting = (waiting + read).split(b"\n")
            for given in map(json.loads, lines):
                if given.get("kill"):
                    for process in [process for process, number in living.items() if number == given["number"]]:
                        os.kill(process, signal.SIGKILL)
                else:
                    living[fork(given, say)] = given["number"]
        for process in list(living):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                say({"number": living.pop(process), "said": "dead", "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0})
    for process in living:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


if __name__ == "__main__":
    main()

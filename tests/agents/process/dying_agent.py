"""A simulated agent in a process of its own, for a test to kill: `python -m tests.agents.process.dying_agent <json>`.

{"number", "nats", "folder", "knobs": {...}}; prints "ready".
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from agents.process.agent import Agent
from agents.simulated import Knobs, SimulatedDriver


async def main(given: dict[str, Any]) -> None:
    driver = SimulatedDriver("agent1", knobs=Knobs(**given.get("knobs", {})))
    agent = Agent(given["number"], "agent1", driver, Path(given["folder"]), given["nats"])
    await agent.start()
    await agent.ready.wait()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await agent.wait()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))

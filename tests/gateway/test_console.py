"""Where a machine's screen is: its agent is asked while somebody waits, and what it says, or does not, is the answer."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agents.driver import DriverError, Json, Report
from agents.process.agent import Agent
from agents.simulated import SimulatedDriver
from agents.wire import Message
from eventstore.postgres import PostgresStore
from gateway.console import filled
from tests.gateway.bus.conftest import at_work
from tests.support.http import Api

SCREEN = {"kind": "websocket-vnc", "url": "ws://127.0.0.1:5/console?token=x", "host": "127.0.0.1", "port": 5, "password": "secret12"}
SECONDS = 30.0


class Screened(SimulatedDriver):
    """A simulated host whose machines have screens."""

    def __init__(self, uuid: str) -> None:
        super().__init__(uuid)
        self.screen: Json | None = dict(SCREEN)
        """None: it says nothing, ever."""
        self.trouble = ""
        self.asked: list[Message] = []

    async def carry_out(self, request: Message, report: Report) -> Json:
        if request.name == "console.access":
            self.asked.append(request)
            if self.trouble:
                raise DriverError(self.trouble)
            if self.screen is None:
                await asyncio.Event().wait()
            return dict(self.screen or {})
        told = await super().carry_out(request, report)
        if request.name == "compute.instance.activate":
            return {**told, "instance": {"+data": {"+fields": {"capabilities": ["console"]}}}}
        return told


@dataclass
class Machine:
    api: Api
    driver: Screened
    agent: Agent
    row: Json

    async def console(self) -> tuple[int, Json]:
        answer = await self.api.http.post(f"/v1/virtualmachines/{self.row['id']}", params={"action": "console"}, json={})
        return answer.status_code, answer.json()


@pytest.fixture
async def machine(store: PostgresStore, database: str, nats_url: str, tmp_path: Path) -> AsyncIterator[Machine]:
    async with at_work(store, database, nats_url) as api:
        own = f"agent-{uuid.uuid4()}"
        number = await api.add("agent", uri=f"event://{own}", uuid=own, managedConfig=False)
        driver = Screened(own)
        async with Agent(number, own, driver, tmp_path, nats_url, heartbeat_seconds=0.5) as agent:
            await api.has_hosts()
            async with asyncio.timeout(SECONDS):
                made = await api.post("/v1/virtualmachines", imageUuid="sim:box", name="box")
                while (row := await api.get(f"/v1/virtualmachines/{made['id']}"))["state"] != "running":
                    await asyncio.sleep(0.05)
            yield Machine(api, driver, agent, row)


async def test_the_agent_of_its_host_says_where_the_screen_is_and_a_setting_which_page_shows_it(machine: Machine) -> None:
    assert "console" in machine.row["actions"]
    status, document = await machine.console()
    assert status == 200
    assert {name: document[name] for name in ("type", "id", "kind", "url", "password")} == {
        "type": "instanceConsole", "id": None, "kind": SCREEN["kind"], "url": SCREEN["url"], "password": SCREEN["password"],
    }  # fmt: skip
    assert "view" not in document["links"]
    [asked] = machine.driver.asked
    assert (asked.data["instance"]["uuid"], asked.data["host"]["kind"]) == (machine.row["uuid"], "sim")
    context = asked.context or {}
    assert context["stream"] == "instance-1"
    assert context["correlation"], "the agent's log says whose question it was"

    await machine.api.post("/v1/settings", name="console.url.format.websocket-vnc", value="/see?at=${url}&as=${nobody}")
    async with asyncio.timeout(SECONDS):
        while "view" not in (links := (await machine.console())[1]["links"]):
            await asyncio.sleep(0.05)
    assert links["view"] == "/see?at=ws%3A%2F%2F127.0.0.1%3A5%2Fconsole%3Ftoken%3Dx&as="


async def test_what_the_agent_can_not_say_is_said_so(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.driver.trouble = "the virtual machine has no screen now"
    assert await _refusal(machine) == (502, "AgentError", "the virtual machine has no screen now")
    machine.driver.trouble, machine.driver.screen = "", {}
    assert await _refusal(machine) == (404, "Not Found", "box has no console")
    monkeypatch.setattr("gateway.console.SECONDS", 0.5)
    machine.driver.screen = None
    status, code, why = await _refusal(machine)
    assert (status, code) == (503, "Service Unavailable")
    assert f"agent 1a{machine.agent.number} did not answer console.access" in why


async def test_a_machine_that_does_not_run_has_no_console(machine: Machine) -> None:
    await machine.api.http.post(f"/v1/virtualmachines/{machine.row['id']}", params={"action": "stop"}, json={})
    status, code, why = await _refusal(machine)
    assert (status, code) == (422, "ActionNotAvailable"), why
    assert why.startswith("box has no console while it is stop")
    assert machine.driver.asked == []


def test_a_page_is_filled_with_what_is_told() -> None:
    told: dict[str, Any] = {"host": "a b", "port": 5, "path": "/c?d"}
    assert filled("https://page/?h=${host}&p=${port}&q=${path}&x=${none}$&{", told) == "https://page/?h=a%20b&p=5&q=%2Fc%3Fd&x=$&{"


async def _refusal(machine: Machine) -> tuple[int, str, str]:
    status, document = await machine.console()
    return status, document["code"], document["message"]

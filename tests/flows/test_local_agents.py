"""Agents that live in the server."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.support.server import Server
from tests.support.waiting import until


@pytest.mark.timeout(120)
def test_a_simulated_agent_that_cannot_be_started_keeps_no_other_from_it_and_is_tried_again(home: Path) -> None:
    def state(agent: httpx.Response) -> str:
        return str(http.get(httpx.URL(agent.json()["links"]["self"]).path).json()["state"])

    with Server(home, hosts="none") as server, server.http() as http:
        in_the_way = home / "agents" / "a1"
        in_the_way.parent.mkdir(exist_ok=True)
        in_the_way.touch()
        first = http.post("/v1/agents", json={"uri": "sim://first", "managedConfig": False})
        until(server.said, lambda said: "A simulated agent can't be started" in said)
        second = http.post("/v1/agents", json={"uri": "sim://second", "managedConfig": False})
        until(lambda: state(second), lambda seen: seen == "active")
        assert state(first) == "activating"
        in_the_way.unlink()
        http.post("/v1/agents", json={"uri": "sim://third", "managedConfig": False})
        until(lambda: state(first), lambda seen: seen == "active")

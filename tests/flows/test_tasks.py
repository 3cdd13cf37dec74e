"""Tasks of several servers: asked for at a gateway, done by the engines, ended by the one that leads, also after its death."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.cluster import a_cluster

TASK = "/v1/tasks/1t!agent.ping"


@pytest.mark.timeout(180)
async def test_an_execution_asked_for_at_a_gateway_is_ended_by_an_engine_also_once_the_leader_is_dead(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        await cluster.start(gateway={"roles": "gateway,projector"}, first={"roles": "engine"}, second={"roles": "engine"})
        names = {cluster.node(name): name for name in ("first", "second")}
        async with cluster.http() as http:
            leader = names[(await executed(http))["serverId"]]
            cluster[leader].kill()
            [other] = set(names.values()) - {leader}
            assert (await executed(http))["serverId"] == cluster.node(other)
            listed = (await http.get(f"{TASK}/taskinstances")).json()["data"]
            assert [names[each["serverId"]] for each in listed] == [leader, other]
            assert [each["exception"] for each in listed] == [None, None]


async def executed(http: httpx.AsyncClient) -> dict[str, Any]:
    """-> the execution, at its end."""
    asked = await http.post(f"{TASK}/?action=execute")
    assert (asked.status_code, asked.json()["id"]) == (200, "1t!agent.ping")
    position = asked.headers["X-Corral-Position"]
    async with asyncio.timeout(60):
        while True:
            listed = (await http.get("/v1/taskinstances", params={"sort": "id", "order": "desc", "min_position": position})).json()["data"]
            if listed[0]["endTime"] is not None:
                return dict(listed[0])
            await asyncio.sleep(0.05)

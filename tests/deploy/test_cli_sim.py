"""corral sim: hosts on paper that a server commands, stopped by Ctrl-C and taken away again."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import sim
from deploy.cli.client import Client
from tests.deploy.test_cli import Cli
from tests.support.server import Server
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(240)

THREE = ("sim", "--hosts", "3", "--name", "trio")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "home") as server:
        yield server


def test_hosts_on_paper_come_stop_and_are_removed(server: Server) -> None:
    corral = Cli(server.home)
    wanted = {"trio-0", "trio-1", "trio-2"}
    with server.http() as http:

        def agents() -> dict[str, str]:
            found = http.get("/v1/agents?removed_null=true&limit=100").json()["data"]
            return {each["uuid"]: each["state"] for each in found if each["uuid"] in wanted}

        crowd = corral.running(*THREE)
        try:
            assert crowd.stdout is not None
            assert "3 hosts hear commands" in crowd.stdout.readline()
            until(agents, lambda found: found == dict.fromkeys(wanted, "active"), 60)
            crowd.send_signal(signal.SIGINT)
            _, said = crowd.communicate(timeout=60)
        finally:
            crowd.kill()
        assert (crowd.returncode, "The server still knows these hosts" in said, "Traceback" in said) == (0, True, False)
        assert "3 simulated hosts are removed" in corral(*THREE, "--remove")
        assert agents() == {}


def test_an_agent_that_never_came_is_removed_as_well(server: Server) -> None:
    with server.http() as http:
        body = {"uuid": "trio-0", "kind": "sim", "uri": "sim://trio-0", "managedConfig": False}
        agent = http.post("/v1/agents", json=body).raise_for_status().json()["id"]
        until(lambda: http.get(f"/v1/agents/{agent}").json()["state"], lambda state: state == "activating", 60)
        assert "1 simulated hosts are removed" in Cli(server.home)(*THREE, "--remove")
        assert http.get(f"/v1/agents/{agent}").json()["removed"]


class Stuck(Client):
    """A server's word on what can be neither deactivated nor removed just now."""

    def __init__(self) -> None: ...

    def get(self, path: str, **params: Any) -> Any:
        return {"id": "1a7", "state": "deactivating", "transitioning": "yes", "removed": None, "actions": {}}


def test_what_can_not_be_removed_yet_is_told() -> None:
    assert sim._end(Stuck(), "agents/1a7") == "agents/1a7 (deactivating)"

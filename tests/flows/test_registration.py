"""A machine registers itself with a real server, and acts with the keys it was given."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.support.server import Server
from tests.support.waiting import until


@pytest.mark.timeout(150)
def test_a_machine_that_registers_finds_keys_that_are_its_agents(home: Path) -> None:
    with Server(home) as server, server.http() as http:
        made = http.post("/v1/register", json={"key": "of this machine"}).json()
        register = settled(http, f"{made['links']['self']}?key=of+this+machine")
        keys = (register["accessKey"], register["secretKey"])
        agents = http.get("/v1/agents", params={"uri": f"event://{register['uuid']}"}).json()["data"]
        assert [(each["kind"], each["managedConfig"]) for each in agents] == [("registeredAgent", True)]
        account = agents[0]["accountId"]
        [credential] = http.get("/v1/credentials", params={"accountId": account}).json()["data"]
        assert (credential["publicValue"], credential["secretValue"]) == keys
        history = http.get("/v1/events", params={"stream": f"genericObject-{made['id'].removeprefix('1go')}"}).text
        assert register["secretKey"] not in history


@pytest.mark.timeout(200)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_server_that_dies_in_the_middle_of_a_registration_makes_one_agent_of_it(home: Path, moment: str) -> None:
    server = Server(home, hosts="none")
    try:
        with server.start(failpoint=f"{moment}-append-genericobject.activate-done").http() as http, suppress(httpx.TransportError):
            http.post("/v1/register", json={"key": "k"})
        server.dead(60)
        with server.start().http() as http:
            [made] = until(lambda: http.get("/v1/register").json()["data"], lambda seen: len(seen) == 1)
            register = settled(http, f"{made['links']['self']}?key=k")
            assert len(http.get("/v1/agents", params={"uri": f"event://{register['uuid']}"}).json()["data"]) == 1
            assert register["secretKey"]
        server.stop()
    finally:
        server.kill()


def settled(http: httpx.Client, link: str) -> dict[str, str]:
    found: dict[str, str] = until(lambda: http.get(link).json(), lambda seen: bool(seen["state"] == "active"))
    return found

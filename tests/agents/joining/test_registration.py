"""Registering over HTTP, against a small server that answers as Corral does; the real one is met in tests/flows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from agents.joining.credentials import Credentials
from agents.joining.registration import RegistrationRefused, ServerAway, nats_address, register
from agents.process.ledger import LedgerInUse
from agents.run import AgentOptions, own_uuid, run_agent
from tests.agents.orders import Ear, activate, instance
from tests.support.small_server import Answering, SmallServer, served
from tests.support.waiting import happens


class Cloud:
    """Agents by uuid. `refuse` makes it answer with an error instead, for as long as it says."""

    def __init__(self, nats: str = "nats://127.0.0.1:4222") -> None:
        self.agents: dict[str, dict[str, Any]] = {}
        self.nats = nats
        self.first = 7
        self.refuse: Callable[[str], tuple[int, dict[str, Any]] | None] = lambda method: None
        self.seen: list[tuple[str, str | None]] = []
        self.url = ""

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: dict[str, Any]) -> tuple[int, Any]:
        refused = self.refuse(f"{method} {path}")
        if refused is not None:
            return refused
        if path == "/corral/info":
            return 200, {"nats": self.nats, "version": "0"}
        if method == "GET":
            found = self.agents.get(query["uuid"][0])
            return 200, {"data": [found] if found and not found.get("hidden") else []}
        if body["uuid"] in self.agents:
            return 409, {"type": "error", "code": "NotUnique", "fieldName": "uuid"}
        self.agents[body["uuid"]] = {**body, "id": str(self.first + len(self.agents))}
        return 201, self.agents[body["uuid"]]


@contextmanager
def serving(cloud: Cloud, port: int = 0) -> Iterator[Cloud]:
    class Handler(Answering):
        def do_GET(self) -> None:
            self._handle({})

        def do_POST(self) -> None:
            self._handle(json.loads(self.read()))

        def _handle(self, body: dict[str, Any]) -> None:
            parts = urlsplit(self.path)
            cloud.seen.append((f"{self.command} {parts.path}", self.headers["Authorization"]))
            status, document = cloud.answer(self.command, parts.path, parse_qs(parts.query), body)
            self.say(document, status)

    with served(SmallServer(("127.0.0.1", port), Handler)) as server:
        cloud.url = server.url
        yield cloud


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with serving(Cloud()) as cloud:
        yield cloud


def test_an_agent_is_created_once_and_found_ever_after(cloud: Cloud) -> None:
    first, again = register(cloud.url, "u1", "pi", "docker"), register(cloud.url + "/v1/", "u1", "other", "docker")
    assert (first.number, first.created, again.number, again.created) == (7, True, 7, False)
    assert cloud.agents["u1"] == {"uri": "event://u1", "uuid": "u1", "name": "pi", "kind": "docker", "managedConfig": False, "id": "7"}


def test_obfuscated_ids_are_understood(cloud: Cloud) -> None:
    cloud.agents["u1"] = {"uuid": "u1", "id": "1a12"}
    assert register(cloud.url, "u1", "pi", "docker").number == 12


def test_an_answer_that_breaks_off_is_a_server_that_is_away() -> None:
    class Breaking(Answering):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()

    with served(SmallServer(("127.0.0.1", 0), Breaking)) as server, pytest.raises(ServerAway, match="breaks off"):
        register(server.url, "u1", "pi", "docker")


def test_the_loser_of_a_race_finds_the_winners_row(cloud: Cloud) -> None:
    cloud.agents["u1"] = {"uuid": "u1", "id": "9", "hidden": True}
    refuse = cloud.refuse

    def appears(request: str) -> tuple[int, dict[str, Any]] | None:
        if request.startswith("POST"):
            cloud.agents["u1"]["hidden"] = False
        return refuse(request)

    cloud.refuse = appears
    assert (register(cloud.url, "u1", "pi", "docker").number) == 9


def test_a_removed_agent_is_refused_with_what_to_do(cloud: Cloud) -> None:
    cloud.agents["u1"] = {"uuid": "u1", "id": "9", "hidden": True}
    with pytest.raises(RegistrationRefused, match=r"removed\. Start this one with another uuid"):
        register(cloud.url, "u1", "pi", "docker")


@pytest.mark.parametrize(
    ("status", "raised", "said"),
    [
        (401, RegistrationRefused, "API key"),
        (404, RegistrationRefused, "404"),
        (422, RegistrationRefused, "InvalidOption"),
        (503, ServerAway, "503"),
    ],
)
def test_errors_are_sorted_into_never_and_later(cloud: Cloud, status: int, raised: type[Exception], said: str) -> None:
    cloud.refuse = lambda request: (status, {"code": "InvalidOption"})
    with pytest.raises(raised, match=said):
        register(cloud.url, "u1", "pi", "docker")


def test_the_api_key_is_sent(cloud: Cloud) -> None:
    register(cloud.url, "u1", "pi", "docker", Credentials("key", "secret"))
    assert {sent for _, sent in cloud.seen} == {"Basic a2V5OnNlY3JldA=="}


def test_nobody_there_is_for_later_and_no_address_is_for_never() -> None:
    with pytest.raises(ServerAway, match="does not answer"):
        register("http://127.0.0.1:1", "u1", "pi", "docker")
    with pytest.raises(RegistrationRefused, match="must look like"):
        register("server:8080", "u1", "pi", "docker")


@pytest.mark.parametrize(
    ("told", "base", "expected"),
    [
        ("nats://127.0.0.1:4222", "http://127.0.0.1:8080", "nats://127.0.0.1:4222"),
        ("nats://127.0.0.1:4300", "http://big.example:8080", "nats://big.example:4300"),
        ("nats://user:pass@0.0.0.0:4222", "http://10.0.0.9", "nats://user:pass@10.0.0.9:4222"),
        ("nats://nats.example:4222", "http://big.example", "nats://nats.example:4222"),
        ("nats://localhost:4222", "http://[fd00::1]:8080", "nats://[fd00::1]:4222"),
    ],
)
def test_a_nats_on_the_servers_own_machine_is_found_from_others(told: str, base: str, expected: str) -> None:
    assert nats_address({"nats": told}, base) == expected


def test_an_agent_keeps_its_uuid_in_its_folder(tmp_path: Path) -> None:
    first = own_uuid(tmp_path / "a")
    assert own_uuid(tmp_path / "a") == first
    assert own_uuid(tmp_path / "b", "mine") == "mine"
    with pytest.raises(RegistrationRefused, match="belongs to agent mine"):
        own_uuid(tmp_path / "b", "other")


async def test_an_agent_started_before_its_server_waits_registers_and_works(
    nats_url: str, ear: Ear, number: int, tmp_path: Path
) -> None:
    said: list[str] = []
    with serving(Cloud()) as earlier:
        port = urlsplit(earlier.url).port
    assert port is not None
    options = AgentOptions(f"http://127.0.0.1:{port}", tmp_path / "agent", sim=True, name="pi")
    running = asyncio.create_task(run_agent(options, said.append))
    await happens(lambda: said)
    assert "does not answer" in said[0]
    cloud = Cloud(nats_url)
    cloud.first = number
    with serving(cloud, port):
        await happens(lambda: len(said) == 3)
        assert said[1].startswith(f"Agent pi is 1a{number} (new)")
        assert (await ear.ask(activate(instance(), agent=number))).transitioning is None
        with pytest.raises(LedgerInUse):
            await run_agent(options)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

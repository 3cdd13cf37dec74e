"""Agents that the server runs on machines it logs in to: a real server, and a real sshd."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.settings import SECURITY
from tests.support.certificates import ADDRESS, self_signed
from tests.support.server import Server
from tests.support.sshd import SSHD, Sshd
from tests.support.waiting import until

pytestmark = [
    pytest.mark.skipif(not (shutil.which(SSHD) or os.environ.get("CI")), reason="no sshd is installed here"),
    pytest.mark.timeout(240),
]

PATIENT = 60.0


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "sshd") as sshd:
        yield sshd


@pytest.fixture
def server(home: Path) -> Iterator[Server]:
    with Server(home, hosts="none", set="ssh.agent.env=CORRAL_SIM=1") as server:
        yield server


def made(http: httpx.Client, uri: str) -> str:
    """-> the path of a new agent"""
    answer = http.post("/v1/agents", json={"uri": uri})
    assert answer.status_code == 201, answer.text
    return str(httpx.URL(answer.json()["links"]["self"]).path)


def when(http: httpx.Client, path: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The agent, once it is as wanted."""
    seen: dict[str, Any] = until(lambda: http.get(path).json(), wanted, PATIENT)
    return seen


def note(agent: dict[str, Any]) -> str:
    return str(((agent.get("data") or {}).get("ssh") or {}).get("state") or "")


def test_a_machine_is_logged_in_to_and_becomes_a_host(server: Server, sshd: Sshd) -> None:
    with server.http() as http:
        sshd.trust(http.get("/v1/authorized_keys").text)
        path = made(http, sshd.uri)
        agent = when(http, path, lambda seen: seen["state"] == "active" and note(seen) == "connected")
        assert agent["uri"] == sshd.uri
        [host] = until(lambda: http.get("/v1/hosts", params={"state": "active"}).json()["data"], lambda seen: len(seen) == 1, PATIENT)
        assert host["agentId"] == agent["id"]
        assert {each["appliedVersion"] for each in http.get("/v1/configitemstatuses").json()["data"]} == {1}
        pid = agent_of(sshd, agent)
        assert "secret" not in Path(f"/proc/{pid}/cmdline").read_text().lower()

        http.post(f"{path}/?action=deactivate")  # and it is run no longer
        until(lambda: Path(f"/proc/{pid}").exists(), lambda there: not there, PATIENT)
        http.post(f"{path}/?action=activate")
        when(http, path, lambda seen: seen["state"] == "active")


def test_a_machine_that_goes_away_in_the_middle_is_found_again_and_its_agent_is_the_same(server: Server, sshd: Sshd) -> None:
    with server.http() as http:
        sshd.trust(http.get("/v1/authorized_keys").text)
        path = made(http, sshd.uri)
        agent = when(http, path, lambda seen: seen["state"] == "active" and note(seen) == "connected")
        first = agent_of(sshd, agent)
        sshd.kill()
        until(lambda: Path(f"/proc/{first}").exists(), lambda there: not there, PATIENT)  # it does not outlive its connection
        when(http, path, lambda seen: "can't be logged in to" in note(seen) or "ended" in note(seen))
        sshd.start()
        when(http, path, lambda seen: seen["state"] == "active" and note(seen) == "connected")
        assert agent_of(sshd, agent) != first
        assert len(http.get("/v1/hosts").json()["data"]) == 1

        # Somebody else in its place is not believed.
        sshd.kill()
        sshd.new_host_key()
        sshd.start()
        said = note(when(http, path, lambda seen: "another host key" in note(seen)))
        assert said.count("SHA256:") == 2
        assert "deactivate this agent and activate it again" in said
        http.post(f"{path}/?action=deactivate")
        when(http, path, lambda seen: note(seen) == "deactivated")
        http.post(f"{path}/?action=activate")
        when(http, path, lambda seen: seen["state"] == "active" and note(seen) == "connected")


def test_what_keeps_the_server_out_is_told_until_it_is_mended(server: Server, tmp_path: Path) -> None:
    sshd = Sshd(tmp_path / "sshd")
    with server.http() as http:
        path = made(http, sshd.uri)
        when(http, path, lambda seen: "can't be logged in to" in note(seen))  # nobody listens
        with sshd:
            when(http, path, lambda seen: "does not take this server's key: add /v1/authorized_keys" in note(seen))
            sshd.trust(http.get("/v1/authorized_keys").text)
            when(http, path, lambda seen: seen["state"] == "active" and note(seen) == "connected")


def test_the_password_of_a_uri_is_shown_to_nobody(server: Server, tmp_path: Path) -> None:
    sshd = Sshd(tmp_path / "sshd")
    with sshd, server.http() as http:
        path = made(http, f"ssh://{sshd.user}:s3cret%20pass@127.0.0.1:{sshd.port}")
        assert http.get(path).json()["uri"] == sshd.uri
        said = note(when(http, path, lambda seen: "takes neither the password of its uri nor" in note(seen)))
        events = http.get("/v1/events", params={"limit": "1000"}).text
        for text in (http.get(path).text, events, said, server.said()):
            assert "s3cret" not in text
        assert http.post("/v1/agents", json={"uri": sshd.uri}).json()["fieldName"] == "uri"  # it is the same machine
        refused = http.post("/v1/agents", json={"uri": "ssh://me@host:nonsense"}).json()
        assert (refused["status"], refused["code"], refused["fieldName"]) == (422, "InvalidFormat", "uri")


def test_a_server_that_dies_leaves_no_agent_behind_and_the_next_one_takes_it_up(home: Path, sshd: Sshd) -> None:
    server = Server(home, hosts="none", set="ssh.agent.env=CORRAL_SIM=1")
    with server:
        with server.http() as http:
            sshd.trust(http.get("/v1/authorized_keys").text)
            path = made(http, sshd.uri)
            agent = when(http, path, lambda seen: seen["state"] == "active" and note(seen) == "connected")
        first = agent_of(sshd, agent)
        server.kill()
        until(lambda: Path(f"/proc/{first}").exists(), lambda there: not there, PATIENT)
        server.start()
        with server.http() as http:
            until(lambda: agent_of(sshd, agent), lambda pid: pid != first, PATIENT)
            when(http, path, lambda seen: seen["state"] == "active")


def agent_of(sshd: Sshd, agent: dict[str, Any]) -> int:
    """Its process."""
    return int((sshd.home / f"ssh-{agent['id'].removeprefix('1')}" / "pid").read_text())


def test_nats_speaks_tls_through_the_tunnel_whose_end_its_certificate_does_not_name(home: Path, sshd: Sshd, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path / "nats", ADDRESS)
    settings = f"ssh.agent.env=CORRAL_SIM=1,{SECURITY}=true"
    with Server(home, hosts="none", set=settings, nats_tls_certificate=str(certificate), nats_tls_key=str(key)) as server:
        kept = json.loads((home / "admin.key").read_bytes())
        with httpx.Client(base_url=server.url, auth=(kept["access"], kept["secret"]), timeout=20) as http:
            sshd.trust(http.get("/v1/authorized_keys").text)
            path = made(http, sshd.uri)
            when(http, path, lambda seen: seen["state"] == "active" and note(seen) == "connected")

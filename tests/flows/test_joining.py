"""Machines join a real server with curl and sh alone: by a token's script, by registering themselves, and as agents named over the API."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.certificates import self_signed
from tests.support.server import Server
from tests.support.waiting import until


def shell(script: str, folder: Path, *, status: int = 0, variables: dict[str, str] | None = None) -> str:
    """What a bash of its own says, with curl and nothing of Corral's around it."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), **(variables or {})}
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == status, f"{done.returncode}: {done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@contextmanager
def ended(folder: Path) -> Iterator[Path]:
    """The agent that the script left at work ends with the test. -> its home"""
    home = folder / "agent"
    try:
        yield home
    finally:
        if (home / "pid").exists():
            with suppress(ProcessLookupError):
                os.kill(int((home / "pid").read_text()), signal.SIGTERM)


@pytest.mark.timeout(200)
def test_a_pasted_command_makes_a_machine_a_host_once(home: Path, tmp_path: Path) -> None:
    with Server(home, hosts="none") as server, server.http() as http, ended(tmp_path) as agent:
        made = http.post("/v1/registrationtokens").json()
        until(lambda: http.get(made["links"]["self"]).json(), lambda seen: "token" in seen)
        command = http.get(f"{made['links']['self']}/command").text
        mine = {"CORRAL_HOME": str(tmp_path)}
        assert "This machine has joined" in shell(f"{command.strip()} -s -- --sim --name paper", tmp_path, variables=mine)
        hosts = until(lambda: http.get("/v1/hosts", params={"state": "active"}).json()["data"], lambda seen: len(seen) == 1)
        assert hosts[0]["accountId"] == made["accountId"]  # what it brings is of the account whose token it had
        assert "at work already" in shell(f"{command.strip()} -s -- --sim --name paper", tmp_path, variables=mine)
        assert "at work already" in shell(command.strip(), tmp_path, variables=mine), "without options, they are those of before"
        before = int((agent / "pid").read_text())
        replaced = shell(f"{command.strip()} -s -- --sim --name reed", tmp_path, variables=mine)
        assert "An agent with other options is at work here" in replaced
        assert not alive(before)

        pid = int((agent / "pid").read_text())
        os.kill(pid, signal.SIGTERM)
        until(lambda: alive(pid), lambda seen: not seen)
        [found] = http.get("/v1/agents").json()["data"]
        assert state(http, found) == "reconnecting"  # it said that it goes
        http.post(f"/v1/hosts/{hosts[0]['id']}/?action=deactivate").raise_for_status()
        again = shell(f"{command.strip()} -s -- --sim", tmp_path, variables=mine)
        assert "known" in again  # the same agent
        assert "It is active" in again, "though its host gets no instances just now"
        assert state(http, found, "active") == "active"
        [found] = http.get("/v1/agents").json()["data"]
        assert (found["kind"], found["managedConfig"]) == ("registeredAgent", True)
        items = http.get("/v1/configitemstatuses").json()["data"]
        assert {each["name"]: each["appliedVersion"] for each in items} == {"configscripts": 1, "pyagent": 1}
        assert (agent / "config" / "configscripts" / "config.sh").exists()


@pytest.mark.timeout(120)
def test_without_python_or_docker_it_is_told_what_lacks(home: Path, tmp_path: Path) -> None:
    with Server(home, hosts="none") as server, server.http() as http:
        tokens = until(lambda: http.get("/v1/registrationtokens").json()["data"], lambda seen: bool(seen) and "token" in seen[0])
        command = f"curl -sS '{tokens[0]['registrationUrl']}' | sh"
        (tmp_path / "bin").mkdir()
        for name in ("sh", "curl", "uname", "bash", "cat"):
            (tmp_path / "bin" / name).symlink_to(subprocess.check_output(["which", name], text=True).strip())
        said = shell(command, tmp_path, status=1, variables={"PATH": str(tmp_path / "bin")})
        assert "lacks what its agent needs" in said
        assert "/no/python is no Python 3.11" in shell(command, tmp_path, status=1, variables={"PYTHON": "/no/python"})

        # Where Docker can't get the image, it is told what another one needs. (Real engines: test_joining_docker.py)
        programs = ("mktemp", "rm", "mv", "cut", "sha256sum", "true")
        for name in programs:
            (tmp_path / "bin" / name).symlink_to(subprocess.check_output(["which", name], text=True).strip())
        docker = tmp_path / "bin" / "docker"
        docker.write_text('#!/bin/sh\n[ "$1" != create ] && [ "$1" != inspect ]\n')
        docker.chmod(0o755)
        said = shell(command, tmp_path, status=1, variables={"PATH": str(tmp_path / "bin")})
        assert "Docker has no image python:3.13-slim" in said
        assert http.get("/v1/agents").json()["data"] == []  # nothing was registered that could never answer


@pytest.mark.timeout(150)
def test_a_script_with_curl_alone_registers_and_fetches_its_configuration(home: Path, tmp_path: Path) -> None:
    with Server(home, hosts="none") as server:
        said = shell(
            """
            set -eu
            json() { python3 -c "import json,sys; print(json.load(sys.stdin)$1)"; }
            for i in $(seq 100); do
                token=$(curl -sS "$URL/registrationtokens?state=active" | json "['data'][0]['token']") && break; sleep 0.2
            done
            ask() { curl -sS -u "registrationToken:$token" "$@"; }
            ask -F key=of-this-machine "$URL/register" >/dev/null
            for i in $(seq 100); do
                row=$(ask "$URL/register?key=of-this-machine")
                [ "$(echo "$row" | json "['data'][0]['state']")" = active ] && break; sleep 0.2
            done
            export CATTLE_ACCESS_KEY=$(echo "$row" | json "['data'][0]['accessKey']")
            export CATTLE_SECRET_KEY=$(echo "$row" | json "['data'][0]['secretKey']")
            ask "$URL/register" | grep -q "$CATTLE_SECRET_KEY" && echo "everybody reads it"
            curl -sS "$URL/scripts/bootstrap" | sh
            echo "applied: $(curl -sS "$URL/configitemstatuses" | json "['data']")"
            """,
            tmp_path,
            variables={"URL": f"{server.url}/v1", "CATTLE_HOME": str(tmp_path / "cattle"), "CORRAL_AGENT": "1"},
        )
        assert "everybody reads it" not in said
        assert said.count("is in force in version 1-") == 2
        assert said.count("'appliedVersion': 1") == 2
        assert (tmp_path / "cattle" / "configscripts" / "config.sh").exists()
        again = shell(
            "cd cattle/configscripts && sh ./config.sh configscripts no-such-item",
            tmp_path,
            status=22,
            variables={"CATTLE_HOME": str(tmp_path / "cattle"), "CATTLE_CONFIG_URL": f"{server.url}/v1", "CATTLE_AGENT_ID": "1a1"},
        )
        assert "configscripts is in force" in again
        assert "no-such-item could not be applied" in again


@pytest.mark.timeout(150)
def test_agents_are_made_with_a_form_and_simulated_ones_fetch_their_configuration(home: Path, tmp_path: Path) -> None:
    with Server(home, hosts="none") as server, server.http() as http:
        url = f"{server.url}/v1"
        said = shell(f"curl -sS -X POST -F user=me {url}/agents; curl -sS -X POST -F user=me {url}/agents", tmp_path)
        assert '"uri":"ssh://me@' in said
        assert '"code":"NotUnique"' in said
        assert '"fieldName":"uri"' in said
        made = http.post("/v1/agents", data={"uri": "sim://managed", "uuid": "managed"}).json()
        assert made["managedConfig"] is True
        until(lambda: http.get(made["links"]["self"]).json()["state"], lambda seen: seen == "active")
        items = http.get(f"{made['links']['self']}/configitemstatuses").json()["data"]
        assert sorted((each["name"], each["appliedVersion"]) for each in items) == [("configscripts", 1), ("pyagent", 1)]


@pytest.mark.timeout(200)
def test_the_agent_is_replaced_by_the_servers_newer_code_and_started_with_the_machine(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "it's a home"
    with Server(home, hosts="none") as server, server.http() as http, ended(place) as agent:
        command = joining(http) + r""" -s -- --sim --name 'it'"'"'s \new'"""
        mine = {"CORRAL_HOME": str(place), "PATH": f"{tmp_path}/bin:/usr/local/bin:/usr/bin:/bin"}
        said = shell(command, tmp_path, variables=mine)
        assert r"Agent it's \new is 1a" in said
        assert "It ends with this machine" in said
        first = int((agent / "pid").read_text())

        (agent / "code").write_text("what an older server gave")
        (agent / "agent.pyz").write_bytes(b"broken")
        (tmp_path / "bin").mkdir()
        crontab = tmp_path / "bin" / "crontab"
        table = tmp_path / "table"
        crontab.write_text(f'#!/bin/sh\n[ "$1" = -l ] && exec cat {table}\ncat >{table}.new && mv {table}.new {table}\n')
        crontab.chmod(0o755)
        table.write_text("@daily /bin/true\n")
        if Path("/run/systemd/system").exists():
            pytest.skip("systemd is at work here: it, and not cron, would be told")
        said = shell(f"{command} --boot", tmp_path, variables=mine)
        assert f"An agent of other code is at work here, process {first}" in said
        assert int((agent / "pid").read_text()) != first
        daily, at_boot = table.read_text().splitlines()
        assert (daily, at_boot.split()[0]) == ("@daily /bin/true", "@reboot")

        # The machine starts anew, with what cron has of the environment.
        os.kill(int((agent / "pid").read_text()), signal.SIGKILL)
        bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        booted = subprocess.Popen(["/bin/sh", "-c", f"exec {at_boot.removeprefix('@reboot ')}"], env=bare, start_new_session=True)
        until(lambda: (agent / "agent.log").read_text().count("It is active"), lambda seen: seen == 2)
        [known] = http.get("/v1/agents").json()["data"]
        assert state(http, known, "active") == "active"
        assert (agent / "run").stat().st_mode & 0o777 == 0o600
        booted.terminate()
        booted.wait(30)


@pytest.mark.timeout(120)
def test_what_is_not_the_servers_code_is_not_run(home: Path, tmp_path: Path) -> None:
    with Server(home, hosts="none") as server, server.http() as http:
        url = joining(http).split("'")[1]
        script = http.get(httpx.URL(url).path).text
        mine = {"CORRAL_HOME": str(tmp_path)}
        (tmp_path / "other.sh").write_text(script.replace("CORRAL_AGENT_SHA256=", "CORRAL_AGENT_SHA256=0", 1))
        assert "is not what this script was made for" in shell("sh other.sh --sim", tmp_path, status=1, variables=mine)
        (tmp_path / "script.sh").write_text(script)
    said = shell("sh script.sh --sim", tmp_path, status=1, variables=mine)
    assert "agent.pyz can't be fetched; above is why" in said
    assert "agent.instance.register.url" in said
    assert not (tmp_path / "agent" / "pid").exists()


@pytest.mark.timeout(120)
def test_corral_agent_joins_by_the_address_alone_and_says_when_it_is_taken_in(home: Path, tmp_path: Path) -> None:
    with Server(home, hosts="none", set="api.security.enabled=true") as server:
        key = json.loads((home / "admin.key").read_bytes())
        with httpx.Client(base_url=server.url, auth=(key["access"], key["secret"]), timeout=20) as http:
            url = joining(http).split("'")[1]
            corral = [sys.executable, "-m", "deploy.cli", "agent", "--sim", "--home", str(tmp_path / "agent"), "--join"]
            kept = {"PATH": os.environ["PATH"], "CORRAL_HOME": str(tmp_path)}
            refused = subprocess.run([*corral, f"{server.url}/v1"], env=kept, capture_output=True, text=True, timeout=60, check=False)
            assert refused.returncode == 2
            assert "no address to join by" in refused.stderr
            agent = subprocess.Popen([*corral, url], env=kept, stderr=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            try:
                assert agent.stdout is not None
                assert agent.stdout.readline() == "It is active\n"  # it has the keys of an agent, which sees no documents
                [host] = until(lambda: http.get("/v1/hosts", params={"state": "active"}).json()["data"], lambda seen: len(seen) == 1)
                [found] = http.get("/v1/agents").json()["data"]
                assert (found["kind"], host["agentId"]) == ("registeredAgent", found["id"])
            finally:
                agent.terminate()
                agent.communicate(timeout=20)


def joining(http: httpx.Client) -> str:
    """The command of the server's first token, once it has one."""
    tokens = until(lambda: http.get("/v1/registrationtokens").json()["data"], lambda seen: bool(seen) and "token" in seen[0])
    return f"curl -sS '{tokens[0]['registrationUrl']}' | sh"


def state(http: httpx.Client, agent: dict[str, Any], wanted: str = "reconnecting") -> str:
    """The agent's, once it is the wanted one."""
    found: str = until(lambda: http.get(agent["links"]["self"]).json()["state"], lambda seen: bool(seen == wanted))
    return found


def alive(pid: int) -> bool:
    """Whether the process is at work: one that nobody has waited for yet is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.timeout(200)
def test_a_machine_joins_over_https_with_the_servers_certificate_and_not_without(home: Path, tmp_path: Path) -> None:
    cert, private = self_signed(tmp_path)
    server = Server(home, hosts="none", tls_certificate=str(cert), tls_key=str(private), set="api.security.enabled=true")
    with server, ended(tmp_path) as agent:
        key = json.loads((home / "admin.key").read_bytes())
        trusting = ssl.create_default_context(cafile=str(cert))
        url = server.url.replace("http://", "https://")
        with httpx.Client(base_url=url, verify=trusting, auth=(key["access"], key["secret"]), timeout=20) as http:
            made = http.post("/v1/registrationtokens").json()
            until(lambda: http.get(made["links"]["self"]).json(), lambda seen: "token" in seen)
            given = http.get(f"{made['links']['self']}/command").text.strip()
            command = f"set -o pipefail; {given} -s -- --sim"
            assert f"curl -sS '{url}/v1/scripts/" in command
            assert "certificate" in shell(command, tmp_path, status=60, variables={"CORRAL_HOME": str(tmp_path)})
            mine = {"CORRAL_HOME": str(tmp_path), "CURL_CA_BUNDLE": str(cert), "CORRAL_CA": str(cert)}
            assert "This machine has joined" in shell(command, tmp_path, variables=mine)
            [host] = until(lambda: http.get("/v1/hosts", params={"state": "active"}).json()["data"], lambda seen: len(seen) == 1)
            assert host["accountId"] == made["accountId"]
            until(lambda: http.get("/v1/configitemstatuses").json()["data"], lambda seen: {each["appliedVersion"] for each in seen} == {1})
            assert (agent / "config" / "configscripts" / "config.sh").exists()

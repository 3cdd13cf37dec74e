"""Cattle's own `cattle` command against the real server: its arguments, its variables, what it prints and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import CHECKOUT, Server
from tests.support.waiting import until

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def server(shared_home: Path) -> Iterator[Server]:
    with Server(shared_home) as server:
        yield server


@pytest.fixture
def run(server: Server, tmp_path: Path) -> Run:
    """Its user's home, where it keeps schemas, is the test's own."""
    variables = {**os.environ, "CATTLE_URL": f"{server.url}/v1", "HOME": str(tmp_path)}

    def run(*arguments: str, **others: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.support.cattle_command", *arguments]
        return subprocess.run(command, env={**variables, **others}, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)

    return run


def told(run: Run, *arguments: str) -> Any:
    """What it prints as JSON."""
    done = run("--format", "json", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)


def rows(table: str) -> dict[str, str]:
    """Field -> value, of a table that it drew of one thing."""
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines() if line.startswith("|")]
    assert cells[0] == ["Type", "Id", "Name", "Value"]
    return {name: value for _, _, name, value in cells[1:]}


def in_state(run: Run, ident: str, state: str) -> Any:
    return until(lambda: told(run, "list-container", "--id", ident), lambda seen: seen["state"] == state)


def test_a_container_is_created_listed_updated_started_stopped_and_deleted(run: Run) -> None:
    words = ("--name", "web", "--startOnCreate", "false", "--environment", "A=1,B=2", "--ports", "8080:80", "53/udp")
    made = run("create-container", "--imageUuid", "sim:nginx", *words, "--data", '{"mine": {"a.b": 1}}')
    assert made.returncode == 0, made.stderr
    table = rows(made.stdout)
    assert (table["name"], table["state"], table["transitioning"], table["startOnCreate"]) == ("web", "creating", "yes", "false")
    [listed] = until(lambda: told(run, "list-container", "--name_prefix", "we", "--kind", "container"), bool)
    ident = listed["id"]
    stopped = in_state(run, ident, "stopped")
    assert (stopped["environment"], stopped["data"]["mine"]) == ({"A": "1", "B": "2"}, {"a.b": 1})
    ports = told(run, "list-port", "--instanceId", ident, "--publicPort_notnull", "x")
    assert [(each["publicPort"], each["privatePort"]) for each in ports] == [(8080, 80)]

    assert rows(run("container-start", "--id", ident).stdout)["state"] in ("starting", "running")
    in_state(run, ident, "running")
    updated = told(run, "update-container", "--id", ident, "--name", "renamed", "--description", "in two words")
    assert (updated["name"], updated["description"]) == ("renamed", "in two words")
    assert rows(run("list-container", "--name", "renamed").stdout)["description"] == "in two words"
    assert told(run, "container-stop", "--id", ident, "--remove", "false")["state"] in ("stopping", "stopped")
    in_state(run, ident, "stopped")
    assert run("delete-container", "--id", ident).returncode == 0
    assert in_state(run, ident, "removed")["removed"]
    assert told(run, "list-container", "--name", "renamed", "--removed_null", "x") == []


def test_what_is_typed_is_text_and_becomes_what_its_field_is(run: Run) -> None:
    made = told(run, "create-virtualMachine", "--imageUuid", "sim:vm", "--memoryMb", "64", "--startOnCreate", "false", "--name", "of words")
    assert (made["memoryMb"], made["startOnCreate"], made["name"]) == (64, False, "of words")
    kept = told(run, "create-setting", "--name", "mine.setting", "--value", "7")
    assert (kept["name"], kept["value"]) == ("mine.setting", "7")
    assert told(run, "create-sshKey", "--name", "door")["kind"] == "sshKey"


def test_a_long_value_is_cut_unless_it_is_asked_for_whole(run: Run) -> None:
    told(run, "create-account", "--name", "long", "--description", "d" * 100)
    found = until(lambda: run("list-account", "--name", "long"), lambda done: done.stdout.startswith("|"))
    assert rows(found.stdout)["description"] == "d" * 70 + "..."
    assert rows(run("--no-trim", "list-account", "--name", "long").stdout)["description"] == "d" * 100


def test_an_error_is_told_and_the_status_says_which(run: Run) -> None:
    missing = run("create-container")
    assert missing.returncode == 422 - 400
    assert missing.stdout == ""
    assert missing.stderr.startswith("Error : {'status': 422, 'code': 'MissingRequired', 'message': 'an instance needs an image:")
    refused = run("update-container", "--id", "1i999", "--name", "x")
    assert (refused.returncode, "there is no container 1i999" in refused.stderr) == (404 - 400, True)
    assert "1i999 Not Found" in run("container-start", "--id", "1i999").stderr
    assert run("list-container", "--id", "1i999").stdout == ""
    assert run("list-container", CATTLE_URL="http://127.0.0.1:1/v1").returncode == 1


def test_schemas_are_kept_for_a_day_under_the_url_and_the_key(run: Run, server: Server, tmp_path: Path) -> None:
    told(run, "list-host")
    [kept] = (tmp_path / ".gdapi").iterdir()
    schemas = json.loads(kept.read_text())
    schemas["data"] = [each for each in schemas["data"] if each["id"] != "host"]
    kept.write_text(json.dumps(schemas))
    assert "invalid choice: 'list-host'" in run("list-host").stderr, "the kept ones count"
    assert told(run, "--no-cache", "list-host")
    with server.http() as http:
        key = http.post("/v1/apikeys", json={}).json()
        key = until(lambda: http.get(key["links"]["self"]).json(), lambda seen: seen["state"] == "active")
    keys = {"CATTLE_ACCESS_KEY": key["publicValue"], "CATTLE_SECRET_KEY": key["secretValue"]}
    assert run("list-host", **keys).returncode == 0
    assert len(list((tmp_path / ".gdapi").iterdir())) == 2


def test_help_names_every_filter_field_and_action(run: Run) -> None:
    commands = run("--help").stdout
    for command in ("list-container", "create-container", "update-container", "delete-container", "container-restart", "task-execute"):
        assert f",{command}," in commands
    assert "--state_ne" in run("list-container", "--help").stdout
    assert "--imageUuid" in run("create-container", "--help").stdout
    assert "--deallocateFromHost" in run("container-stop", "--help").stdout

"""A hypervisor of somebody's own, with nats-py and nothing of Corral's: the example of docs/examples/python, as it is there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.server import CHECKOUT, Server
from tests.support.waiting import until

SCRIPT = CHECKOUT / "docs" / "examples" / "python" / "hypervisor.py"


@contextmanager
def hypervisor(agent: str, server: Server, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The example at work; what it started goes on when it is killed."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CORRAL_")}
    nats = httpx.get(f"{server.url}/corral/info").raise_for_status().json()["nats"]
    with (folder.with_suffix(".output")).open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT)], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder.parent,
            env={**kept, "CORRAL_NATS": nats, "AGENT": agent, "FOLDER": str(folder)},
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def state_of(http: httpx.Client, path: str) -> Any:
    return http.get(f"/v1/{path}").json().get("state")


def processes(folder: Path) -> list[int]:
    """Those that run for the instances of a folder."""
    found = [int(each.read_text()) for each in folder.glob("*-*")]
    return [each for each in found if Path(f"/proc/{each}").exists()]


def test_the_example_is_forty_lines_and_needs_nats_py_alone() -> None:
    lines = SCRIPT.read_text().partition('"""\n\n')[2].splitlines()
    assert len([line for line in lines if line.strip()]) == 40
    imported = {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import", "from"))}
    assert imported - set(sys.stdlib_module_names) == {"nats"}


@pytest.mark.timeout(240)
def test_an_instance_is_a_process_that_a_hypervisor_of_forty_lines_runs_and_finds_again(tmp_path: Path) -> None:
    folder = tmp_path / "hypervisor"
    folder.mkdir()
    with Server(tmp_path / "home", hosts="sim") as server, server.http() as http:
        row = {"uri": "event://python-hv", "uuid": "python-hv", "kind": "python-hv", "managedConfig": False}
        agent = http.post("/v1/agents", params={"_plainId": "true"}, json=row).json()["id"]
        with hypervisor(agent, server, folder):
            until(lambda: state_of(http, f"agents/1a{agent}"), lambda state: state == "active")
            host = until(lambda: http.get("/v1/hosts", params={"kind": "python-hv"}).json()["data"], lambda data: len(data) == 1)[0]
            until(lambda: state_of(http, f"hosts/{host['id']}"), lambda state: state == "active")
            image = http.post("/v1/images", json={"kind": "python-hv", "instanceKind": "container", "name": "x"}).json()
            until(lambda: state_of(http, f"images/{image['id']}"), lambda state: state == "active")
            made = http.post("/v1/containers", json={"imageId": image["id"], "name": "one", "command": "sleep 1000"}).json()
            path = f"containers/{made['id']}"
            until(lambda: state_of(http, path), lambda state: state == "running")
            (pid,) = processes(folder)
            assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x001000\x00"
        assert processes(folder) == [pid], "it outlives its hypervisor"
        with hypervisor(agent, server, folder):
            http.post(f"/v1/{path}/?action=stop", json={})
            until(lambda: state_of(http, path), lambda state: state == "stopped")
            until(lambda: processes(folder), lambda left: left == [])
            http.post(f"/v1/{path}/?action=start", json={})
            until(lambda: state_of(http, path), lambda state: state == "running")
            (again,) = processes(folder)
            assert again != pid
            http.delete(f"/v1/{path}")
            until(lambda: processes(folder), lambda left: left == [])

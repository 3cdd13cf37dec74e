"""Bash scripts with curl and jq alone: one is a process handler, one a hypervisor, one watches. They run as they are in docs/examples."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.server import CHECKOUT, Server

SCRIPTS = CHECKOUT / "docs" / "examples" / "bash"
LONG = 60.0


@pytest.fixture(autouse=True)
def _tools() -> None:
    """CI has both; without them these tests say so, and do not pass over it."""
    missing = [name for name in ("curl", "jq", "bash") if shutil.which(name) is None]
    assert not missing, f"{' and '.join(missing)} is missing: on Debian, apt-get install curl jq"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "home", hosts="sim") as server:
        yield server


class Script:
    """One that runs, and what it says."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process, self._output = process, output

    def said(self) -> str:
        return self._output.read_text()

    def stop(self) -> None:
        """With all that it started: curl would wait for events for ever."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@contextmanager
def script(name: str, server: Server, folder: Path, **variables: str) -> Iterator[Script]:
    folder.mkdir(exist_ok=True)
    output = folder / f"{name}.{time.monotonic_ns()}.output"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CORRAL_")}
    with output.open("wb") as file:
        process = subprocess.Popen(
            [str(SCRIPTS / name)], stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True, cwd=folder,
            env={**kept, "CORRAL_URL": f"{server.url}/v1", **variables},
        )  # fmt: skip
    running = Script(process, output)
    try:
        yield running
    finally:
        running.stop()


def until(true: Callable[[], Any], what: Callable[[], object], seconds: float = LONG) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)
    return found


def one(http: httpx.Client, path: str, **params: str) -> dict[str, Any] | None:
    found = http.get(f"/v1/{path}", params=params).json()["data"]
    return dict(found[0]) if found else None


def state(http: httpx.Client, path: str, *states: str) -> dict[str, Any]:
    """The resource once it is in one of these states."""

    def there() -> dict[str, Any] | None:
        document: dict[str, Any] = http.get(f"/v1/{path}").json()
        return document if document.get("state") in states else None

    found: dict[str, Any] = until(there, lambda: http.get(f"/v1/{path}").text)
    return found


@pytest.mark.timeout(240)
def test_a_bash_script_is_a_process_handler(server: Server, tmp_path: Path) -> None:
    with server.http() as http, script("handler.sh", server, tmp_path / "handler") as handler:
        registered = until(lambda: one(http, "externalhandlers", name="demo"), handler.said)
        state(http, f"externalhandlers/{registered['id']}", "active")
        made = http.post("/v1/containers", json={"imageUuid": "sim:x", "name": "grüß dich", "data": {"before": "kept"}}).json()
        running = state(http, f"containers/{made['id']}", "running")
        assert running["data"]["hello"] == "world"
        assert running["data"]["before"] == "kept"
        assert f'"id":"{made["id"]}"' in handler.said()
    with server.http() as http:
        with script("handler.sh", server, tmp_path / "handler") as again:  # it registers once
            until(lambda: re.search(r'"state":null,"code":"(Conflict|NotUnique)"', again.said()), again.said)
        late = http.post("/v1/containers", json={"imageUuid": "sim:x"}).json()
        time.sleep(1)
        assert http.get(f"/v1/containers/{late['id']}").json()["state"] in ("creating", "starting"), "nobody answers"
        http.post(f"/v1/externalhandlers/{registered['id']}/?action=deactivate", json={})
        state(http, f"containers/{late['id']}", "running")


@pytest.mark.timeout(300)
def test_a_bash_script_is_a_hypervisor(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "hypervisor"
    places = {"FOLDER": str(folder / "files"), "UUID": "bash-hv-uuid"}

    def files(kind: str) -> list[str]:
        return [each.name for each in (folder / "files").glob(f"{kind}-*")]

    with server.http() as http, script("hypervisor.sh", server, folder, **places) as hypervisor:
        agent = until(lambda: one(http, "agents", uuid="bash-hv-uuid"), hypervisor.said)
        assert agent["kind"] == "bash-hv"
        state(http, f"agents/{agent['id']}", "active")
        host = until(lambda: one(http, "hosts", uuid="bash-hv-uuid-host"), hypervisor.said)
        pool = until(lambda: one(http, "storagepools", uuid="bash-hv-uuid-pool"), hypervisor.said)
        for each in (state(http, f"hosts/{host['id']}", "active"), state(http, f"storagepools/{pool['id']}", "active")):
            assert (each["kind"], each["agentId"]) == ("bash-hv", agent["id"])

        image = http.post("/v1/images", json={"kind": "bash-hv", "instanceKind": "virtualMachine", "isPublic": True, "name": "x"}).json()
        state(http, f"images/{image['id']}", "active")
        made = http.post("/v1/virtualmachines", json={"imageId": image["id"], "requestedHostId": host["id"], "name": "vm"}).json()
        machine = state(http, f"virtualmachines/{made['id']}", "running")
        volume = until(lambda: one(http, "volumes", instanceId=made["id"]), hypervisor.said)
        assert files("image") == [f"image-bash-hv-uuid-pool-{image['uuid']}"]
        assert files("volume") == [f"volume-bash-hv-uuid-pool-{volume['uuid']}"]
        assert files("instance") == [f"instance-bash-hv-uuid-host-{machine['uuid']}"]
        assert http.get(f"/v1/images/{image['id']}").json()["format"] == "touch"
        assert http.get(f"/v1/volumes/{volume['id']}").json()["format"] == "touch"
        assert "compute.instance.activate instanceHostMap:" in hypervisor.said()

    with server.http() as http, script("hypervisor.sh", server, folder, **places) as again:  # it finds what it was
        until(lambda: f"Agent ID {agent['id']}\n" in again.said(), again.said)
        http.post(f"/v1/virtualmachines/{made['id']}/?action=stop", json={})
        state(http, f"virtualmachines/{made['id']}", "stopped")
        assert files("instance") == []
        assert len(files("volume")) == 1
        http.delete(f"/v1/virtualmachines/{made['id']}")
        state(http, f"virtualmachines/{made['id']}", "removed", "purging", "purged")
        http.post(f"/v1/volumes/{volume['id']}/?action=purge", json={})
        until(lambda: not files("volume"), again.said)
        assert len(files("image")) == 1
        assert len(http.get("/v1/agents", params={"uuid": "bash-hv-uuid"}).json()["data"]) == 1
        assert len(http.get("/v1/hosts", params={"kind": "bash-hv"}).json()["data"]) == 1


@pytest.mark.timeout(120)
def test_a_bash_script_watches_what_changes(server: Server, tmp_path: Path) -> None:
    with server.http() as http, script("watch.sh", server, tmp_path / "watch") as watch:
        until(lambda: "Watching" in watch.said(), watch.said)
        time.sleep(1)
        made = http.post("/v1/containers", json={"imageUuid": "sim:x", "name": "a \"quoted\"\nname"}).json()
        until(lambda: f"container:{made['id']} state=running" in watch.said(), watch.said)

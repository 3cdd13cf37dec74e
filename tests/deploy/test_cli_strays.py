"""corral strays: what is on a host and has no place there, through the server to the terminal, and its removal."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from commands.catalogue.tasks import PING
from commands.watching.strays import REMOVE
from tests.deploy.test_cli import Cli
from tests.support.server import Server
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(180)

UNKNOWN = "11111111-0000-4000-8000-000000000000"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "home") as server:
        yield server


def test_what_the_log_does_not_know_is_shown_and_removed_where_that_is_wished(server: Server) -> None:
    corral = Cli(server.home)
    assert corral.json("strays") == []
    [paper] = server.home.rglob("simulated.db")
    with closing(sqlite3.connect(paper, timeout=10)) as boxes, boxes:
        like = "select owner, ?, state, epoch, 1, null, cloud from boxes limit 1"
        boxes.execute(f"insert into boxes (owner, uuid, state, epoch, created, forgotten_at, cloud) {like}", (UNKNOWN,))

    shown = until(lambda: corral("strays"), lambda said: UNKNOWN in said)
    assert "the log has no such instance" in shown
    [stray] = corral.json("strays")
    assert (stray["uuid"], stray["what"], stray["state"], stray["stream"]) == (UNKNOWN, "unknown", "running", None)

    with server.http() as http:
        assert http.get("/corral/strays").json()["engines"] == 1
        http.put(f"/v1/settings/1as!{REMOVE}", json={"value": "true"}).raise_for_status()
        [ping] = [each["id"] for each in http.get("/v1/tasks").json()["data"] if each["name"] == PING]
        http.post(f"/v1/tasks/{ping}/?action=execute").raise_for_status()  # now, and not within a minute
    until(lambda: corral.json("strays"), lambda found: found == [], 120)
    with closing(sqlite3.connect(paper, timeout=10)) as boxes:
        assert boxes.execute("select state from boxes where uuid = ?", (UNKNOWN,)).fetchone() == ("removed",)

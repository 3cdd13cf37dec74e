"""corral sim: simulated hosts join a server, and are taken away from it again."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.test_cli import Cli
from tests.support.server import Server
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "home", hosts="none") as server:
        yield server


def test_simulated_hosts_take_part_until_they_are_removed(server: Server, tmp_path: Path) -> None:
    corral = Cli(server.home)
    paper = ("sim", "--hosts", "3", "--home", str(tmp_path / "paper"))
    with corral.running(*paper) as running:
        try:
            until(lambda: corral.json("hosts"), lambda found: [each["state"] for each in found] == 3 * ["active"])
            running.send_signal(signal.SIGINT)
            out, said = running.communicate(timeout=60)
        finally:
            running.kill()
    assert running.returncode == 0, out + said
    assert "3 hosts hear commands" in out
    assert "--remove" in said, "it is said how they are taken away"
    assert "3 simulated hosts are removed" in corral(*paper, "--remove")
    assert all(each["removed"] for each in corral.json("hosts"))
    assert "0 simulated hosts are removed" in corral(*paper, "--remove")

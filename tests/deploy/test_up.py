"""What `corral up` takes for servers of others, and what it says of the next things to try."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from deploy.cli.servers import addresses, own_servers
from deploy.embedded import hold
from tests.deploy.test_cli import SECONDS, Cli
from tests.support.server import Server

pytestmark = pytest.mark.timeout(180)


def test_the_homes_own_addresses_are_no_servers_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with hold(tmp_path) as home:
        home.note(own_postgres="postgresql://own", own_nats="nats://own:4222")
    assert own_servers({"home": str(tmp_path), "postgres": "postgresql://own", "nats": "nats://own:4222"}) == {"postgres": "", "nats": ""}
    assert capsys.readouterr().err.startswith("CORRAL_POSTGRES and CORRAL_NATS name what this home has of its own")
    assert own_servers({"home": str(tmp_path), "postgres": "postgresql://db/corral", "nats": "nats://own:4222"}) == {"nats": ""}
    assert own_servers({"home": str(tmp_path / "other"), "postgres": "postgresql://own", "nats": None}) == {}
    assert own_servers({"home": str(tmp_path), "postgres": None}) == {}


def test_a_shell_that_evaluated_env_starts_the_same_corral_again(tmp_path: Path) -> None:
    with Server(tmp_path / "home") as server:
        known = addresses(server.home)
        assert {"CORRAL_POSTGRES", "CORRAL_NATS"} <= known.keys()
        server.restart(postgres=known["CORRAL_POSTGRES"], nats=known["CORRAL_NATS"])
        assert "CORRAL_POSTGRES and CORRAL_NATS name what this home has of its own" in server.said()
        assert server.embedded("postgres")
        assert [each["name"] for each in Cli(server.home).json("ps")] == ["hello-corral"]


def test_a_part_without_hosts_gives_no_advice_that_does_not_fit(tmp_path: Path, database: str, nats_url: str) -> None:
    with Server(tmp_path / "gateway", postgres=database, nats=nats_url, roles="gateway") as gateway:
        told = gateway.said()
        assert "This process is gateway of the Corral on " in told
        assert "a host first" not in told
        assert "replay instance-1" not in told, "it does not know of one"
        assert " hosts\n" in told


def test_a_corral_without_any_host_says_how_to_get_one_until_there_is_one(tmp_path: Path) -> None:
    with Server(tmp_path / "home", hosts="none") as server:
        assert "a host first" in server.said()
        corral = Cli(server.home)
        assert "No hosts yet: corral agent" in corral.ended("hosts").stderr
        server.restart(hosts="sim")
        assert "a host first" not in server.said()
        deadline = time.monotonic() + SECONDS
        while not corral.json("hosts"):
            assert time.monotonic() < deadline
        server.restart()
        assert "a host first" not in server.said(), "the simulated host is known, though it is not brought by this start"

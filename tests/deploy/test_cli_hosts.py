"""What the CLI says where hosts are gone, and how it names what other things a thing names."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cli.references import pointed_at, told
from tests.deploy.test_cli import SECONDS, Cli
from tests.support.server import Server

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def corral(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    with Server(tmp_path_factory.mktemp("hosts") / "home") as server:
        yield Cli(server.home)


@pytest.mark.parametrize(
    ("stream", "kind", "field", "value", "text"),
    [
        ("instance-1", "container", "accountId", 3, "account-3"),
        ("instance-1", "container", "networkIds", [1, 2], "network-1, network-2"),
        ("host-1", "sim", "agentId", 7, "agent-7"),
        ("host-1", "sim", "agentId", None, ""),
        ("host-1", "sim", "computeFree", 7, "7"),
        ("instance-1", "container", "imageUuid", "sim:x", "sim:x"),
        ("widget-1", "widget", "hostId", 1, "1"),
    ],
)
def test_numbers_that_name_things_are_told_as_their_streams(stream: str, kind: str, field: str, value: object, text: str) -> None:
    assert told(stream, kind, field, value) == text


def test_a_field_names_things_of_a_root_type() -> None:
    assert pointed_at("container", "imageId") == "image"
    assert pointed_at("container", "name") is None
    assert pointed_at("nothing", "hostId") is None


def test_an_inspection_says_names_with_ids(corral: Cli) -> None:
    shown = corral("inspect", "hello-corral")
    assert re.search(r"^  accountId +1a1 \(admin\)$", shown, re.MULTILINE)
    assert re.search(r"^  imageId +1i1 \(hello\)$", shown, re.MULTILINE)
    assert re.search(r"^  hosts +1h1 \(this machine \(sim\)\)$", shown, re.MULTILINE)
    assert corral.json("inspect", "hello-corral")["accountId"] == "1a1", "programs get the API's document as it is"


def test_history_says_streams_and_types(corral: Cli) -> None:
    listed = dict(line.split(None, 1) for line in corral("replay", "--to", "0s").splitlines())
    assert {"host", "account", "storagePool", "container"} <= listed.keys()
    assert "sim" not in listed, "a kind is no type, and --type refuses it"
    assert re.search(r"^ +imageId: image-1$", corral("diff", "0", "--type", "container"), re.MULTILINE)
    assert re.search(r"^    \+ imageId +image-1$", corral("replay", "hello-corral"), re.MULTILINE)
    assert re.search(r"^  accountId +account-1$", corral("inspect", "hello-corral", "--at", "0s"), re.MULTILINE)


def test_a_heading_of_diff_is_short_and_the_request_stands_below(corral: Cli) -> None:
    heading, below = next(lines.splitlines()[:2] for lines in corral("diff", "0").split("\n\n") if "corral:local-hosts" in lines)
    assert re.fullmatch(r"[0-9:.]+  admin \(account-1\): agent\.create", heading)
    assert re.fullmatch(r"  request corral:local-hosts, [0-9]+ events in [0-9.]+ .*s", below)


def test_what_is_removed_by_force_is_found_in_the_log(corral: Cli) -> None:
    identity = corral("run", "sim:x", "--name", "forced", "--no-wait").strip()
    stream = f"instance-{identity.removeprefix('1i')}"
    assert f"corral why {stream}" in corral.ended("force-remove", identity).stderr
    everything = corral.ended("ps", "-a")
    assert "corral replay --to 0s --type instance --all" in everything.stderr
    assert stream in corral("replay", "--to", "0s", "--type", "instance", "--all")


def test_what_became_of_a_host_is_said_where_there_is_none(tmp_path: Path) -> None:
    with Server(tmp_path / "home") as server:
        corral = Cli(server.home)
        gone = corral.ended("force-remove", "host-1", "-m", "to see")
        assert "A removed host stays removed: start its agent again" in gone.stderr
        said = corral.ended("hosts").stderr
        assert re.search(r"Host 1h1, of agent this machine \(sim\) \(\w+\), was removed [0-9]+s ago: corral why host-1", said), said
        assert "it comes back as a new host" in said
        assert "No hosts yet" not in said
        assert corral.json("hosts") == []
        failed = corral.ended("run", "sim:x", status=1).stderr
        assert "Host 1h1, of agent this machine (sim)" in failed
        assert "is removed by force: to see" in corral("why", "host-1")
        server.restart()
        deadline = time.monotonic() + SECONDS
        while "agent.reconnect" not in corral("logs", "agent-1"):  # it is asked anew for its hosts
            assert time.monotonic() < deadline

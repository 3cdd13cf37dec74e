"""What the CLI says where hosts are gone, and how it names what other things a thing names."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cli.references import pointed_at, told
from deploy.settings import SECURITY
from tests.deploy.test_cli import SECONDS, Cli
from tests.support.server import Server
from tests.support.waiting import until

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


def test_a_host_that_is_shown_by_its_agents_name_is_not_taken_for_the_agent(corral: Cli) -> None:
    [row] = [line for line in corral("hosts").splitlines() if line.startswith("1h1 ")]
    assert "this machine (sim)" in row
    for words in (["force-remove"], ["inspect"]):
        refused = corral.ended(*words, "this machine (sim)", status=1).stderr
        assert "may be one of these" in refused
        assert re.search(r"agent-1 +1a1 ", refused), refused
        assert re.search(r"host-1 +1h1 ", refused), refused
    assert {each["state"] for host in corral.json("hosts") for each in (host, host["agent"])} == {"active"}
    on_it = corral.json("run", "sim:x", "--host", "this machine (sim)")
    assert on_it["state"] == "running", "where only a host can be meant, it is the host"


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


def test_a_user_who_is_shown_no_hosts_is_not_told_to_make_the_first(tmp_path: Path) -> None:
    with Server(tmp_path / "home", set=f"{SECURITY}=true") as server:
        admin = json.loads((server.home / "admin.key").read_bytes())
        with server.http() as http:
            http.auth = admin["access"], admin["secret"]
            account = http.post("/v1/accounts", json={"kind": "user", "name": "u"}).raise_for_status().json()
            key = {"accountId": account["id"], "publicValue": "users", "secretValue": "own"}
            made = http.post("/v1/apikeys", json=key).raise_for_status().json()
            until(lambda: http.get(f"/v1/apikeys/{made['id']}").json()["state"], lambda state: bool(state == "active"))
        user = Cli(server.home, {"CORRAL_ACCESS_KEY": "users", "CORRAL_SECRET_KEY": "own"})
        for said in (user.ended("hosts").stderr, user.ended("run", "docker:x", status=1).stderr):
            assert "ask an admin" in said
            assert "corral agent" not in said
        assert ": host 1h1: it is of kind sim" in said, "the ids that it names are those an admin knows"


def test_a_host_is_declared_dead_and_shown_as_such_and_what_can_not_move_says_why(tmp_path: Path) -> None:
    with Server(tmp_path / "home") as server:
        corral = Cli(server.home)
        corral.ended("run", "sim:x", "--name", "web")
        assert "it moves away from there" in corral.ended("migrate", "web", status=1).stderr
        assert "web" in corral.ended("declare-dead", "web", status=1).stderr
        said = corral.ended("declare-dead", "host-1", "-m", "to see").stderr
        assert "corral why host-1" in said
        assert "declared dead" in corral("hosts")
        assert "it was declared dead before" in corral.ended("declare-dead", "host-1").stderr
        with server.http() as http:
            until(lambda: http.get("/v1/containers/1i1").json()["state"], lambda state: bool(state == "stopped"))


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

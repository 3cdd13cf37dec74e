"""The corral command against a real server in a home of its own: every command as a person types it, as processes of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import CHECKOUT, Server

SECONDS = 45
FAILING = "sim:compute.instance.activate::fail"
"""An image that the simulated host fails to start."""


@dataclass(frozen=True, slots=True)
class Cli:
    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *words: str, status: int = 0) -> str:
        """What it printed; it must end with this status."""
        return self.ended(*words, status=status).stdout

    def ended(self, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [sys.executable, "-m", "deploy.cli", *words], env=self.environment(), cwd=CHECKOUT, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert ended.returncode == status, f"corral {' '.join(words)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}"
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended

    def json(self, *words: str, status: int = 0) -> Any:
        return json.loads(self(*words, "-o", "json", status=status))

    def lines(self, *words: str) -> list[dict[str, Any]]:
        """Of a command that prints a document a line."""
        return [json.loads(line) for line in self(*words, "-o", "json").splitlines()]

    def running(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-u", "-m", "deploy.cli", *words], env=self.environment(), cwd=CHECKOUT, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CORRAL_", "CATTLE_", "DOCKER_"))}
        return {**kept, "CORRAL_HOME": str(self.home), "COLUMNS": "200", **self.variables}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("cli") / "home") as server:
        yield server


@pytest.fixture
def corral(server: Server) -> Cli:
    return Cli(server.home)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """For tests whose hosts or restarts others should not meet."""
    with Server(tmp_path / "home") as server:
        yield server


def interrupted(process: subprocess.Popen[str], after: str) -> tuple[int, str, str]:
    """Ctrl-C once its stdout showed `after`. -> (status, rest of stdout, stderr)"""
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if after in line:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    return process.returncode, out, err


def test_an_instance_lives_and_dies_by_the_command_line(corral: Cli) -> None:
    told = corral.ended("run", "sim:life", "--name", "life", "-p", "8080:80", "-e", "MODE=test", "--timeline")
    identity = told.stdout.splitlines()[0]
    assert identity.startswith("1i")
    assert "instance.start is done: running" in told.stdout
    [row] = [line.split() for line in corral("ps").splitlines() if line.startswith(f"{identity} ")]
    assert row[1:4] == ["life", "running", "sim:life"]
    assert "8080:80" in row
    document = corral.json("inspect", "life")
    assert (document["id"], document["state"], document["environment"]) == (identity, "running", {"MODE": "test"})
    assert "MODE" in corral("inspect", identity)

    assert corral("stop", "life") == f"{identity} stopped\n"
    assert f"{identity} " not in corral("ps")
    assert f"{identity} " in corral("ps", "-a")
    assert "stopped already" in corral.ended("stop", identity).stderr
    assert corral("start", document["uuid"]) == f"{identity} running\n"
    assert corral("rm", "life") == f"{identity} removed\n"
    assert corral("rm", identity, "--purge") == f"{identity} purged\n"
    assert corral.ended("start", identity, status=1).stderr.startswith(f"life ({identity}) is purged: it can't start now")


def test_the_image_of_an_instance_is_listed_however_it_was_named(corral: Cli, server: Server) -> None:
    image = corral.json("run", "sim:by-id")["imageId"]
    with server.http() as http:
        made = http.post("/v1/containers", json={"imageId": image, "name": "by-id"}).raise_for_status().json()
    [row] = [line.split() for line in corral("ps", "-a").splitlines() if line.startswith(f"{made['id']} ")]
    assert "sim:by-id" in row


def test_an_inspection_masks_secrets_on_the_terminal_unless_asked_for(corral: Cli) -> None:
    token = corral.json("inspect", "hello-corral")["token"]
    assert len(token) > 20, "programs get the API's document as it is"
    shown = corral("inspect", "hello-corral")
    assert token not in shown
    assert re.search(r"^  token +\*\*\*$", shown, re.MULTILINE)
    assert token in corral("inspect", "hello-corral", "--secrets")
    assert "masked" in corral.ended("inspect", "hello-corral", "--secrets", "--at", "0s", status=2).stderr


def test_the_first_instance_is_on_the_simulated_host(corral: Cli) -> None:
    [hello] = [each for each in corral.json("ps") if each["name"] == "hello-corral"]
    hosts = corral.json("hosts")
    assert [each["id"] for each in hello["hosts"]] == [hosts[0]["id"]]
    assert hosts[0]["agent"]["state"] == "active"
    [line] = [line for line in corral("hosts").splitlines() if line.startswith("1h1 ")]
    assert line.split().count("active") == 2


def test_a_thing_has_many_names(corral: Cli) -> None:
    document = corral.json("run", "sim:names", "--name", "names")
    number = document["id"].removeprefix("1i")
    for name in ("names", document["id"], f"instance-{number}", f"container-{number}", document["uuid"]):
        assert corral.json("inspect", name)["id"] == document["id"]
    assert corral.json("inspect", f"image-{document['imageId'].removeprefix('1i')}")["type"] == "image"


def test_what_may_be_several_things_is_not_guessed(corral: Cli) -> None:
    ended = corral.ended("inspect", "1a1", status=1)
    assert "agent-1" in ended.stderr
    assert "account-1" in ended.stderr
    corral("run", "sim:twin", "--name", "twin")
    other = corral("run", "sim:twin", "--name", "twin").strip()
    ended = corral.ended("stop", "twin", status=1)
    assert "twin may be one of these" in ended.stderr
    assert f"instance-{other.removeprefix('1i')}" in ended.stderr
    corral("rm", other)
    assert corral("stop", "twin").endswith(" stopped\n"), "of two with one name, the one that is left is meant"


def test_what_there_is_not_is_said(corral: Cli) -> None:
    assert "there is no instance" in corral.ended("stop", "nobody", status=1).stderr
    assert "there is no host host-99" in corral.ended("run", "sim:x", "--host", "host-99", status=1).stderr
    assert "instance-999 does not exist" in corral.ended("replay", "instance-999", status=1).stderr
    assert "instance-1 does not exist at position 1" in corral.ended("replay", "instance-1", "--at", "1", status=1).stderr
    assert "there is no event at position 99999" in corral.ended("trace", "99999", status=1).stderr
    assert "no event belongs to a request" in corral.ended("trace", "never", status=1).stderr


def test_the_server_s_refusals_are_told_in_its_words(corral: Cli) -> None:
    assert "port" in corral.ended("run", "sim:x", "-p", "many", status=1).stderr
    refused = corral.ended("stop", corral("run", "sim:x", "--name", "one").strip(), "nobody", "one", status=1)
    assert refused.stdout.count("stopped\n") == 2, "the others are stopped all the same"


def test_a_start_that_fails_says_why_and_where_to_ask(corral: Cli) -> None:
    ended = corral.ended("run", FAILING, "--name", "broken", status=1)
    identity = ended.stdout.strip()
    assert "Failing [compute.instance.activate]" in ended.stderr
    assert f"corral why {identity}" in ended.stderr
    told = corral("why", identity)
    assert "failed at compute.instance.activate" in told
    assert "container 'broken' is created" in told
    assert told.rstrip().splitlines()[-1].lstrip().startswith("It began with a command for account-1 (admin), request ")
    assert "failed at compute.instance.activate" in corral("logs", identity)


def test_the_chain_of_why_ends_at_the_command(corral: Cli) -> None:
    corral("run", "sim:why", "--name", "chain")
    told = corral.json("why", "chain")
    assert told["state"] == "running"
    assert told["chain"][0]["data"]["to"] == "running"
    assert told["chain"][-1]["type"] == "created"
    positions = [each["position"] for each in told["chain"]]
    assert positions == sorted(positions, reverse=True)
    correlation = told["chain"][-1]["metadata"]["correlation"]
    assert correlation in corral("why", "chain")
    assert corral.json("trace", "chain")["correlation"] == correlation


def test_a_trace_shows_each_hop_of_a_request(corral: Cli) -> None:
    corral("run", "sim:trace", "--name", "trace")
    traced = corral.json("trace", "trace")
    hops = [each["hop"] for each in traced["hops"]]
    assert hops[:2] == ["gateway", "eventstore"]
    assert {"engine", "wire", "agent", "commands"} <= set(hops)
    subjects = [each["what"] for each in traced["hops"] if each["hop"] == "wire"]
    assert subjects[-1].endswith(".compute.instance.activate")
    assert traced["hops"][-1]["what"] == "instance.start is done: running"
    position = traced["hops"][-1]["positions"][0]
    for name in (traced["correlation"], str(position)):
        assert f"request {traced['correlation']}" in corral("trace", name)


def test_replay_stops_where_it_is_told(corral: Cli) -> None:
    corral("run", "sim:replay", "--name", "replay")
    steps = corral.json("replay", "replay")
    assert steps[0]["event"]["type"] == "created"
    assert steps[-1]["state"]["state"] == "running"
    second = steps[1]
    at = corral("replay", "replay", "--at", str(second["event"]["position"]))
    assert at.rstrip().endswith("under way: instance.create")
    assert second["event"]["id"] in at
    assert steps[2]["event"]["id"] not in at
    assert "~ state" in at
    whole = corral("replay", "replay", "--full")
    assert whole.count("imageUuid") == len(steps)


def test_replay_ends_in_the_state_that_the_api_shows(corral: Cli) -> None:
    for each in corral.json("ps", "-a")[:4]:
        before = corral.json("inspect", each["id"])["state"]
        steps = corral.json("replay", f"instance-{each['id'].removeprefix('1i')}")
        after = corral.json("inspect", each["id"])["state"]  # what was removed may be purged meanwhile
        assert steps[-1]["state"]["state"] in (before, after)


def test_the_log_is_shown_whole_and_in_order(corral: Cli) -> None:
    corral("run", "sim:log", "--name", "log")
    events = corral.lines("events")
    assert [each["position"] for each in events] == list(range(1, len(events) + 1))
    [header, *rows] = corral("events", "--last", "5").splitlines()
    assert header.split() == ["POSITION", "TIME", "STREAM", "TYPE", "WHAT"]
    assert len(rows) >= 5
    own = corral.lines("events", "--stream", "log", "--type", "created")
    assert [each["type"] for each in own] == ["created"]
    assert own[0]["data"]["changes"]["name"] == "log"
    after = corral.lines("events", "--after", str(len(events) - 2))
    assert after[0]["position"] == len(events) - 1


def test_a_follower_sees_what_happens_until_ctrl_c(corral: Cli) -> None:
    head = corral.lines("events", "--last", "1")[-1]["position"]
    following = corral.running("events", "--follow", "--after", str(head - 1), "-o", "json")
    assert following.stdout is not None
    try:
        heard = [json.loads(following.stdout.readline())["position"]]
        corral("run", "sim:followed", "--name", "followed")
        for line in following.stdout:
            event = json.loads(line)
            heard.append(event["position"])
            if event["type"] == "process-succeeded" and event["data"].get("to") == "running":
                break
        assert heard == list(range(head, heard[-1] + 1))
        following.send_signal(signal.SIGINT)
        _, err = following.communicate(timeout=SECONDS)
        assert (following.returncode, err) == (0, "")
    finally:
        following.kill()


def test_nats_traffic_is_shown_without_its_own_cli(corral: Cli) -> None:
    watching = corral.running("watch", "corral.agent.*.*.*.activate", "-n", "3", "-o", "json")  # what was removed before may be purged now
    assert watching.stderr is not None
    assert "listening to corral.agent.*.*.*.activate" in watching.stderr.readline()
    corral("run", "sim:watched")
    out, _ = watching.communicate(timeout=SECONDS)
    seen = [json.loads(line) for line in out.splitlines()]
    assert watching.returncode == 0
    commands = [each["subject"].split(".", 3)[3] for each in seen]
    assert commands == ["storage.image.activate", "storage.volume.activate", "compute.instance.activate"]
    assert seen[0]["data"]["resourceType"] == "imageStoragePoolMap"
    assert seen[2]["data"]["data"]["instanceHostMap"]["instance"]["token"] == "***", "what agents are told in confidence is shown to nobody"


def test_an_agent_brings_a_host_and_ends_by_ctrl_c(own_server: Server, tmp_path: Path) -> None:
    corral = Cli(own_server.home)
    agent = corral.running("agent", "--sim", "--name", "paper", "--home", str(tmp_path / "agent"))
    status, _, err = interrupted(agent, "It takes instances, as host ")
    assert status == 0
    assert "Stopped." in err
    assert "paper" in corral("hosts")
    again = corral.running("agent", "--sim", "--name", "paper", "--home", str(tmp_path / "agent"))
    status, _, err = interrupted(again, "It takes instances, as host ")
    assert (status, "(known)" in err) == (0, True), err
    assert len([each for each in corral.json("hosts") if (each["agent"] or {}).get("name") == "paper"]) == 1


def test_a_virtual_machine_is_made_of_an_image_by_its_name(corral: Cli) -> None:
    corral("run", "sim:disk", "--vm")
    machine = corral.json("run", "disk", "--vm", "--memory", "64")
    assert (machine["type"], machine["state"], machine["memoryMb"]) == ("virtualMachine", "running", 64)
    [shown] = [each for each in corral.json("ps") if each["id"] == machine["id"]]
    assert shown["image"]["uuid"] == "sim:disk"
    assert "no image is called 'nowhere'" in corral.ended("run", "nowhere", "--vm", status=1).stderr


def test_the_views_are_rebuilt_equal_while_everything_runs(corral: Cli) -> None:
    before = corral.json("ps")  # not -a: what was removed leaves that list by and by
    rebuilt = corral.json("rebuild")
    assert rebuilt["equal"] is True
    assert rebuilt["position"] > 0
    assert [each["id"] for each in corral.json("ps")] == [each["id"] for each in before]
    assert "equal to those that were in use" in corral("rebuild")


def test_env_is_what_a_shell_needs(corral: Cli, server: Server) -> None:
    script = f'eval "$({sys.executable} -m deploy.cli env)" && sh -c \'echo "$CATTLE_URL $CORRAL_NATS $CORRAL_POSTGRES"\''
    said = subprocess.run(
        ["sh", "-c", script], env=corral.environment(), cwd=CHECKOUT, capture_output=True, text=True, timeout=SECONDS, check=True
    ).stdout.split()
    assert said[0] == f"{server.url}/v1"
    assert said[1].startswith("nats://127.0.0.1:")
    assert said[2].startswith("postgresql://")
    assert corral.json("env")["CORRAL_URL"] == server.url


def test_logs_are_a_thing_s_history_or_what_it_writes_itself(corral: Cli) -> None:
    assert "is running, made 1 times" in corral("logs", "hello-corral", "--container")
    told = corral("logs", "hello-corral", "--tail", "1")
    assert told.rstrip().endswith("instance.start is done: running")


def test_no_wait_returns_while_it_is_under_way(corral: Cli) -> None:
    document = corral.json("run", "sim:later", "--no-wait")
    assert document["transitioning"] == "yes"
    ended = corral.ended("run", FAILING, "--timeout", "0", status=1)
    assert "goes on" in ended.stderr
    deadline = time.monotonic() + SECONDS
    while corral.json("inspect", document["id"])["state"] != "running":
        assert time.monotonic() < deadline


def test_a_reader_that_leaves_early_gets_no_traceback(corral: Cli) -> None:
    ended = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m deploy.cli events | head -n 1"], env=corral.environment(), cwd=CHECKOUT, capture_output=True,
        text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    assert ended.stdout.startswith("POSITION")
    assert ended.stderr == ""


@pytest.mark.timeout(120)
def test_a_follower_outlives_the_server_and_misses_nothing(own_server: Server, tmp_path: Path) -> None:
    port = own_server.url.rpartition(":")[2]
    elsewhere = Cli(tmp_path / "nowhere")  # who names the server's home would be taken for a part of it
    following = elsewhere.running("events", "--follow", "-o", "json", "--url", own_server.url)
    assert following.stdout is not None
    try:
        json.loads(following.stdout.readline())
        own_server.kill()
        own_server.start(port=port)
        Cli(own_server.home)("run", "sim:after", "--name", "after")
        seen = 1
        for line in following.stdout:
            event = json.loads(line)
            seen += 1
            assert event["position"] == seen
            if event["stream"].startswith("instance-") and event["data"].get("changes", {}).get("name") == "after":
                break
        following.send_signal(signal.SIGINT)
        _, err = following.communicate(timeout=SECONDS)
        assert "Corral went away; waiting for it" in err
        assert "Corral is there again" in err
    finally:
        following.kill()
        following.communicate(timeout=SECONDS)

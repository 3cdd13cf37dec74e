"""corral logs -f, exec, stats, top and inspect --engine, on a container of a real engine, as a person types them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.deploy.test_cli import SECONDS, Cli
from tests.support.lab import LabHost
from tests.support.server import CHECKOUT, Server

TALK = "echo hello from inside; echo trouble >&2; i=0; while true; do sleep 1; i=$((i+1)); echo more $i; done"


@pytest.fixture(scope="module")
def corral(docker_hosts: dict[str, LabHost], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """With a container "talk"."""
    host = next(iter(docker_hosts.values()))
    with Server(tmp_path_factory.mktemp("live") / "home", hosts="docker", docker=host.base_url) as server:
        corral = Cli(server.home)
        corral("run", host.image, "--name", "talk", "-e", "SECRET=shown", "--", "sh", "-c", TALK)
        yield corral
        for each in ("talk", "hello-corral"):
            corral("rm", each, "--purge")


def test_what_it_writes_is_shown_on_the_streams_that_it_was_written_on(corral: Cli) -> None:
    deadline = time.monotonic() + SECONDS
    while "trouble" not in (ended := corral.ended("logs", "-c", "talk")).stderr:
        assert time.monotonic() < deadline
    assert ended.stdout.startswith("hello from inside\n")
    assert ended.stderr == "trouble\n"
    (line,) = corral.lines("logs", "talk", "-c", "--tail", "1")
    assert line["time"].endswith("Z")
    assert corral("logs", "talk", "-t", "--tail", "1").partition(" ")[2].startswith("more ")


def test_a_log_that_is_followed_goes_on_until_it_is_interrupted(corral: Cli) -> None:
    following = corral.running("logs", "-f", "talk", "--tail", "1")
    try:
        assert following.stdout is not None
        assert [following.stdout.readline()[:5] for _ in range(2)] == ["more ", "more "]
        following.send_signal(signal.SIGINT)
        _, err = following.communicate(timeout=SECONDS)
        assert "Traceback" not in err
    finally:
        following.kill()
        following.communicate(timeout=SECONDS)


def test_a_command_gets_its_input_and_its_output_and_status_come_back(corral: Cli) -> None:
    ended = corral.ended("exec", "talk", "--", "sh", "-c", "echo out; echo err >&2; exit 7", status=7)
    assert (ended.stdout, ended.stderr) == ("out\n", "err\n")
    told = corral("exec", "talk", "-e", "A=1", "-w", "/tmp", "--", "sh", "-c", "echo $A; pwd; cat")
    assert told == "1\n/tmp\n", "without -i its input is empty"
    data = os.urandom(200_000)
    back = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "exec", "-i", "talk", "--", "cat"], env=corral.environment(), cwd=CHECKOUT, input=data,
        capture_output=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    assert back.stdout == data


def test_a_shell_on_a_terminal_takes_what_is_typed(corral: Cli) -> None:
    mine, theirs = pty.openpty()
    shell = subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", "exec", "-it", "talk", "--", "sh"], env=corral.environment(), cwd=CHECKOUT, stdin=theirs,
        stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        seen = _until(mine, "# ")
        os.write(mine, b"echo $((40+2)); exit 3\n")
        seen += _until(mine, "\n42")
        assert shell.wait(SECONDS) == 3
    finally:
        shell.kill()
        shell.wait(SECONDS)
        os.close(mine)


def _until(terminal: int, text: str) -> str:
    seen = ""
    while text not in seen.replace("\r", ""):
        seen += os.read(terminal, 1000).decode()
    return seen


def test_what_it_uses_and_runs_and_is(corral: Cli) -> None:
    assert corral.lines("stats", "talk")[0]["memoryBytes"] > 0
    assert "PROCESSES" in corral("stats", "talk")
    assert any("hello from inside" in row[-1] for row in corral.json("top", "talk")["processes"])
    assert "CMD" in corral("top", "talk")
    inspected = json.loads(corral("inspect", "talk", "--engine"))
    assert "SECRET=shown" in inspected["Config"]["Env"]
    identity = inspected["Id"]
    assert "holds " in corral("inspect", identity[:12]), "the engine's own description is long: it is not dumped on people"
    assert corral.json("inspect", identity[:8])["name"] == "talk"


@pytest.mark.parametrize(("words", "status", "says"), [
    (("exec", "nobody", "--", "ls"), 1, "there is no instance"),
    (("exec", "-t", "talk", "--", "ls"), 2, "-t needs a terminal"),
    (("inspect", "talk", "--engine", "--at", "1m"), 2, "--engine goes without --at"),
    (("logs", "talk", "--since", "never"), 1, "since takes a time"),
])  # fmt: skip
def test_what_cannot_be_done_is_told(corral: Cli, words: tuple[str, ...], status: int, says: str) -> None:
    assert says in corral.ended(*words, status=status).stderr


def test_what_does_not_run_runs_no_command(corral: Cli) -> None:
    corral("stop", "hello-corral")
    assert "Start it first" in corral.ended("exec", "hello-corral", "--", "ls", status=1).stderr

"""What start, stop and run say while nobody answers, against a real server whose host is a process that is stopped in its tracks."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.deploy.test_cli import SECONDS, Cli
from tests.support.server import CHECKOUT, Server

pytestmark = pytest.mark.timeout(180)

ASKED = "agent-[0-9]+ \\(paper\\) has not answered compute.instance.deactivate yet"


@pytest.fixture(scope="module")
def corral(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    with Server(tmp_path_factory.mktemp("waiting") / "home", hosts="none") as server:
        yield Cli(server.home)


@pytest.fixture(scope="module")
def paper(corral: Cli) -> Iterator[subprocess.Popen[str]]:
    """An agent with a simulated host, on which `web` runs."""
    agent = corral.running("agent", "--sim", "--name", "paper", "--home", str(corral.home.with_name("paper")))
    try:
        assert agent.stdout is not None
        assert "It takes instances" in agent.stdout.readline()
        corral("run", "sim:web", "--name", "web")
        yield agent
    finally:
        agent.kill()
        agent.communicate(timeout=SECONDS)


@contextmanager
def silent(agent: subprocess.Popen[str]) -> Iterator[None]:
    agent.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        agent.send_signal(signal.SIGCONT)


def settled(corral: Cli, name: str) -> None:
    deadline = time.monotonic() + SECONDS
    while corral.json("inspect", name)["transitioning"] == "yes":
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_who_does_not_answer_is_named_while_one_waits_and_at_its_end(corral: Cli, paper: subprocess.Popen[str]) -> None:
    with silent(paper):
        waited = corral.ended("stop", "web", "--timeout", "4", status=1)
        [line, end] = waited.stderr.splitlines()
        assert re.fullmatch(rf"web \(1i1\): stopping for [0-9.]+ s, instancehostmap\.deactivate: {ASKED}", line), line
        assert re.search(rf"it is still stopping after [0-9.]+ s, and goes on \(instancehostmap\.deactivate: {ASKED}\)", end), end
        assert re.search(f"under way: instancehostmap.deactivate: {ASKED}", corral("why", "web"))
    settled(corral, "web")
    assert corral("start", "web") == "1i1 running\n"


def test_what_a_start_waits_for_elsewhere_is_named_too(corral: Cli, paper: subprocess.Popen[str]) -> None:
    with silent(paper):
        waited = corral.ended("run", "sim:new", "--name", "new", "--timeout", "3", status=1).stderr
        asked = r"imageStoragePoolMap-[0-9]+, imagestoragepoolmap\.activate: " + ASKED.replace(
            "compute.instance.deactivate", "storage.image.activate"
        )
        assert re.search(asked, waited), waited
        assert re.search(f"under way: {asked}", corral("why", "new"))
    settled(corral, "new")


def test_on_a_terminal_it_is_one_line_that_moves(corral: Cli, paper: subprocess.Popen[str]) -> None:
    with silent(paper):
        shown, status = on_a_terminal(corral, "stop", "web", "--timeout", "5")
    *moving, end = [line for line in shown.split("\r\n") if line]
    assert status == 1
    assert "it is still stopping" in end
    assert len(moving) == 1, "all of it is drawn over itself, on one line"
    assert re.search(f"stopping for [0-9.]+ s, instancehostmap.deactivate: {ASKED}", moving[0])
    settled(corral, "web")


def on_a_terminal(corral: Cli, *words: str) -> tuple[str, int]:
    """What the terminal was sent, without colours, and the exit status."""
    ours, its = pty.openpty()
    environment = {**corral.environment(), "TERM": "xterm", "COLUMNS": "200"}
    program = [sys.executable, "-m", "deploy.cli", *words]
    with subprocess.Popen(program, env=environment, cwd=CHECKOUT, stdin=its, stdout=its, stderr=its) as command:
        os.close(its)
        chunks = []
        while chunk := _read(ours):
            chunks.append(chunk)
        status = command.wait(SECONDS)
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", b"".join(chunks).decode()), status


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # nobody has its other side any more
        return b""

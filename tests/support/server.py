"""The real server as a process of its own, for whole stories: started, asked over HTTP, killed, stopped, started again on the same home.

    with Server(home, hosts="sim") as server:     # serving when it is entered; stopped, or at worst killed, when it is left
        httpx.get(f"{server.url}/v1/containers")
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from agents.simulated import Box, SimulatedDriver

CHECKOUT = Path(__file__).parents[2]
SERVING = re.compile(r"^Startup Succeeded(?:, Listening on port (\d+))?$", re.MULTILINE)
SCRUBBED = ("CORRAL_", "DOCKER_")
"""What the tests' own environment says of Corral and of Docker is not for these servers."""

START = 60.0
STOP = 15.0
DEATH = 15.0
"""Seconds for embedded servers to end by themselves once their server was killed."""


class DidNotServe(AssertionError):
    """The server ended, or took too long; the message holds all that it said."""


class Server:
    """One home, and at most one process that serves it. `variables` are CORRAL_ variables: docker="unix://..." is CORRAL_DOCKER."""

    def __init__(self, home: Path, *, hosts: str = "sim", port: int = 0, **variables: str) -> None:
        self.home = home
        self.output = home.with_name(f"{home.name}.output")
        """What it says on both streams, of all its starts."""
        self._variables = {"home": str(home), "hosts": hosts, "port": str(port), **variables}
        self._process: subprocess.Popen[bytes] | None = None
        self._began, self._launched = 0, 0.0
        self.url = ""
        self.took = 0.0
        """Seconds from the last start to serving."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and self.alive:
            self.stop()
        else:
            self.kill()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def said(self) -> str:
        """Since the last start."""
        with self.output.open("rb") as output:
            output.seek(self._began)
            return output.read().decode()

    def launch(self, **variables: str) -> Self:
        """Starts the process, and waits for nothing. `variables` are for this start alone."""
        assert not self.alive, "it runs already"
        self._launched = time.monotonic()
        self._began = self.output.stat().st_size if self.output.exists() else 0
        kept = {name: value for name, value in os.environ.items() if not name.startswith(SCRUBBED)}
        own = {f"CORRAL_{name.upper()}": value for name, value in {**self._variables, **variables}.items()}
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", "up"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**kept, **own}, cwd=CHECKOUT,
                start_new_session=True,  # a Ctrl-C at the tests is not one at the server
            )  # fmt: skip
        return self

    def start(self, seconds: float = START, **variables: str) -> Self:
        """Returns when it serves; raises DidNotServe."""
        return self.launch(**variables).serving(seconds)

    def serving(self, seconds: float = START) -> Self:
        """Waits for a launched one."""
        serving = self.until_it_says(SERVING, seconds)
        self.took = time.monotonic() - self._launched
        self.url = f"http://127.0.0.1:{serving[1]}" if serving[1] else ""
        return self

    def until_it_says(self, words: str | re.Pattern[str], seconds: float = START) -> re.Match[str]:
        """Raises DidNotServe when it ends or takes too long."""
        deadline = time.monotonic() + seconds
        while True:
            alive = self.alive
            if found := re.search(words, self.said()):
                return found
            if not alive:
                raise DidNotServe(f"the server ended with status {self.status(0)}:\n{self.said()}")
            if time.monotonic() > deadline:
                self.kill()
                raise DidNotServe(f"the server did not say {words!r} within {seconds:.0f} s:\n{self.said()}")
            time.sleep(0.005)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def status(self, seconds: float) -> int:
        """How it ended; fails when it does not within the seconds."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server still runs after {seconds:g} s:\n{self.said()}") from None

    def kill(self) -> None:
        """As kill -9 does; returns when the embedded servers, too, have ended by themselves."""
        if self._process is not None:
            self._process.kill()
        self.dead()

    def dead(self, seconds: float = DEATH) -> int | None:
        """Waits until the process, however it was ended, and all that it started are gone. -> its status"""
        status = self.status(seconds) if self._process is not None else None
        deadline = time.monotonic() + seconds
        while left := self.processes():
            assert time.monotonic() < deadline, f"left behind by a dead server: {left}"
            time.sleep(0.01)
        return status

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """As Ctrl-C does; it must end well, within seconds, and leave no process behind."""
        self.send(number)
        try:
            status = self.status(STOP)
            left = self.processes()
        except AssertionError:
            self.kill()
            raise
        assert status == 0, f"the server ended with status {status}:\n{self.said()}"
        assert not left, f"left behind by a stopped server: {left}"

    def restart(self, **variables: str) -> Self:
        self.stop()
        return self.start(START, **variables)

    def processes(self) -> dict[int, str]:
        """Everything alive that works for this home: the server, the embedded ones, and what those started."""
        return processes_of(self.home)

    def embedded(self, name: str) -> int:
        """The pid of the embedded "postgres" or "nats-server"."""
        found = [pid for pid, command in self.processes().items() if Path(command.split(" ")[0]).name == name]
        assert found, f"no {name} among {self.processes()}"
        return found[0]

    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=20)

    async def boxes(self, agent: int) -> dict[str, Box]:
        """What the simulated hosts of an agent hold, by instance uuid; read off their file, as one looks at a real engine."""
        driver = SimulatedDriver("")
        await driver.open(self.home / "agents" / f"a{agent}")
        try:
            return driver.boxes()
        finally:
            await driver.close()


def processes_of(home: Path) -> dict[int, str]:
    """pid -> command line, of processes that name the home in it, in their environment, or work in the home. Zombies don't count."""
    name = os.fsencode(home)
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = (place / "cmdline").read_bytes()
            if name in command or name in _readable(place / "environ") or _inside(place, home):
                found[int(place.name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return found


def _readable(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except PermissionError:
        return b""


def _inside(place: Path, home: Path) -> bool:
    try:
        return (place / "cwd").readlink().is_relative_to(home)
    except PermissionError:
        return False

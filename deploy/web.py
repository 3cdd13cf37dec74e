"""The HTTP server: uvicorn on a socket that we bound ourselves, started and stopped as a part among others."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

GRACE = 3
"""Seconds that open requests get to finish at the end."""


class PortTaken(Exception):
    """Somebody else listens there; the message says what to do."""


class TlsUnusable(Exception):
    """HTTPS can't be served with what was given; the message says what to do."""


def bind(address: str, port: int, *, name: str = "") -> socket.socket:
    """A listening socket; raises PortTaken naming the variable that moves it (CORRAL_<name>PORT)."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, else asyncio leaves Nagle on
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        variable = f"CORRAL_{name}PORT"
        mend = f"Choose another port with {variable} ({variable}=0 takes any free one), or stop what uses it"
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            mend = f"Give an address of this machine with CORRAL_{name}LISTEN (0.0.0.0 for all of them)"
        raise PortTaken(f"can't listen on {address} port {port}: {error.strerror or error}. {mend}") from error
    listener.setblocking(False)
    return listener


KEEP_ALIVE = 75
"""Seconds for which an idle connection stays open: longer than clients and proxies usually keep theirs, so that the server never closes one
on which a request is under way (on a busy machine 5 s did)."""


def allow_many_connections() -> None:
    """Each subscriber keeps one: as many as this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Web(uvicorn.Server):
    """Serves an app on a bound socket until stop()."""

    def __init__(self, app: Starlette, listener: socket.socket, certificate: Path | None = None, key: Path | None = None) -> None:
        """`certificate` and `key`: PEM files, for HTTPS. Raises TlsUnusable."""
        super().__init__(
            uvicorn.Config(
                app, log_config=None, access_log=False, lifespan="off", loop="none", http="httptools", ws="websockets-sansio",
                timeout_graceful_shutdown=GRACE, timeout_keep_alive=KEEP_ALIVE, server_header=False, backlog=2048,
                ssl_certfile=certificate, ssl_keyfile=key,
            )
        )
        try:
            self.config.load()
        except (OSError, ssl.SSLError) as error:
            what = f"the certificate {certificate} with the key {key}"
            raise TlsUnusable(f"{what} can't be used: {error}. Set CORRAL_TLS_CERTIFICATE and CORRAL_TLS_KEY to PEM files") from error
        self._listener = listener
        self.stopping = app.state.stopping = asyncio.Event()  # ends the streams that would go on for ever

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the whole server's, not uvicorn's."""
        yield

    async def run_until_stopped(self) -> None:
        await self.serve(sockets=[self._listener])

    async def ready(self, timeout: float = 10.0) -> None:
        async with asyncio.timeout(timeout):
            while not self.started:  # noqa: ASYNC110  # uvicorn tells by this attribute alone
                await asyncio.sleep(0.002)

    def stop(self) -> None:
        self.stopping.set()
        self.should_exit = True

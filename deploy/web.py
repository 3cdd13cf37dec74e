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
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

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


def check_tls(certificate: Path, key: Path) -> None:
    """Raises TlsUnusable, saying which of the two is wrong and how."""
    for name, path in (("CORRAL_TLS_CERTIFICATE", certificate), ("CORRAL_TLS_KEY", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise TlsUnusable(f"{path} can't be read: {error.strerror}. Set {name} to a PEM file that can") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(certificate)
    except ssl.SSLError as error:
        raise TlsUnusable(f"{certificate} is no certificate in PEM form: set CORRAL_TLS_CERTIFICATE to one, its chain behind it") from error
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # asked for one, OpenSSL would ask the terminal
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsUnusable(f"the key {key} is not that of the certificate {certificate}: set CORRAL_TLS_KEY to its own") from error
        raise TlsUnusable(f"{key} is no private key in PEM form without a password: set CORRAL_TLS_KEY to one") from error


MOST_HEAD = 256 * 1024
"""Bytes of a request's line and headers. Nobody has been asked for a key by then."""
HEAD_SECONDS = 75.0
"""From a connection's begin, or that of a request on it, to the end of the request's headers."""

KEEP_ALIVE = 75
"""Seconds for which an idle connection stays open: longer than clients and proxies usually keep theirs, so that the server never closes one
on which a request is under way (on a busy machine 5 s did)."""


def allow_many_connections() -> None:
    """Each subscriber, or simulated host, keeps one: as many as this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Protocol(HttpToolsProtocol):
    """Uvicorn's own, which would take headers without end, and wait for their end for ever."""

    _late: asyncio.TimerHandle | None = None
    """Runs while a request's head is awaited or comes."""
    _head = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        comes = self._late is not None
        super().data_received(data)
        if comes and self._late is not None:
            self._head += len(data)
            if self._head > MOST_HEAD:
                self._stop_waiting()
                self.send_400_response(f"A request's line and headers may have at most {MOST_HEAD} bytes.")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._stop_waiting()
        self._head = 0
        self._late = asyncio.get_running_loop().call_later(HEAD_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Conversation(WebSocketsSansIOProtocol):
    """Uvicorn's own, which takes an upgrade that was refused with a response for one that was forgotten, and logs an error; and a client
    for gone whose pongs it does not read, because what came before them is not wanted yet."""

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True

    def keepalive_timeout(self) -> None:
        if self.read_paused:
            self.pong_timer = None
            self.schedule_ping()
        else:
            super().keepalive_timeout()


class Web(uvicorn.Server):
    """Serves an app on a bound socket until stop()."""

    def __init__(self, app: Starlette, listener: socket.socket, certificate: Path | None = None, key: Path | None = None) -> None:
        """`certificate` and `key`: PEM files, for HTTPS (check_tls)."""
        super().__init__(
            uvicorn.Config(
                app, log_config=None, access_log=False, lifespan="off", loop="none", http=Protocol, ws=Conversation,
                timeout_graceful_shutdown=GRACE, timeout_keep_alive=KEEP_ALIVE, server_header=False, backlog=2048,
                ssl_certfile=certificate, ssl_keyfile=key,
            )
        )
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

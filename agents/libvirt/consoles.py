"""The screens of virtual machines for browsers: a WebSocket at the agent that leads to a machine's VNC, opened by a ticket.

A ticket names one machine, is good for one opening, and not for long. What comes over the WebSocket is VNC's own protocol (RFB), as noVNC
and websockify speak it; the machine's VNC asks for its password then.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit
from weakref import WeakKeyDictionary

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from agents.driver import DriverError, Json
from agents.joining.api import in_url

log = structlog.get_logger("corral.agent.consoles")

PATH = "/console"
TICKET_SECONDS = 60.0
MOST_TICKETS = 20
"""Of one machine at a time, so that who asks for more keeps nobody from others' screens."""
PIECE = 65536
CONNECT_SECONDS = 10.0
MOST_REASON = 123
"""Bytes of why a WebSocket is closed: the protocol takes no more."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
OpenScreen = Callable[[str], Awaitable[Streams]]


class Consoles:
    """Listens from the first access on, until it is closed."""

    def __init__(self, listen: str, port: int, open_screen: OpenScreen, seconds: float = TICKET_SECONDS) -> None:
        self._listen, self._port, self._open_screen, self._seconds = listen, port, open_screen, seconds
        self._tickets: dict[str, tuple[str, float]] = {}
        """Ticket -> machine, and until when it is good."""
        self._admitted: WeakKeyDictionary[ServerConnection, str] = WeakKeyDictionary()
        """To which machine's screen a connection's ticket leads."""
        self._server: Server | None = None
        self._starting = asyncio.Lock()

    async def access(self, machine: str, password: str, host: str) -> Json:
        """Cattle's answer to console.access. Raises DriverError where the agent can't listen."""
        port = await self._start()
        now = time.monotonic()
        self._tickets = {ticket: each for ticket, each in self._tickets.items() if each[1] > now}
        if sum(each[0] == machine for each in self._tickets.values()) >= MOST_TICKETS:
            raise DriverError(
                f"{MOST_TICKETS} consoles of this machine were asked for within {self._seconds:.0f} seconds and not opened: open one of "
                "them, or try again later"
            )
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = (machine, now + self._seconds)
        reached = host if self._listen in ("0.0.0.0", "::") else self._listen
        path = f"{PATH}?token={ticket}"
        return {
            "kind": "websocket-vnc", "url": f"ws://{in_url(reached)}:{port}{path}", "host": reached, "port": port, "path": path,
            "password": password,
        }  # fmt: skip

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await server.wait_closed()

    @staticmethod
    async def connect(screen: socket.socket | tuple[str, int]) -> Streams:
        """To what a screen is reached by: an address, or a Unix socket that libvirt has connected."""
        async with asyncio.timeout(CONNECT_SECONDS):
            if isinstance(screen, tuple):
                return await asyncio.open_connection(*screen)
            return await asyncio.open_unix_connection(sock=screen)

    async def _start(self) -> int:
        async with self._starting:
            if self._server is None:
                try:
                    self._server = await serve(
                        self._relay, self._listen, self._port, process_request=self._check, select_subprotocol=_binary, max_size=2**22,
                        compression=None,
                    )  # fmt: skip
                except OSError as error:
                    raise DriverError(f"consoles can't be served at {self._listen}:{self._port}: {error}") from error
            return int(next(iter(self._server.sockets)).getsockname()[1])

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        """Before it becomes a WebSocket: the ticket, which is spent by this."""
        parts = urlsplit(request.path)
        ticket = next(iter(parse_qs(parts.query).get("token", ())), "")
        machine, until = self._tickets.pop(ticket, ("", 0.0))
        if parts.path != PATH or until <= time.monotonic():
            said = "This ticket is not good, or not any more: ask for the console again (each opens it once, within a minute)\n"
            return connection.respond(403, said)
        self._admitted[connection] = machine
        return None

    async def _relay(self, connection: ServerConnection) -> None:
        machine = self._admitted[connection]
        try:
            reader, writer = await self._open_screen(machine)
        except (DriverError, OSError, TimeoutError) as error:
            log.warning("A console can't be opened", action="console-failed", instance=machine, error=str(error))
            await connection.close(1011, str(error).encode()[:MOST_REASON].decode(errors="ignore"))
            return
        log.info("A console is open", action="console-open", instance=machine)
        try:
            outwards = asyncio.create_task(_outwards(reader, connection))
            inwards = asyncio.create_task(_inwards(connection, writer))
            await asyncio.wait({outwards, inwards}, return_when=asyncio.FIRST_COMPLETED)
            for each in (outwards, inwards):
                each.cancel()
            await asyncio.gather(outwards, inwards, return_exceptions=True)
        finally:
            writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(2):
                    await writer.wait_closed()
            log.info("A console is closed", action="console-closed", instance=machine)


def _binary(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The one that noVNC and websockify know; whoever offers none speaks it all the same."""
    return next((each for each in offered if each == "binary"), None)


async def _outwards(reader: asyncio.StreamReader, connection: ServerConnection) -> None:
    with suppress(ConnectionClosed, OSError):
        while piece := await reader.read(PIECE):
            await connection.send(piece)


async def _inwards(connection: ServerConnection, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionClosed, OSError):
        async for piece in connection:
            writer.write(piece if isinstance(piece, bytes) else piece.encode())
            await writer.drain()

"""The far side's connections, through the ssh connection, to a server that this process reaches."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass

import asyncssh
import structlog

log = structlog.get_logger("corral.ssh.tunnel")

CONNECT_SECONDS = 5.0
PIECE = 64 * 1024

Handler = Callable[["asyncssh.SSHReader[bytes]", "asyncssh.SSHWriter[bytes]"], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class Target:
    """`places`: the first that answers is taken. `tls`: spoken on this side, so that the far side needs no certificate of ours."""

    places: Sequence[tuple[str, int]]
    tls: ssl.SSLContext | None = None
    tls_name: str | None = None


async def tunnel(connection: asyncssh.SSHClientConnection, target: Target) -> int:
    """-> the port of the far side's localhost under which the target is reached, until the connection ends. Raises asyncssh.Error."""
    listener = await connection.start_server(lambda host, port: _handler(target), "localhost", 0, encoding=None)
    return listener.get_port()


def _handler(target: Target) -> Handler:
    async def handle(reader: asyncssh.SSHReader[bytes], writer: asyncssh.SSHWriter[bytes]) -> None:
        try:
            near_reader, near_writer = await _connected(target)
        except OSError as error:
            log.warning("What an agent over ssh asks for does not answer", action="tunnel-away", places=target.places, error=str(error))
            writer.close()
            return
        try:
            await asyncio.gather(_pass_on(reader, near_writer), _pass_on(near_reader, writer))
        finally:
            near_writer.close()
            writer.close()

    return handle


async def _connected(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    failed: OSError = OSError("no address is known")
    for host, port in target.places:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_connection(host, port, ssl=target.tls, server_hostname=target.tls_name if target.tls else None)
        except OSError as error:  # a TimeoutError is one, too
            failed = error
    raise failed


async def _pass_on(
    reader: asyncio.StreamReader | asyncssh.SSHReader[bytes], writer: asyncio.StreamWriter | asyncssh.SSHWriter[bytes]
) -> None:
    """Until one side ends, which the other is told."""
    with suppress(OSError, asyncssh.Error):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
    with suppress(OSError, asyncssh.Error):
        if writer.can_write_eof():
            writer.write_eof()
        else:  # TLS has no half of an end
            writer.close()

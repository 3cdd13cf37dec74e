"""The DNS of the instances on this host: it listens on the gateway's address of each segment, and asks the host's own servers what it
does not know itself."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.exception
import dns.message
import structlog

from agents.network.names import Names, answer, nameservers, unanswerable
from agents.network.segments import Document

log = structlog.get_logger("corral.agent.network")

PORT = 53
UPSTREAM_SECONDS = 3.0
"""For each server that is asked."""
IDLE_SECONDS = 30.0
"""A connection over TCP without a question."""
MOST_FORWARDED = 256
"""Questions over UDP that are being answered at once; what comes beyond that is dropped, and asked again by whoever asked it."""
MOST_OF_ONE = 32
"""The same of one asker, and its connections over TCP: an instance takes names from no other by asking much, nor the agent's files."""
MOST_CONNECTIONS = 256
LARGEST_UDP = 1232

RESOLV_CONF = Path("/etc/resolv.conf")


class Responder:
    """`listen` with the addresses wanted, whenever they change; `close`."""

    def __init__(self, resolv_conf: Path = RESOLV_CONF, port: int = PORT) -> None:
        self._resolv_conf, self._port = resolv_conf, port
        self._names = Names(Document())
        self._doors: dict[str, _Door] = {}
        self._forwarding: set[asyncio.Task[None]] = set()
        self._asking: Counter[str] = Counter()
        self._connected: Counter[str] = Counter()
        self._refused: dict[str, str] = {}

    def tell(self, document: Document) -> None:
        """What is answered from now on."""
        self._names = Names(document)

    def listens(self, address: str) -> bool:
        return address in self._doors

    async def listen(self, addresses: Iterable[str]) -> None:
        """On these, and on no other. One that can't be listened on is told in the log; it is tried again with the next call."""
        wanted = set(addresses)
        for address in self._doors.keys() - wanted:
            await self._doors.pop(address).close()
        for address in wanted - self._doors.keys():
            try:
                self._doors[address] = await _Door.open(self, address, self._port)
                self._refused.pop(address, None)
            except OSError as error:
                if self._refused.get(address) != str(error):
                    log.warning(
                        "Names of instances can't be answered: port 53 of the gateway's address is another's, or not for this user",
                        action="names-refused", address=address, error=str(error),
                    )  # fmt: skip
                self._refused[address] = str(error)

    async def close(self) -> None:
        await self.listen(())
        for task in list(self._forwarding):
            task.cancel()
        if self._forwarding:
            await asyncio.wait(self._forwarding, timeout=2)

    async def respond(self, asker: str, wire: bytes) -> dns.message.Message | None:
        """None: it was no question."""
        try:
            query = dns.message.from_wire(wire)
        except (dns.exception.DNSException, ValueError):
            return None
        return answer(self._names, asker, query) or await self._forwarded(query)

    def later(self, asker: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Unless too much is under way."""
        if len(self._forwarding) < MOST_FORWARDED and self._asking[asker] < MOST_OF_ONE:
            task = asyncio.get_running_loop().create_task(_counted(self._asking, asker, work))
            self._forwarding.add(task)
            task.add_done_callback(self._forwarding.discard)

    async def converse(self, asker: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """The same of a connection."""
        if self._connected.total() < MOST_CONNECTIONS and self._connected[asker] < MOST_OF_ONE:
            await _counted(self._connected, asker, work)

    def others(self) -> list[str]:
        """The host's own servers, as far as instances reach them, too."""
        return [each for each in self._servers() if not each.startswith("127.") and ":" not in each]

    def _servers(self) -> list[str]:
        try:
            found = nameservers(self._resolv_conf.read_text())
        except OSError:
            found = []
        return [each for each in found if each not in self._doors]

    async def _forwarded(self, query: dns.message.Message) -> dns.message.Message:
        """As the first of the host's servers that answers at all says."""
        for server in self._servers():
            with suppress(dns.exception.DNSException, OSError, ValueError, EOFError):
                reply, _ = await dns.asyncquery.udp_with_fallback(query, server, timeout=UPSTREAM_SECONDS)
                return reply
        return unanswerable(query)


class _Door(asyncio.DatagramProtocol):
    """One address, UDP and TCP."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._datagrams: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None

    @classmethod
    async def open(cls, responder: Responder, address: str, port: int) -> _Door:
        door, loop = cls(responder), asyncio.get_running_loop()
        datagrams, stream = _bound(socket.SOCK_DGRAM, address, port), None
        try:
            stream = _bound(socket.SOCK_STREAM, address, port)
            door._datagrams, _ = await loop.create_datagram_endpoint(lambda: door, sock=datagrams)
            door._server = await asyncio.start_server(door._connected, sock=stream)
        except BaseException:
            datagrams.close()
            if stream is not None:
                stream.close()
            raise
        return door

    async def close(self) -> None:
        if self._datagrams is not None:
            self._datagrams.close()
        if self._server is not None:
            self._server.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._responder.later(addr[0], lambda: self._reply(data, addr))

    def error_received(self, exc: Exception) -> None:
        log.debug("An answer about a name did not arrive", action="names-unreached", error=str(exc))

    async def _reply(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = await self._responder.respond(addr[0], data)
        if reply is not None and self._datagrams is not None and not self._datagrams.is_closing():
            self._datagrams.sendto(reply.to_wire(max_size=LARGEST_UDP, prefer_truncation=True), addr)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asker = writer.get_extra_info("peername")[0]
            await self._responder.converse(asker, lambda: self._converse(asker, reader, writer))
        finally:
            writer.close()

    async def _converse(self, asker: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(IDLE_SECONDS):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    query = await reader.readexactly(length)
                reply = await self._responder.respond(asker, query)
                if reply is None:
                    return
                wire = reply.to_wire()
                writer.write(len(wire).to_bytes(2, "big") + wire)
                async with asyncio.timeout(IDLE_SECONDS):
                    await writer.drain()
        except (OSError, EOFError, TimeoutError):
            return  # who asked has gone


async def _counted(busy: Counter[str], asker: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    busy[asker] += 1
    try:
        await work()
    finally:
        busy[asker] -= 1
        if not busy[asker]:
            del busy[asker]


def _bound(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    """Raises OSError."""
    made = socket.socket(socket.AF_INET, kind)
    try:
        made.setblocking(False)
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
    except BaseException:
        made.close()
        raise
    return made

"""A request to the engine whose answer is read as it comes, no faster than it is wanted: logs, stats, events, and what exec hijacks.

As HTTP/1.0, so that a body is what follows until the connection ends, without chunks: what is not read waits in the engine.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit

import docker

from agents.docker.engine import Engine, NoEngine, docker_says
from agents.driver import DriverError
from agents.jsons import dumps, loads

SECONDS = 30.0
"""Until the engine begins to answer."""
CHUNK = 16 * 1024
HEAD = 64 * 1024
CLOSE_SECONDS = 1.0

BROKE_OFF = "broke off in its answer: look at its log, and ask again"


class EngineRefused(DriverError):
    """The engine answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(docker_says(message, status))
        self.status = status


@dataclass(frozen=True, slots=True)
class Way:
    """Where the engine answers: at a socket's path, or at an address. `url`: as errors name it."""

    url: str
    path: str | None = None
    host: str = ""
    port: int = 0
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """`writer`: for what a hijacked connection takes. Reading raises NoEngine where the engine breaks off."""

    way: Way
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def json(self) -> Any:
        """The whole body."""
        with _told(self.way, BROKE_OFF):
            async with asyncio.timeout(SECONDS):
                return loads(await self.reader.read() or b"null")

    async def chunks(self) -> AsyncIterator[bytes]:
        """Until the engine ends it."""
        with _told(self.way, BROKE_OFF):
            while chunk := await self.reader.read(CHUNK):
                yield chunk

    async def documents(self) -> AsyncIterator[Any]:
        """One a line."""
        with _told(self.way, BROKE_OFF):
            async for line in self.reader:
                if line.strip():
                    yield loads(line)


async def way_to(engine: Engine) -> Way:
    """As the engine's own client goes, certificates and all. Raises DriverError."""
    if engine.url.startswith("unix://"):
        return Way(engine.url, engine.url.removeprefix("unix://"))
    return await engine.look(partial(_way_of, engine.url))


def _way_of(url: str, client: docker.APIClient) -> Way:
    parts = urlsplit(client.base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DriverError(f"live queries reach engines at sockets and addresses, and not at {url}")
    if parts.scheme == "http":
        return Way(url, None, parts.hostname, parts.port or 2375)
    context = ssl.create_default_context(cafile=client.verify if isinstance(client.verify, str) else None)
    if client.verify is False:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if isinstance(client.cert, tuple):
        context.load_cert_chain(*client.cert)
    return Way(url, None, parts.hostname, parts.port or 2376, context)


@asynccontextmanager
async def asked(way: Way, method: str, path: str, params: Mapping[str, Any] | None = None, body: Any = None) -> AsyncIterator[Answer]:
    """The answer, its head read; leaving closes the connection. Raises NoEngine and EngineRefused."""
    with _told(way, "does not answer: start it"):
        async with asyncio.timeout(SECONDS):
            reader, writer = await _opened(way)
    try:
        with _told(way, "took a request and did not answer it: look at its log"):
            async with asyncio.timeout(SECONDS):
                writer.write(_request(method, path, params, body))
                await writer.drain()
                status = await _head(reader)
                if status >= 400:
                    raise EngineRefused(status, _message(await reader.read(HEAD)) or "no more")
        yield Answer(way, reader, writer)
    finally:
        writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await writer.wait_closed()


@contextmanager
def _told(way: Way, wrong: str) -> Iterator[None]:
    """What breaks on the way, as the user is told of it."""
    try:
        yield
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise NoEngine(f"the Docker engine at {way.url} {wrong}", repr(error)) from error


async def _opened(way: Way) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if way.path is not None:
        return await asyncio.open_unix_connection(way.path, limit=HEAD)
    return await asyncio.open_connection(way.host, way.port, ssl=way.tls, limit=HEAD)


def _request(method: str, path: str, params: Mapping[str, Any] | None, body: Any) -> bytes:
    content = dumps(body) if body is not None else b""
    target = f"{path}?{urlencode(params)}" if params else path
    head = f"{method} {target} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def _head(reader: asyncio.StreamReader) -> int:
    """Reads it; the status."""
    _, status, *_ = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)
    return int(status)


def _message(body: bytes) -> str:
    try:
        found = loads(body)
    except ValueError:
        return body.decode(errors="replace").strip()
    return str(found.get("message") or found) if isinstance(found, dict) else str(found)

"""A proxy between a store and Postgres that loses connections at chosen moments."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


class Cut(StrEnum):
    """When the connection is lost, at the next statement that a client executes."""

    BEFORE = "the statement never reaches the server"
    AFTER = "the statement is carried out, its answer is lost"
    DURING = "the client is cut off while the server still works on the statement"


class CuttingProxy:
    def __init__(self, dsn: str) -> None:
        url = urlsplit(dsn)
        options = parse_qs(url.query)
        self._socket = Path(options["host"][0]) / f".s.PGSQL.{options['port'][0]}"
        self._user, self._database = url.username, url.path
        self.cuts: deque[Cut] = deque()
        self.made = 0
        self.port = 0

    @property
    def dsn(self) -> str:
        return f"postgresql://{self._user}@127.0.0.1:{self.port}{self._database}?sslmode=disable"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs, ours = await asyncio.open_unix_connection(self._socket)
        except OSError:
            writer.transport.abort()
            return
        mute = asyncio.Event()
        back = asyncio.create_task(self._answers(theirs, writer, mute))
        try:
            while chunk := await reader.read(1 << 16):
                cut = self.cuts.popleft() if self.cuts and chunk.startswith(b"B") else None  # B: bind, and then execute
                self.made += cut is not None
                if cut is Cut.BEFORE:
                    break
                if cut is not None:
                    mute.set()
                ours.write(chunk)
                await ours.drain()
                if cut is Cut.AFTER:
                    await asyncio.wait({back}, timeout=5)
                    break
                if cut is Cut.DURING:
                    writer.transport.abort()
                    await asyncio.wait({back}, timeout=5)
                    break
        except OSError:
            pass
        finally:
            back.cancel()
            writer.transport.abort()
            ours.transport.abort()

    async def _answers(self, theirs: asyncio.StreamReader, writer: asyncio.StreamWriter, mute: asyncio.Event) -> None:
        with suppress(OSError):
            while chunk := await theirs.read(1 << 16):
                if mute.is_set():
                    return  # the server has answered
                writer.write(chunk)
                await writer.drain()
        if not mute.is_set():
            writer.transport.abort()


@asynccontextmanager
async def cutting_proxy(dsn: str) -> AsyncIterator[CuttingProxy]:
    proxy = CuttingProxy(dsn)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(proxy.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5)

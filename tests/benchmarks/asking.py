"""The least that an HTTP client costs in this process: kept-alive connections, one request at a time on each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

PATIENCE = 60.0


class Connection:
    """Made by `await Connection.open(url)`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader, self._writer, self._host = reader, writer, host

    @classmethod
    async def open(cls, url: str) -> Self:
        address = urlsplit(url)
        async with asyncio.timeout(PATIENCE):
            return cls(*await asyncio.open_connection(address.hostname, address.port), address.netloc)

    def close(self) -> None:
        self._writer.close()

    async def document(self, method: str, path: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
        """Raises RuntimeError for an answer that is no success."""
        body = orjson.dumps(fields) if fields is not None else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        async with asyncio.timeout(PATIENCE):
            self._writer.write(head.encode() + body)
            told = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            length = int(told.partition(b"content-length:")[2].partition(b"\r\n")[0])
            answer = await self._reader.readexactly(length)
        if int(told.split(b" ", 2)[1]) >= 300:
            raise RuntimeError(f"{method} {path}: {answer.decode(errors='replace')}")
        document = orjson.loads(answer)
        assert isinstance(document, dict)
        return document


@asynccontextmanager
async def connections(url: str, count: int) -> AsyncIterator[list[Connection]]:
    opened = [await Connection.open(url) for _ in range(count)]
    try:
        yield opened
    finally:
        for each in opened:
            each.close()

"""The way to an engine that ends, or falls silent, in the middle of an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents.docker import engine
from agents.docker.engine import Engine, NoEngine
from agents.docker.pulling import pull

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
VERSION = b'{"ApiVersion": "1.41"}'
LINE = b'{"status": "Pulling from team/app"}\n'


@asynccontextmanager
async def an_engine(folder: Path, end: asyncio.Event) -> AsyncIterator[Engine]:
    """It tells its version, and of a pull one line: with `end` its process is gone."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while b"/version" in await reader.readuntil(b"\r\n\r\n"):
                writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(VERSION) + VERSION)
            writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(LINE) + LINE + b"\r\n")
            await end.wait()
        except asyncio.IncompleteReadError:
            pass  # the client is gone
        finally:
            writer.close()

    server = await asyncio.start_unix_server(answer, folder / "docker.sock")
    way = Engine(f"unix://{folder}/docker.sock")
    async with server:
        try:
            yield way
        finally:
            way.close()
            end.set()


async def test_an_engine_that_ends_in_the_middle_of_a_pull_is_one_that_is_away(tmp_path: Path) -> None:
    end = asyncio.Event()
    end.set()
    async with an_engine(tmp_path, end) as way:
        with pytest.raises(NoEngine, match=r"docker.sock can't be reached: it broke off in its answer"):
            await way.work(lambda client: pull(client, "team/app:1", None, lambda text, percent: None))


async def test_an_engine_that_tells_no_further_line_of_a_pull_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SILENCE_SECONDS", 1)
    async with an_engine(tmp_path, asyncio.Event()) as way:
        with pytest.raises(NoEngine, match="it took the request and says nothing more"):
            await way.work(lambda client: pull(client, "team/app:1", None, lambda text, percent: None))

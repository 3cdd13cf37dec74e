"""Requests to an engine that does not answer, refuses, or breaks off: what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents.docker.engine import NoEngine
from agents.docker.http import EngineRefused, Way, asked

OK = b"HTTP/1.0 200 OK\r\n\r\n"


@asynccontextmanager
async def an_engine(folder: Path, says: bytes) -> AsyncIterator[Way]:
    """It says the same to each request, and ends the connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(says)
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, folder / "docker.sock")
    async with server:
        yield way(folder)


def way(folder: Path) -> Way:
    return Way(f"unix://{folder}/docker.sock", f"{folder}/docker.sock")


async def test_an_answer_is_read_as_a_document_as_lines_or_as_it_comes(tmp_path: Path) -> None:
    async with an_engine(tmp_path, OK + b'{"a": 1}') as there, asked(there, "GET", "/info") as answer:
        assert await answer.json() == {"a": 1}
    async with an_engine(tmp_path, OK + b'{"a": 1}\n\n{"a": 2}') as there, asked(there, "GET", "/events") as answer:
        assert [each["a"] async for each in answer.documents()] == [1, 2]
    async with an_engine(tmp_path, OK + b"log") as there, asked(there, "GET", "/logs") as answer:
        assert b"".join([each async for each in answer.chunks()]) == b"log"


async def test_what_the_engine_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    says = b'HTTP/1.0 404 Not Found\r\n\r\n{"message": "No such container: web"}'
    async with an_engine(tmp_path, says) as there:
        with pytest.raises(EngineRefused, match=r"Docker says: No such container: web \(status 404\)") as refused:
            async with asked(there, "GET", "/containers/web/json"):
                pass
        assert refused.value.status == 404


async def test_an_engine_that_is_away_or_says_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoEngine, match=rf"engine at unix://{tmp_path}/docker.sock does not answer: start it"):
        async with asked(way(tmp_path), "GET", "/info"):
            pass
    for says in (b"", b"what?\r\n\r\n"):
        async with an_engine(tmp_path, says) as there:
            with pytest.raises(NoEngine, match=r"docker.sock took a request and did not answer it: look at its log"):
                async with asked(there, "GET", "/info"):
                    pass


async def test_an_engine_that_breaks_off_is_named_and_none_of_the_agents_faults(tmp_path: Path) -> None:
    async with an_engine(tmp_path, OK + b'{"a": ') as there:
        with pytest.raises(NoEngine, match=r"docker.sock broke off in its answer"):
            async with asked(there, "GET", "/info") as answer:
                await answer.json()
        with pytest.raises(NoEngine, match=r"docker.sock broke off in its answer"):
            async with asked(there, "GET", "/events") as answer:
                [each async for each in answer.documents()]

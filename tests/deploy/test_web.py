"""HTTPS that can't be served is said at the start; and whose word counts for where a request came from."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from deploy import web
from deploy.web import TlsUnusable, Web, bind, check_tls
from tests.support.certificates import self_signed
from tests.support.http import background
from tests.support.server import Server


def unusable(folder: Path) -> list[tuple[Path, Path, str]]:
    """-> certificate, key, and what is said of them"""
    cert, key = self_signed(folder)
    _, another = self_signed(folder / "other")
    text, locked = folder / "text.pem", folder / "locked.pem"
    text.write_text("no PEM")
    locked.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGf\n-----END ENCRYPTED PRIVATE KEY-----\n")
    return [
        (folder / "none.pem", key, f"{folder / 'none.pem'} can't be read: No such file or directory. Set CORRAL_TLS_CERTIFICATE"),
        (cert, folder / "none.pem", "none.pem can't be read: No such file or directory. Set CORRAL_TLS_KEY"),
        (folder, key, "can't be read: Is a directory. Set CORRAL_TLS_CERTIFICATE"),
        (text, key, "text.pem is no certificate in PEM form"),
        (key, key, "key.pem is no certificate in PEM form"),
        (cert, text, "text.pem is no private key in PEM form without a password"),
        (cert, locked, "locked.pem is no private key in PEM form without a password"),
        (cert, another, "key.pem is not that of the certificate"),
    ]


def test_a_certificate_or_key_that_cannot_be_used_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    for cert, key, said in unusable(tmp_path):
        with pytest.raises(TlsUnusable, match=re.escape(said)):
            check_tls(cert, key)
    check_tls(tmp_path / "cert.pem", tmp_path / "key.pem")


@pytest.mark.timeout(120)
def test_a_server_that_cannot_serve_https_says_so_and_ends_before_it_made_anything(tmp_path: Path) -> None:
    cert, key, said = unusable(tmp_path)[-1]
    server = Server(tmp_path / "home", tls_certificate=str(cert), tls_key=str(key))
    server.launch()
    assert server.status(60) == 1
    assert f"Corral can't start: the key {key}" in (told := server.said().replace("\n", " ")), told
    assert said in told
    assert not (tmp_path / "home").exists()


FORWARDED = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}


async def test_only_a_proxy_of_this_machine_is_believed_about_who_it_speaks_for() -> None:
    async def seen(request: Request) -> Response:
        return JSONResponse([request.client.host if request.client else None, request.url.scheme])

    with bind("127.0.0.1", 0) as listener:
        web = Web(Starlette(routes=[Route("/", seen)]), listener)
        async with background(web.run_until_stopped()):
            await web.ready()
            for mine, told in (("127.0.0.1", ["203.0.113.7", "https"]), ("127.0.0.2", ["127.0.0.2", "http"])):
                transport = httpx.AsyncHTTPTransport(local_address=mine)
                async with httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{web.port}", timeout=20) as http:
                    assert (await http.get("/", headers=FORWARDED)).json() == told, mine
                    assert (await http.get("/")).json() == [mine, "http"]
            web.stop()


async def test_an_upgrade_that_is_refused_is_no_error_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(socket: WebSocket) -> None:
        await socket.send_denial_response(JSONResponse({"message": "no"}, 409))

    with bind("127.0.0.1", 0) as listener:
        server = Web(Starlette(routes=[WebSocketRoute("/", refuse)]), listener)
        async with background(server.run_until_stopped()), asyncio.timeout(20):
            await server.ready()
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://127.0.0.1:{server.port}/")
            server.stop()
    assert (refused.value.response.status_code, refused.value.response.body) == (409, b'{"message":"no"}')
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("reads", [True, False])
async def test_a_client_is_not_taken_for_gone_while_the_server_itself_reads_no_further(reads: bool) -> None:
    """Its pongs wait behind what it said before them."""
    heard: list[str] = []
    going_on = asyncio.Event()

    async def hear(socket: WebSocket) -> None:
        await socket.accept()
        heard.append(await socket.receive_text())
        await going_on.wait()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                heard.append(await socket.receive_text())

    with bind("127.0.0.1", 0) as listener:
        server = Web(Starlette(routes=[WebSocketRoute("/", hear)]), listener)
        server.config.ws_ping_interval = server.config.ws_ping_timeout = 0.2
        async with background(server.run_until_stopped()), asyncio.timeout(30):
            await server.ready()
            async with connect(f"ws://127.0.0.1:{server.port}/", ping_interval=None, close_timeout=1) as socket:
                for number in range(5):
                    await socket.send(str(number))
                await asyncio.sleep(1.5)
                if not reads:
                    socket.transport.pause_reading()
                going_on.set()
                while len(heard) < 5:
                    await asyncio.sleep(0.05)
                assert heard == ["0", "1", "2", "3", "4"]
                await asyncio.sleep(1.5)
                assert (server.server_state.connections == set()) is not reads, "who answers no ping is gone"
            server.stop()


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async def answer(request: Request) -> Response:
        return JSONResponse({"headers": len(request.headers)})

    with bind("127.0.0.1", 0) as listener:
        server = Web(Starlette(routes=[Route("/", answer)]), listener)
        async with background(server.run_until_stopped()), asyncio.timeout(20):
            await server.ready()
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            yield reader, writer
            writer.close()
            server.stop()


LINE = b"X-A: " + b"a" * 8000 + b"\r\n"


async def test_many_headers_are_taken() -> None:
    async with connected() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" + LINE * 10 + b"\r\n")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"


async def test_headers_without_end_are_refused() -> None:
    async with connected() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        writer.write(LINE * 200)
        with contextlib.suppress(ConnectionResetError):  # by what it had sent, and nobody read
            assert b"may have at most" in await reader.read()


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_who_sends_no_whole_request_is_let_go(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(web, "HEAD_SECONDS", 0.5)
    async with connected() as (reader, writer):
        writer.write(begun)
        assert await reader.read() == b""


async def test_the_next_request_on_a_connection_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "HEAD_SECONDS", 1.0)
    async with connected() as (reader, writer):
        for _ in range(3):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            await reader.readuntil(b"}")
            await asyncio.sleep(0.6)

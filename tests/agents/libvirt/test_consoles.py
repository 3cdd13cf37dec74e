"""Consoles: a ticket opens one screen, once, and not for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from agents.driver import DriverError
from agents.libvirt.consoles import MOST_TICKETS, Consoles, Streams


@pytest.fixture
async def screen() -> AsyncIterator[tuple[str, int]]:
    """A screen that greets and says everything back in capitals."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"RFB 003.008\n")
        while said := await reader.read(100):
            writer.write(said.upper())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[:2]
    server.close()


@pytest.fixture
async def consoles(screen: tuple[str, int]) -> AsyncIterator[Consoles]:
    async def open_screen(machine: str) -> Streams:
        if machine == "gone":
            raise DriverError("the virtual machine does not run any more" + 40 * " ü")
        return await Consoles.connect(screen)

    made = Consoles("127.0.0.1", 0, open_screen)
    yield made
    await made.close()


async def test_a_ticket_opens_a_screen_in_both_directions(consoles: Consoles) -> None:
    told = await consoles.access("box", "secret12", "127.0.0.1")
    assert told["url"] == f"ws://{told['host']}:{told['port']}{told['path']}"
    assert (told["kind"], told["password"]) == ("websocket-vnc", "secret12")
    async with asyncio.timeout(20), connect(told["url"], subprotocols=[Subprotocol("binary")]) as websocket:
        assert websocket.subprotocol == "binary"
        assert await websocket.recv() == b"RFB 003.008\n"
        await websocket.send(b"hello")
        assert await websocket.recv() == b"HELLO"


async def test_a_ticket_is_good_once(consoles: Consoles) -> None:
    told = await consoles.access("box", "", "127.0.0.1")
    async with connect(told["url"]):
        pass
    for url in (told["url"], told["url"].partition("?")[0], told["url"].replace("/console", "/other")):
        with pytest.raises(InvalidStatus, match="403"):
            await connect(url)


async def test_a_ticket_is_not_good_for_long(screen: tuple[str, int]) -> None:
    async def open_screen(machine: str) -> Streams:
        return await Consoles.connect(screen)

    consoles = Consoles("127.0.0.1", 0, open_screen, seconds=0)
    told = await consoles.access("box", "", "127.0.0.1")
    with pytest.raises(InvalidStatus, match="403"):
        await connect(told["url"])
    await consoles.close()


async def test_who_asks_for_too_many_screens_of_one_machine_keeps_nobody_from_anothers(consoles: Consoles) -> None:
    told = [await consoles.access("box", "", "127.0.0.1") for _ in range(MOST_TICKETS)]
    with pytest.raises(DriverError, match="consoles of this machine were asked for"):
        await consoles.access("box", "", "127.0.0.1")
    for url in ((await consoles.access("other", "", "127.0.0.1"))["url"], told[0]["url"]):
        async with asyncio.timeout(20), connect(url) as websocket:
            assert await websocket.recv() == b"RFB 003.008\n"
    assert await consoles.access("box", "", "127.0.0.1"), "one of them was opened"


async def test_a_screen_that_is_gone_is_said_so(consoles: Consoles) -> None:
    told = await consoles.access("gone", "", "127.0.0.1")
    async with asyncio.timeout(20), connect(told["url"]) as websocket:
        with pytest.raises(ConnectionClosed, match="does not run any more"):
            await websocket.recv()


async def test_closing_ends_what_is_open(consoles: Consoles) -> None:
    told = await consoles.access("box", "", "127.0.0.1")
    async with asyncio.timeout(20), connect(told["url"]) as websocket:
        await websocket.recv()
        await consoles.close()
        with pytest.raises(ConnectionClosed):
            await websocket.recv()


async def test_an_address_that_is_not_this_machines_is_said_so(screen: tuple[str, int]) -> None:
    async def open_screen(machine: str) -> Streams:
        return await Consoles.connect(screen)

    with pytest.raises(DriverError, match=r"consoles can't be served at 192\.0\.2\.1:0"):
        await Consoles("192.0.2.1", 0, open_screen).access("box", "", "192.0.2.1")

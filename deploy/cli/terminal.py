"""corral exec over its WebSocket: this terminal's input there, the command's output here, its exit status at the end.

    open (or refused, with a status) -> input and output at once -> {"exit": 0} -> closed
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import sys
import termios
import tty as terminal
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from deploy.cli.client import Client
from deploy.cli.errors import Failed, NotAnswering

Json = dict[str, Any]

OPEN_SECONDS = 60.0
CHUNK = 16 * 1024
MOST_FRAME = 1024 * 1024
UNKNOWN = 125
"""The status of a command whose own is not known, as with docker exec."""


def converse(client: Client, path: str, options: Json, *, interactive: bool, tty: bool) -> int:
    """-> the command's status. Raises Failed and NotAnswering."""
    if tty:
        columns, rows = shutil.get_terminal_size()
        options = {**options, "size": f"{columns}x{rows}"}
    url, headers, tls = client.websocket(path, **options)
    try:
        with _raw() if tty else _as_it_is():
            return asyncio.run(_converse(client, url, headers, tls, interactive=interactive, tty=tty))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


async def _converse(client: Client, url: str, headers: dict[str, str], tls: Any, *, interactive: bool, tty: bool) -> int:
    try:
        # No time for pongs: they come once the command has read the input that lies before the ping.
        socket = await connect(
            url, additional_headers=headers, ssl=tls, open_timeout=OPEN_SECONDS, max_size=MOST_FRAME, proxy=None, ping_timeout=None,
        )  # fmt: skip
    except InvalidStatus as refused:
        raise Failed(_said(refused.response.body)) from None
    except (OSError, TimeoutError, InvalidHandshake) as error:
        raise NotAnswering(client.url, str(error) or "no answer in time") from None
    async with socket:
        feeding = asyncio.create_task(_feed(socket, interactive=interactive))
        if tty:
            asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, lambda: asyncio.ensure_future(_resize(socket)))
        try:
            return await _print(socket)
        except ConnectionClosed as closed:
            raise Failed(f"the connection broke while the command ran, which may go on: {closed}") from None
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)


async def _print(socket: ClientConnection) -> int:
    while True:
        document: Json = json.loads(await socket.recv())
        if document.get("type") == "error":
            raise Failed(str(document.get("message")))
        if "exit" in document:
            return UNKNOWN if document["exit"] is None else int(document["exit"])
        if "stream" in document:
            text = document.get("text")
            output = text.encode() if isinstance(text, str) else base64.b64decode(document["base64"])
            to = sys.stderr if document["stream"] == "stderr" else sys.stdout
            to.buffer.write(output)
            to.flush()


async def _feed(socket: ClientConnection, *, interactive: bool) -> None:
    """Standard input to its end, no faster than it is taken there."""
    with suppress(ConnectionClosed):
        if interactive:
            async for chunk in _input():
                await socket.send(chunk)
        await socket.send(json.dumps({"eof": True}))


async def _input() -> AsyncGenerator[bytes, None]:
    """A thread's read could not be ended: a pipe or terminal is watched until there is something, a plain file is just read."""
    file = sys.stdin.fileno()
    while True:
        with suppress(PermissionError):  # a plain file can't be watched, and is always ready
            await _until_readable(file)
        if not (chunk := os.read(file, CHUNK)):
            return
        yield chunk


async def _until_readable(file: int) -> None:
    """Watched anew each time: a sign that came twice would let the next read wait, and with it everything."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(file, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(file)


async def _resize(socket: ClientConnection) -> None:
    columns, rows = shutil.get_terminal_size()
    with suppress(ConnectionClosed):
        await socket.send(json.dumps({"resize": [columns, rows]}))


def _said(body: bytes | bytearray | None) -> str:
    """The message of an error's document."""
    try:
        return str(json.loads(body or b"")["message"])
    except (ValueError, KeyError, TypeError):
        return f"the server refused: {(body or b'').decode(errors='replace')[:200]}"


@contextmanager
def _raw() -> Iterator[None]:
    """Every key goes there as it is, Ctrl-C too; the terminal is put back at the end."""
    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    terminal.setraw(file)
    try:
        yield
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield

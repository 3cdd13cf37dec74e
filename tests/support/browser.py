"""Headless Chromium, told what to do over a pipe (its DevTools protocol), with a profile of its own: no driver and no library between."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
"""Asks nobody but the server under test for anything."""

PATIENCE = 40.0
"""Seconds for anything a page is to do."""


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass
class Browser:
    """One page. `complaints`: what it threw or logged as an error, e.g. what its Content-Security-Policy kept from running."""

    to: asyncio.StreamWriter
    session: str = ""
    complaints: list[str] = field(default_factory=list)
    _answers: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    _loads: int = 0

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = len(self._answers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params} | ({"sessionId": self.session} if self.session else {})
        self.to.write(orjson.dumps(message) + b"\0")
        async with asyncio.timeout(PATIENCE):
            found = await answer
        assert "error" not in found, f"{method}: {found}"
        result: dict[str, Any] = found["result"]
        return result

    async def open(self, url: str) -> None:
        before = self._loads
        await self.ask("Page.navigate", url=url)
        async with asyncio.timeout(PATIENCE):
            while self._loads == before:
                await asyncio.sleep(0.02)

    async def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = await self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, script: str) -> Any:
        """Waits until an expression is true in the page, whichever page that is by then."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(AssertionError):  # between two pages there is nothing to ask
                    if found := await self.run(script):
                        return found
                await asyncio.sleep(0.05)

    async def picture(self, path: Path, width: int = 1200, height: int = 800, *, dark: bool = False, phone: bool = False) -> None:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.ask("Emulation.setEmulatedMedia", features=scheme)
        await self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        path.write_bytes(base64.b64decode((await self.ask("Page.captureScreenshot"))["data"]))

    async def listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                self._take(orjson.loads((await reader.readuntil(b"\0"))[:-1]))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            if not (waiting := self._answers[message["id"]]).done():
                waiting.set_result(message)
            return
        match message["method"], message.get("params", {}):
            case "Page.loadEventFired", _:
                self._loads += 1
            case "Runtime.exceptionThrown", params:
                self.complaints.append(str(params["exceptionDetails"]))
            case "Log.entryAdded", {"entry": {"level": "error", "text": text, "source": source}} if source != "network":
                self.complaints.append(text)


@contextlib.asynccontextmanager
async def browsing(program: str, profile: Path) -> AsyncIterator[Browser]:
    """Chromium reads its commands from descriptor 3 and answers on 4."""
    its_in, our_out = os.pipe()
    our_in, its_out = os.pipe()
    # Numbers that neither end is given by chance: the shell moves them to where Chromium looks.
    command = f'exec "$0" "$@" 3<&{its_in} 4>&{its_out}'
    process = await asyncio.create_subprocess_exec(
        "/bin/bash", "-c", command, program, *QUIET, f"--user-data-dir={profile}", "about:blank",
        pass_fds=(its_in, its_out), start_new_session=True, stderr=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    os.close(its_in)
    os.close(its_out)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    heard, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(our_in, "rb"))
    said, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(our_out, "wb"))
    browser = Browser(asyncio.StreamWriter(said, protocol, None, loop))
    listening = asyncio.create_task(browser.listen(reader))
    try:
        targets = (await browser.ask("Target.getTargets"))["targetInfos"]
        target = next(each["targetId"] for each in targets if each["type"] == "page")
        browser.session = (await browser.ask("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await browser.ask(f"{domain}.enable")
        yield browser
    finally:
        said.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own session: the browser and its helpers
        await process.wait()
        heard.close()
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening

"""The way to a libvirt: its blocking calls in a few threads, and what its errors mean for the user.

Each thread has a connection of its own, opened when it is needed and again after it broke. A libvirt that hangs is noticed by keepalives:
the call that waits for it ends with an error then. (Of several calls on one connection, some would go on waiting: libvirt 9.0.)
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import structlog

from agents.driver import DriverError
from agents.process import failpoints

log = structlog.get_logger("corral.agent.libvirt")

DEFAULT_URL = "qemu:///system"

WORKERS = 8
LOOKERS = 2
"""Threads of their own for quick looks, so that a heartbeat does not wait behind the copying of images."""
LOOK_SECONDS = 8.0
WORK_SECONDS = 3600.0
"""For one piece of work: an image that is fetched slowly, a large machine that moves. What hangs is noticed earlier, by keepalives."""
KEEPALIVE_SECONDS, KEEPALIVES = 5, 3

INSTALL = (
    "the Python bindings of libvirt are not installed: apt-get install python3-libvirt, where Debian's own python3 runs this; else "
    "pip install libvirt-python in its environment (it compiles them: apt-get install libvirt-dev pkg-config gcc python3-dev comes before)"
)

Result = TypeVar("Result")
Libvirt = Any
"""The module `libvirt`, and what comes of it: it ships no types."""


class NoLibvirt(DriverError):
    """libvirt can't be reached."""


class NoBindings(NoLibvirt):
    """libvirt-python is not installed."""

    def __init__(self) -> None:
        super().__init__(INSTALL)


def libvirt_url(given: str | None = None) -> str:
    """The one that is given, else the one of LIBVIRT_DEFAULT_URI, else the machine's own."""
    return given or os.environ.get("LIBVIRT_DEFAULT_URI") or DEFAULT_URL


def bindings() -> Libvirt:
    """The module. Raises NoBindings where it is not installed."""
    try:
        module = importlib.import_module("libvirt")
    except ImportError:
        raise NoBindings from None
    _listening.begin(module)
    return module


class Hypervisor:
    """Runs functions of a virConnect in threads. Raises DriverError for whatever goes wrong."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._local = threading.local()
        self._connections: set[Libvirt] = set()
        self._pools: dict[bool, ThreadPoolExecutor] = {}

    async def work(self, what: Callable[[Libvirt], Result]) -> Result:
        """For what may take long."""
        return await self._run(what, False, WORK_SECONDS)

    async def look(self, what: Callable[[Libvirt], Result]) -> Result:
        """For what is quick or not worth waiting for."""
        return await self._run(what, True, LOOK_SECONDS)

    def close(self) -> None:
        """Does not wait for threads that still wait for libvirt; they end when its connection does."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        self._pools.clear()
        for connection in list(self._connections):
            with suppress(Exception):
                connection.close()
        self._connections.clear()

    async def _run(self, what: Callable[[Libvirt], Result], quick: bool, seconds: float) -> Result:
        if quick not in self._pools:
            name = "libvirt-look" if quick else "libvirt-work"
            self._pools[quick] = ThreadPoolExecutor(LOOKERS if quick else WORKERS, thread_name_prefix=name)
        context = contextvars.copy_context()  # what is logged in the thread is about the command, too
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().run_in_executor(self._pools[quick], context.run, self._call, what)
        except TimeoutError:
            raise NoLibvirt(self._away(f"it did not answer within {seconds:.0f} seconds (look at its log)")) from None

    def _call(self, what: Callable[[Libvirt], Result]) -> Result:
        libvirt = bindings()
        connection = self._open(libvirt)
        try:
            return what(failpoints.watched(connection))
        except libvirt.libvirtError as error:
            if _alive(libvirt, connection):
                raise DriverError(f"libvirt says: {_said(error)}") from error
            self._drop()
            raise NoLibvirt(self._away(f"the connection broke: {_said(error)}")) from error

    def _open(self, libvirt: Libvirt) -> Libvirt:
        connection = getattr(self._local, "connection", None)
        if connection is not None and _alive(libvirt, connection):
            return connection
        self._drop()
        try:
            connection = libvirt.open(self.url)
        except libvirt.libvirtError as error:
            raise NoLibvirt(self._away(_reason(error))) from error
        with suppress(libvirt.libvirtError):  # a driver inside this process (test:///) has no use for it
            connection.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVES)
        self._local.connection = connection
        self._connections.add(connection)
        return connection

    def _drop(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            self._connections.discard(connection)
            with suppress(Exception):
                connection.close()

    def _away(self, reason: str) -> str:
        return f"libvirt at {self.url} can't be reached: {reason}"


def _alive(libvirt: Libvirt, connection: Libvirt) -> bool:
    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:
        return False


def _said(error: Any) -> str:
    return str(error.get_error_message() or error)


def _reason(error: Any) -> str:
    said = _said(error)
    if "Permission denied" in said or "authentication" in said.lower():
        return f"this user may not open it (add it to the group libvirt, or run the agent as root): {said}"
    return f"nothing answers there (start libvirtd, or point the agent at another with --libvirt): {said}"


class _Listening:
    """libvirt's event loop, in a thread of its own for the life of the process: without it there are no keepalives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = False

    def begin(self, libvirt: Libvirt) -> None:
        with self._lock:
            if self._begun:
                return
            libvirt.registerErrorHandler(_quiet, None)  # else each error is printed, beside being raised
            libvirt.virEventRegisterDefaultImpl()
            threading.Thread(target=self._run, args=(libvirt,), name="libvirt-events", daemon=True).start()
            self._begun = True

    @staticmethod
    def _run(libvirt: Libvirt) -> None:
        while True:
            try:
                libvirt.virEventRunDefaultImpl()
            except libvirt.libvirtError as error:
                log.warning("libvirt's event loop reports an error", action="libvirt-events", error=str(error))


def _quiet(context: Any, error: Any) -> None:
    """What libvirt would print."""


_listening = _Listening()

"""The way to a Docker engine: its blocking client in a few threads, and what its errors mean for the user."""

from __future__ import annotations

import asyncio
import contextvars
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException

from agents.docker.tls import EngineTls, told
from agents.driver import DriverError
from agents.joining.api import own_address
from agents.process import failpoints

DEFAULT_URL = "unix:///var/run/docker.sock"

WORKERS = 8
LOOKERS = 2
"""Threads of their own for quick looks, so that a heartbeat does not wait behind pulls."""
SECONDS = 120
"""For one answer of the engine."""
SILENCE_SECONDS = 600
"""For one further line of a pull, and for what an import or a pull ends with."""
LOOK_SECONDS = 8

Result = TypeVar("Result")


class NoEngine(DriverError):
    """The engine can't be reached."""


def engine_url(given: str | None = None) -> str:
    """The one that is given, else the one of DOCKER_HOST, else the usual socket."""
    return given or os.environ.get("DOCKER_HOST") or DEFAULT_URL


class EngineClient(docker.APIClient):
    """Believes the certificates that it was given, whatever REQUESTS_CA_BUNDLE says of other servers', and waits for nothing for ever."""

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        return super().merge_environment_settings(url, proxies, stream, self.verify if verify is None else verify, cert)

    def request(self, *args: Any, **more: Any) -> requests.Response:
        """Docker's client says that it has no timeout where it pulls and imports."""
        if more.get("timeout") is None:
            more["timeout"] = SILENCE_SECONDS
        return super().request(*args, **more)


class Engine:
    """Runs functions of a docker.APIClient in threads. Raises DriverError for whatever goes wrong."""

    def __init__(self, url: str, tls: EngineTls | None = None) -> None:
        """`tls`: of an engine that is reached over TCP."""
        self.url = url
        self._tls = tls if url.startswith(("tcp://", "https://")) else None
        self._local = threading.local()
        self._clients: set[docker.APIClient] = set()
        self._pools: dict[str, ThreadPoolExecutor] = {}

    async def work(self, what: Callable[[docker.APIClient], Result]) -> Result:
        """For what may take long."""
        return await self._run(what, "docker-work", WORKERS, SECONDS)

    async def look(self, what: Callable[[docker.APIClient], Result]) -> Result:
        """For what is quick or not worth waiting for."""
        return await self._run(what, "docker-look", LOOKERS, LOOK_SECONDS)

    def close(self) -> None:
        """Does not wait for threads that still wait for the engine; they end with their requests."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        self._pools.clear()
        for client in list(self._clients):
            client.close()
        self._clients.clear()

    async def _run(self, what: Callable[[docker.APIClient], Result], pool: str, threads: int, seconds: int) -> Result:
        if pool not in self._pools:
            self._pools[pool] = ThreadPoolExecutor(threads, thread_name_prefix=pool)
        context = contextvars.copy_context()  # what is logged in the thread is about the command, too
        return await asyncio.get_running_loop().run_in_executor(self._pools[pool], context.run, self._call, what, seconds)

    def _call(self, what: Callable[[docker.APIClient], Result], seconds: int) -> Result:
        try:
            self._knock()
            return what(failpoints.watched(self._client(seconds)))
        except DriverError:
            raise
        except APIError as error:
            raise DriverError(said(error)) from error  # all that the error adds are the URL and the status
        except (DockerException, requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            # urllib3's own: the client lets them pass where it reads an answer as it comes, of a pull say.
            self._drop()
            raise NoEngine(self._away(error), repr(error)) from error

    def _knock(self) -> None:
        """Says at once why a socket can't be opened; the client would leave its own socket open then, and hide the reason."""
        if self.url.startswith("unix://"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(LOOK_SECONDS)
                probe.connect(self.url.removeprefix("unix://"))

    def _client(self, seconds: int) -> docker.APIClient:
        """One a thread: the client is not made to be shared. Making it asks the engine for its version."""
        client: docker.APIClient | None = getattr(self._local, "client", None)
        if client is None:
            tls = self._tls.config() if self._tls is not None else False
            client = EngineClient(base_url=self.url, version="auto", timeout=seconds, tls=tls)
            self._local.client = client
            self._clients.add(client)
        return client

    def _drop(self) -> None:
        client: docker.APIClient | None = getattr(self._local, "client", None)
        if client is not None:
            self._local.client = None
            self._clients.discard(client)
            with suppress(Exception):
                client.close()

    def _away(self, error: Exception) -> str:
        text = f"{error!r} {error.__cause__!r}"
        if "PermissionError" in text or "Permission denied" in text:
            reason = "this user may not open it (add it to the group docker, or run the agent as root)"
        elif isinstance(error, requests.exceptions.ReadTimeout | urllib3.exceptions.ReadTimeoutError):
            reason = "it took the request and says nothing more (look at its log)"
        elif isinstance(error, urllib3.exceptions.ProtocolError):
            reason = "it broke off in its answer (look at its log)"
        elif (wrong := told(text, self._tls)) is not None:
            reason = wrong
        else:
            reason = "nothing answers there (start it, or point the agent at another engine with --docker)"
        return f"the Docker engine at {self.url} can't be reached: {reason}"


def said(error: APIError) -> str:
    """What the engine itself says is wrong."""
    if error.response is None:
        return f"Docker says: {error}"
    return docker_says(str(error.explanation or error.response.reason), error.response.status_code)


def docker_says(why: str, status: int) -> str:
    """gateway/herd/answers.py reads both from the log."""
    return f"Docker says: {why} (status {status})"


def outward_address(url: str) -> str:
    """The address at which the engine's published ports are reached: the engine's own, or this machine's on its way out."""
    parts = urlsplit(url)
    if parts.scheme in ("tcp", "http", "https") and parts.hostname:
        return parts.hostname
    return own_address()

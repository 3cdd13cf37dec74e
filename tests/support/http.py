"""The gateway served for a test on a free port of 127.0.0.1, over a store and views of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
from starlette.applications import Starlette
from starlette.requests import Request

from commands.accepting.seed import seed
from commands.accepting.service import Actor, Commands
from commands.catalogue.builtin import CATALOGUE
from commands.sending.connection import Connection
from commands.settings.in_force import COMMAND_LINE, Settings, Source
from commands.settings.settings import shown
from commands.watching.settings_watch import SettingsWatch
from deploy.web import Web, bind
from eventstore import Event, Store, Write
from gateway.access.caller import Caller
from gateway.access.callers import Callers
from gateway.app import build_app
from gateway.bus.door import run as event_bus
from gateway.bus.hub import Hub
from gateway.history.log import Log
from gateway.live.asking import Asker
from gateway.live.listening import Listener
from gateway.services import Services
from projections.progress import Progress
from projections.projector import Projector
from projections.views import Views
from tests.support.cattle_client import cattle_client

T = TypeVar("T")


@dataclass
class Api:
    """`http` answers relative to the server's address; `admin` is the seeded account."""

    url: str
    http: httpx.AsyncClient
    store: Store
    views: Views
    commands: Commands
    admin: int
    project: Callable[[], contextlib.AbstractAsyncContextManager[Projector]]
    hub: Hub | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self, path: str, **params: Any) -> Any:
        """The document; the request must succeed."""
        response = await self.http.get(path, params=params or None)
        assert response.status_code == 200, response.text
        return response.json()

    async def post(self, path: str, status: int = 201, **fields: Any) -> Any:
        response = await self.http.post(path, json=fields)
        assert response.status_code == status, response.text
        return response.json()

    async def add(self, type_name: str, **fields: Any) -> int:
        """A resource made by a command, without validation. -> its number"""
        return (await self.commands.create(type_name, fields, Actor(self.admin))).resource.id

    async def happened(self, stream: str, *events: Event) -> int:
        """Facts of a stream, as an engine would have appended them."""
        version = len(await self.store.read(stream))
        return (await self.store.append([Write(stream, version, events)])).last

    async def has_hosts(self, count: int = 1) -> None:
        """Simulated ones, as their pools show: these are what an agent tells of last."""
        async with asyncio.timeout(30):
            while len((await self.get("/v1/storagepools", state="active", kind="sim"))["data"]) < count:
                await asyncio.sleep(0.05)

    async def settled(self) -> None:
        """The views hold all that is in the log."""
        assert await self.views.wait_for(await self.store.head(), 10)

    async def with_client(self, use: Callable[[Any], T], key: tuple[str, str] | None = None) -> T:
        """Runs what uses Cattle's blocking client in a thread."""

        def run() -> T:
            client = cattle_client(f"{self.url}/v1", *(key or ()))
            with client._session:
                return use(client)

        return await asyncio.to_thread(run)


def a_log(store: Store) -> Log:
    """The log over HTTP by itself, for anybody."""

    async def anybody(request: Request) -> Caller:
        return Caller()

    async def still(request: Request, caller: Caller) -> bool:
        return True

    return Log(store, CATALOGUE, anybody, still, lambda request: {})


@contextlib.asynccontextmanager
async def serving(
    store: Store, dsn: str, *, settings: dict[str, Any] | None = None, projecting: bool = True, commands: Commands | None = None,
    nats: str | None = None, names: frozenset[str] = frozenset(), templates: Path | None = None,
) -> AsyncIterator[Api]:
    """`nats`: with publish and subscribe, and live queries, over the server at this address."""
    chosen = Settings([Source(COMMAND_LINE, {name: shown(value) for name, value in (settings or {}).items()})])
    commands = commands or Commands(store, CATALOGUE, chosen)
    admin = await seed(commands)
    progress = Progress()
    views = await Views.open(dsn, CATALOGUE, progress)
    watch = SettingsWatch(store, commands.vault, chosen)
    info = {"version": "test", "nats": "nats://127.0.0.1:1"}
    services = Services(store, views, commands, CATALOGUE, chosen, info, admin, watch, names=names, templates=templates)
    hub = Hub(Connection(nats, "test gateway", echo=False), chosen) if nats is not None else None
    asker = Asker(hub.nats) if hub is not None else None
    callers = Callers(services)
    app, stopping = build_app(services, hub, callers=callers, asker=asker), asyncio.Event()

    @contextlib.asynccontextmanager
    async def project() -> AsyncIterator[Projector]:
        projector = Projector(store, dsn, progress, stand_by=0.1)
        async with background(projector.run()):
            yield projector

    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(views.close)
        if projecting:
            await stack.enter_async_context(project())
        if hub is not None:
            await stack.enter_async_context(background(event_bus(services, hub, stopping)))
        url = await stack.enter_async_context(listening(app))
        if asker is not None:
            await stack.enter_async_context(background(Listener(services, callers, asker, url).run()))
        stack.callback(stopping.set)
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=20))
        api = Api(url, http, store, views, commands, admin, project, hub, stopping)
        if projecting:
            await api.settled()
        yield api


@contextlib.asynccontextmanager
async def listening(app: Starlette) -> AsyncIterator[str]:
    """As Corral serves it, in this event loop. -> its address"""
    with contextlib.closing(bind("127.0.0.1", 0)) as listener:
        web = Web(app, listener)
        task = asyncio.create_task(web.run_until_stopped())
        try:
            await web.ready()
            yield f"http://127.0.0.1:{web.port}"
        finally:
            web.stop()
            async with asyncio.timeout(10):
                await task


@contextlib.asynccontextmanager
async def background(work: Awaitable[Any]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

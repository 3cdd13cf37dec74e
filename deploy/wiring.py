"""The composition root: the parts of one server, made in the order in which a request flows through them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from agents.joining.api import in_url
from commands import upcast
from commands.accepting.seed import seed
from commands.accepting.service import Commands
from commands.admission.doorkeeper import Doorkeeper
from commands.config.sources import Sources
from commands.config.sync import ConfigSync
from commands.engine.engine import Engine
from commands.engine.partitions import ENGINE
from commands.secrets.sealing import MasterKeys
from commands.secrets.vault import Vault
from commands.sending.bus import Bus
from commands.sending.connection import Connection
from commands.watching.pruner import Pruner
from commands.watching.settings_watch import SettingsWatch
from commands.watching.snapshotter import Snapshotter
from commands.watching.task_runner import TaskRunner
from deploy.extensions import catalogue_of
from deploy.nats import Nats
from deploy.probes import Probes
from deploy.settings import Role, Settings
from deploy.watched import Watched
from deploy.web import Web, bind
from eventstore import Store
from eventstore.postgres import PostgresStore
from gateway.access.callers import Callers
from gateway.app import build_app
from gateway.bus.door import run as event_bus
from gateway.bus.hub import Hub
from gateway.herd import templates
from gateway.inside.strays import Strays
from gateway.live.asking import Asker
from gateway.live.listening import Listener
from gateway.request import VERSION
from gateway.services import Services
from projections.progress import Progress
from projections.projector import Projector
from projections.views import Views

STOP_TRIES = 5
CONTENT = "config-content"
"""In the home: the operator's own config items."""
READY = 120  # seconds; an engine loads its fleet first

PATIENCE = 1.0
"""Seconds for which a database that is away is waited for: a restart of a moment is not noticed, and callers hear of a longer one soon."""


class NotAlone(Exception):
    """Another engine is at work on this log, over another NATS; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the servers are that this process works with."""

    postgres: str
    nats: Nats
    """As this machine reaches it: agents elsewhere read a loopback address as that of this server."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the roles of this process are made of; None for a role that it has not."""

    store: Store
    commands: Commands
    admin: int
    """The number of the admin account."""
    new: bool
    """The log was empty."""
    views: Views
    engine: Engine | None
    web: Web | None
    watched: Watched
    url: str
    """Of this process' API; "": it has none."""


@asynccontextmanager
async def server(
    settings: Settings, addresses: Addresses, node: str, listener: socket.socket | None, master: MasterKeys
) -> AsyncIterator[Parts]:
    """All parts running; leaving stops them, in the opposite order. `node` names this process among those that hold leases."""
    catalogue, nats = catalogue_of(settings.home), addresses.nats
    async with AsyncExitStack() as stack:
        chosen = settings.orchestration()
        content = Sources(settings.home / CONTENT)
        store = await PostgresStore.open(
            addresses.postgres, patience=PATIENCE, archive=settings.archive_folder, upcast=upcast.reader()
        )
        stack.push_async_callback(store.close)
        if settings.postgres and settings.has(Role.ENGINE) and not settings.nats:
            await _check_alone(store, node)
        vault = Vault(store, catalogue, master)
        await vault.check()
        watched = Watched(settings.roles, version("corral"), store)
        probes = Probes(watched, chosen)
        tasks = await stack.enter_async_context(_running())
        if settings.metrics_port is not None:
            metrics = bind(settings.metrics_listen, settings.metrics_port, name="METRICS_")
            await _serve(figures := Web(probes.app(trusted=settings.metrics_loopback), metrics), "metrics", tasks, stack)
            watched.port = figures.port
        watch = SettingsWatch(store, vault, chosen)
        await watch.look()
        commands = Commands(store, catalogue, chosen, vault)
        new = await store.head() == 0
        admin = await seed(commands)

        tasks.start(watch.run(), "settings")
        progress = Progress()
        if settings.has(Role.PROJECTOR):
            tasks.start(Projector(store, addresses.postgres, progress).run(), "projector")
        watched.views = views = await Views.open(addresses.postgres, catalogue, progress, pulse=store.pulse)
        stack.push_async_callback(views.close)

        engine = None
        if settings.has(Role.ENGINE):
            bus = Bus(nats.url, options=nats.options())
            await bus.start()
            stack.push_async_callback(bus.close)
            url = _own_url(listener, settings.scheme)
            watched.nats["engine"] = bus
            engine = watched.engine = Engine(store, bus, catalogue, chosen, holder=node, vault=vault, url=url)
            watch.on_change(engine.settings_changed)
            tasks.start(engine.run(), "engine")
            if nats.keys is not None:
                at_work = engine
                door = watched.doorkeeper = Doorkeeper(nats.url, nats.keys, store, lambda: at_work.fleet, at_work.see, nats.options)
                watched.nats["doorkeeper"] = door
                tasks.start(door.run(), "doorkeeper")
            tasks.start(ConfigSync(bus, catalogue, chosen, content, engine, url).run(), "configuration")
            tasks.start(Snapshotter(store, chosen, node).run(), "snapshots")
            tasks.start(TaskRunner(commands, chosen, node).run(), "tasks")
            tasks.start(Pruner(store, chosen).run(), "pruner")

        web = None
        info = {"version": version("corral"), **nats.told()}
        names = frozenset({settings.listen.lower(), socket.gethostname().lower()})
        services = Services(
            store, views, commands, catalogue, chosen, info, admin, watch,
            content=content, names=names, templates=settings.home / templates.FOLDER,
        )  # fmt: skip
        callers = watched.callers = Callers(services)
        if settings.has(Role.GATEWAY) and listener is not None:
            hub = watched.hub = Hub(Connection(nats.url, "corral gateway", echo=False, options=nats.options()), chosen)
            watched.nats["gateway"] = hub.nats
            asker = Asker(hub.nats)
            strays = Strays(hub.nats, callers)
            await strays.listen()
            app = build_app(
                services, hub, callers=callers, requests=watched.requests, request_level=settings.log_requests,
                beside=[*probes.routes(), *strays.routes()], asker=asker,
            )  # fmt: skip
            web = Web(app, listener, settings.tls_certificate, settings.tls_key)
            tasks.start(event_bus(services, hub, web.stopping), "event bus")
            tasks.start(Listener(services, callers, asker, _own_url(listener, settings.scheme)).run(), "live queries")
            await _serve(web, "web", tasks, stack)
        if engine is not None:
            async with asyncio.timeout(READY):
                await engine.ready.wait()
        yield Parts(store, commands, admin, new, views, engine, web, watched, _own_url(listener, settings.scheme))
        if web is not None:
            web.stop()
            await tasks.ended("web", 5.0)


async def _serve(web: Web, name: str, tasks: _Tasks, stack: AsyncExitStack) -> None:
    tasks.start(web.run_until_stopped(), name)
    stack.callback(web.stop)
    await web.ready()


def _own_url(listener: socket.socket | None, scheme: str) -> str:
    """Where agents reach this process' API, as far as it can know: "" where it has none. One that listens on all of this machine's
    addresses is found under the one from which it would speak to others."""
    if listener is None:
        return ""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outward, suppress(OSError):
            outward.connect(("192.0.2.1", 9))  # nothing is sent: it only chooses an address of ours
            host = outward.getsockname()[0]
    return f"{scheme}://{in_url(host)}:{port}/{VERSION}"


async def _check_alone(store: Store, node: str) -> None:
    """An engine with a NATS of its own would ask agents that listen elsewhere, for ever."""
    others = [lease.holder for lease in await store.leases(ENGINE) if lease.holder != node]
    if others:
        raise NotAlone(
            f"{', '.join(others)} works on this Postgres already, and all engines must speak to the agents over one NATS: "
            "set CORRAL_NATS to the one that it uses, here and there"
        )


class _Tasks:
    """The server's background tasks. One that ends by itself in an error ends the server with it."""

    def __init__(self) -> None:
        self._owner = asyncio.current_task()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.failed: BaseException | None = None

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._done)
        self._tasks[name] = task

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None and self.failed is None:
            self.failed = task.exception()
            if self._owner is not None:
                self._owner.cancel()

    async def ended(self, name: str, seconds: float) -> None:
        await asyncio.wait({self._tasks[name]}, timeout=seconds)

    async def stop(self) -> None:
        """Cancels until they have ended: a library's wait can swallow a cancellation that comes as it ends."""
        for _ in range(STOP_TRIES):
            left = [task for task in self._tasks.values() if not task.done()]
            if not left:
                return
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=2.0)


@asynccontextmanager
async def _running() -> AsyncIterator[_Tasks]:
    tasks = _Tasks()
    try:
        yield tasks
    except asyncio.CancelledError:
        if tasks.failed is None:
            raise
        raise tasks.failed from None
    finally:
        await tasks.stop()

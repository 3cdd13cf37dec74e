"""corral up: the servers, the roles of this process, its local hosts; then serving until a signal says stop.

    hold the home -> Postgres, NATS -> log, views, engine, HTTP -> local hosts -> (empty log: a first instance) -> serve -> stop, in reverse
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import socket
import sys
import time
import uuid
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import uvloop
from rich.console import Console
from rich.markup import escape

from agents.joining.api import in_url
from agents.joining.credentials import Credentials
from commands.secrets.sealing import MasterKeys, WrongMasterKey
from deploy.embedded import EmbeddedNats, EmbeddedPostgres, Home, HomeInUse, HomeUnusable, ServerFailed, hold, noted
from deploy.extensions import ExtensionFailed
from deploy.first import first_instance
from deploy.keys import admin_key, joining_token, keep_for_cli
from deploy.local import LocalHosts
from deploy.logs import configure
from deploy.master import FILE, master_keys
from deploy.nats import access_config, nats_of, note_nats
from deploy.settings import NEEDS_NATS, SECURITY, BadSetting, LocalHost, Role, Settings
from deploy.web import PortTaken, TlsUnusable, allow_many_connections, bind, check_tls
from deploy.wiring import Addresses, NotAlone, server
from eventstore import NewerSchema, Unavailable
from projections.errors import ViewsUnavailable

COLLECT = (10_000, 50, 100)
"""When garbage is collected. Python's own figures have it look through all that is remembered again and again while thousands of
events are folded, which was a sixth of that; what is left here has cycles seldom."""


def run(settings: Settings) -> int:
    """The whole life of a server; -> the exit status. Everything that can go wrong at the start is one sentence on stderr."""
    configure(settings.log_level, settings.log_format)
    gc.freeze()  # what is loaded stays: the collector need not look at it
    gc.set_threshold(*COLLECT)
    allow_many_connections()
    try:
        uvloop.run(_serve(settings))
    except WrongMasterKey as error:
        hint = f"start it with the one that was in use: in CORRAL_MASTER_KEY, or as the file {settings.home / FILE}"
        Console(stderr=True).print(f"[red]Corral can't start:[/] {error}; {hint}", highlight=False, soft_wrap=True)
        return 1
    except (
        HomeInUse, HomeUnusable, PortTaken, ServerFailed, NotAlone, NewerSchema, Unavailable, ViewsUnavailable, BadSetting, ExtensionFailed,
        TlsUnusable,
    ) as error:  # fmt: skip
        Console(stderr=True).print(f"[red]Corral can't start:[/] {error}", highlight=False, soft_wrap=True)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    return 0


async def _serve(settings: Settings) -> None:
    stop = _Stop()
    began = time.monotonic()
    say = Console(highlight=False, soft_wrap=True)
    if settings.tls_certificate is not None and settings.tls_key is not None:
        check_tls(settings.tls_certificate, settings.tls_key)
    listener = bind(settings.listen, settings.port) if settings.has(Role.GATEWAY) else None
    with hold(settings.home) as home:
        async with AsyncExitStack() as stack:
            if "first_instance" not in noted(home.path):
                home.note(first_instance="wanted")  # until it is there, also when this start is cut off
            master = master_keys(settings, home.path)
            addresses = await _servers(settings, home, stack, say, master)
            node = _node(home)
            parts = await stack.enter_async_context(server(settings, addresses, node, listener, master))
            hosts = await stack.enter_async_context(LocalHosts(settings, home, parts, addresses.nats, node))
            if settings.has(Role.AGENTS):
                parts.watched.agents = parts.watched.nats["agents"] = hosts
            url = _note(settings, home, addresses, listener)
            # With a Postgres of others the log tells whether this cloud is new; our own is as new as the home.
            new = parts.new if settings.postgres else noted(home.path).get("first_instance") == "wanted"
            for kind, reason in hosts.without.items():
                if kind is not LocalHost.DOCKER or settings.docker or not hosts:  # that Docker isn't there is no news unless one was named
                    say.print(f"[yellow]No {kind.value} host:[/] {escape(reason)}")
            if new and hosts and parts.engine is not None:
                await first_instance(parts, hosts, say)
            home.note(first_instance="done")
            key = await admin_key(parts) if url and parts.commands.settings[SECURITY] else None
            if key is not None:
                keep_for_cli(home.path, key)
            image, _ = await hosts.first_image()
            if not settings.whole:
                say.print(f"This process is {', '.join(settings.roles)} of the Corral on {escape(_without_password(addresses.postgres))}")
            if url:
                keys = bool(parts.commands.settings[SECURITY])
                _say_what_is_next(settings, home, addresses, url, image if hosts else "", say, hostless=hosts.none_known, keys=keys)
                if keys:
                    _say_key(key, await joining_token(parts), _from_elsewhere(url) if settings.listen in ("0.0.0.0", "::") else url, say)
            if parts.watched.port is not None:
                say.print(f"Figures and health: http://{in_url(settings.metrics_listen)}:{parts.watched.port}/metrics, /healthz, /readyz")
            port = listener.getsockname()[1] if listener else 0
            say.print(f"[dim]Ready after {time.monotonic() - began:.1f} s[/]")
            say.print(f"[bold green]Startup Succeeded, Listening on port {port}[/]" if listener else "[bold green]Startup Succeeded[/]")
            sys.stdout.flush()
            await stop.wait()
            say.print("Stopping ...")
    say.print("Stopped. What it knows is kept in " + str(settings.home))


async def _servers(settings: Settings, home: Home, stack: AsyncExitStack, say: Console, master: MasterKeys) -> Addresses:
    """Postgres and NATS: ours, or those that the settings name. Whom NATS is to let in, Postgres tells: then it starts after it."""

    def tell(text: str) -> None:
        say.print(f"[dim]{text}[/]")

    postgres = EmbeddedPostgres(home, port=settings.postgres_port, tell=tell) if not settings.postgres else None
    if postgres is not None:
        await stack.enter_async_context(postgres)
    dsn = postgres.dsn if postgres else settings.postgres
    if settings.nats_tls is not None:
        check_tls(*settings.nats_tls)
    nats = await nats_of(settings, dsn, master)
    if not settings.nats and NEEDS_NATS & set(settings.roles):
        access, port = access_config(nats.keys) if nats.keys else "", settings.nats_port or None
        own = EmbeddedNats(home, listen=settings.nats_listens, port=port, tell=tell, access=access, tls=settings.nats_tls)
        await stack.enter_async_context(own)
        nats = replace(nats, url=own.url)
    return Addresses(dsn, nats)


def _node(home: Home) -> str:
    """This home's name among those that hold leases: the same after a restart, which so takes its partitions back at once."""
    node = noted(home.path).get("node")
    if not isinstance(node, str):
        node = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        home.note(node=node)
    return node


def _note(settings: Settings, home: Home, addresses: Addresses, listener: socket.socket | None) -> str:
    """Remembers where everything is, for `corral env` and the other commands; -> the URL, if it is served here."""
    if listener is None:
        note_nats(home, addresses.nats)
        home.note(postgres=addresses.postgres)
        return ""
    port = listener.getsockname()[1]
    host = listener.getsockname()[0] if settings.loopback else "127.0.0.1" if settings.listen in ("0.0.0.0", "::") else settings.listen
    url = f"{settings.scheme}://{in_url(host)}:{port}"
    note_nats(home, addresses.nats)
    home.note(url=url, certificate=str(settings.tls_certificate or ""), postgres=addresses.postgres)
    return url


def _say_what_is_next(
    settings: Settings, home: Home, addresses: Addresses, url: str, image: str, say: Console, *, hostless: bool, keys: bool
) -> None:
    """`image`: what can run at once on a host of this process. `hostless`: it is known that there is no host at all. `keys`: they are asked
    for, and what joins a host is told with them."""
    say.print()
    say.print("[bold]Next things to try[/]")
    corral, nats = _corral(), addresses.nats
    rows = [
        ("the page", f"{url}/v1"),
        ("list instances", f"{corral} ps"),
        *([("run another", f"{corral} run {image} --name second")] if image else []),
        *([("how it came to be", f"{corral} replay instance-1")] if image else [("list hosts", f"{corral} hosts")]),
        *([("watch the agents", f"{nats.command(home.path)} sub 'corral.>'      (or: {corral} watch)")] if nats.url else []),
        *([] if keys else [("a host elsewhere", f"corral agent --url {_from_elsewhere(url)}      (run there)")]),
    ]
    if hostless:
        rows.insert(0, ("a host first", f"{corral} agent --url {url}      (or a simulated one: add --sim)"))
    if settings.home != Path.home() / ".corral":
        say.print(f"  [dim]In another terminal, first: export CORRAL_HOME={home.path}[/]")
    for what, how in rows:
        say.print(f"  {what:<18} {how}")
    if settings.loopback:
        say.print("  [dim]Only this machine can reach it. Let others in: CORRAL_LISTEN=0.0.0.0 make run (corral up --listen 0.0.0.0)[/]")


def _say_key(key: Credentials | None, token: str, url: str, say: Console) -> None:
    """What a client needs, now that one is asked for. `url`: where those that can reach it find it."""
    say.print()
    if key is None:
        say.print("[yellow]It asks for API keys, and the admin has none yet:[/] it comes with an engine at work; start this once more then")
        return
    pair = f"{key.access_key}:{key.secret_key}"
    say.print("[bold]It asks for API keys[/]: this is the admin's (the CLI finds it in this home)")
    for what, how in (
        ("access key", key.access_key),
        ("secret key", key.secret_key),
        ("with curl", f"curl -u {pair} {url}/v1"),
        ("with the CLI", f"corral --key {pair} ps --url {url}"),
        ("join a host", f"curl -sS '{url}/v1/scripts/{token}' | sh      (run on its machine; docs/hosts.md)"),
        ("without keys", f"corral up --set {SECURITY}=false      (whoever reaches it is admin then)"),
    ):
        say.print(f"  {what:<18} {how}", markup=False)


def _from_elsewhere(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://<this machine>:{rest.rpartition(':')[2]}"


def _without_password(dsn: str) -> str:
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}@{host}" if parts.username else host))


def _corral() -> str:
    """The command as it can be typed here: by name where it is on the path, else by where it is."""
    beside = Path(sys.executable).with_name("corral")
    if shutil.which("corral") or not beside.exists():
        return "corral"
    return os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside)


class _Stop:
    """SIGINT or SIGTERM: ends the start where it is, or the serving; a second one ends at once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._task = asyncio.current_task()
        self._serving = False
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if self._serving and not self._event.is_set():
            self._event.set()
        elif self._task is not None:
            self._task.cancel()

    async def wait(self) -> None:
        self._serving = True
        await self._event.wait()

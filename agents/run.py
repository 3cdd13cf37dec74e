"""An agent at work, as `corral agent` and the agent in one file (agents.main) have it: registered with a server, until it is stopped.

    registered or joined -> its key for NATS -> agents.process.agent -> heard, and taken in by the server, with its hosts

Server, NATS and engine may come later, and come back.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from agents.driver import Driver
from agents.joining.access import Access, believed, own_seed, public
from agents.joining.by_token import Member, join, joined, place_of
from agents.joining.credentials import Credentials
from agents.joining.files import keep
from agents.joining.registration import Place, RegistrationRefused, Server, ServerAway, register, register_key
from agents.joining.taken_in import hosts_taken_in
from agents.process.agent import CONCURRENCY, Agent
from agents.process.configuration import Configuration
from agents.several import SeveralDrivers
from agents.simulated import SimulatedDriver

if TYPE_CHECKING:
    from agents.docker import DockerDriver
    from agents.network.membership import Networks

log = structlog.get_logger("corral.agent.run")

FIRST_RETRY, MOST_RETRY = 1.0, 15.0

ACTIVE_SECONDS = 60.0
"""For which the server is asked whether it has taken the agent in; who joins waits for that."""
FIRST_LOOK, MOST_LOOK = 0.05, 0.5
"""Seconds between two times, growing from the one to the other."""

Say = Callable[[str], None]
"""Tells the person at the terminal, in whole sentences."""

Active = Callable[[list[str]], None]
"""Told once that the server has taken the agent in, with the ids of its hosts that take instances (so far as it says them)."""


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """What `corral agent` was asked for."""

    url: str
    """Of the server, as in http://server:8080."""
    folder: Path
    """This agent's own, kept over restarts: who it is, and what it did."""
    sim: bool = False
    docker: str | None = None
    """The engine's address; None: that of DOCKER_HOST, else the usual socket."""
    libvirt: str | None = None
    """The libvirt's address; None: there is to be no libvirt host. With it, Docker is driven only where `docker` is given."""
    libvirt_type: str | None = None
    """kvm or qemu; None: the best there is."""
    libvirt_storage: Path | None = None
    libvirt_templates: Path | None = None
    libvirt_migration: str | None = None
    console_port: int = 0
    """Of libvirt's virtual machines' screens; 0: any."""
    name: str | None = None
    uuid: str | None = None
    """None: the one it had before, else a new one."""
    host_ip: str | None = None
    """Where the containers' published ports are reached, and other hosts reach this one; None: found out."""
    nats: str | None = None
    """None: where the server says."""
    credentials: Credentials | None = None
    token: Credentials | None = None
    """Of a registration token: with it the machine joins, and has keys of its own from then on."""
    member: Member | None = None
    """Who it is, where the server that started it over ssh said so: nothing is kept of that."""
    tls: ssl.SSLContext | None = None
    """Whose certificates the server is believed by; None: those of the system."""
    nats_ca: str = ""
    """The same of NATS, where it speaks TLS: certificates in PEM; "": those that the server says, or those of the system."""
    concurrency: int = CONCURRENCY
    docker_certificates: Path | None = None
    """The folder of ca.pem, cert.pem and key.pem for an engine that speaks TLS; None: DOCKER_CERT_PATH."""
    docker_verify: bool | None = None
    """Whether the engine's certificate is verified; None: with a folder that was given yes, else as DOCKER_TLS_VERIFY says."""


async def run_until_ended(options: AgentOptions, say: Say, active: Active) -> None:
    """`run_agent` until SIGINT or SIGTERM comes, or, where the server started it over ssh, stdin ends. Raises what that raises."""
    loop = asyncio.get_running_loop()
    working = asyncio.create_task(run_agent(options, say, active))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, working.cancel)
    if options.member is not None:
        loop.add_reader(sys.stdin, _end_with_stdin, working)
    try:
        await working
    except asyncio.CancelledError:
        say("Stopped. What runs here goes on running; a later start with this --home takes it up again")


async def run_agent(options: AgentOptions, say: Say = lambda sentence: None, active: Active = lambda hosts: None) -> None:
    """Works until it is cancelled, and stops in order then. Raises RegistrationRefused, LedgerInUse, DriverError."""
    own = own_uuid(options.folder, options.uuid)
    name = options.name or socket.gethostname()
    driver = _driver(options, own)
    place = await _registered(options, own, name, driver.kind, say)
    nats = options.nats or place.nats
    agent = Agent(
        place.number, own, driver, options.folder, nats, concurrency=options.concurrency, farewell=True,
        configuration=_configuration(options), access=_access(options, place),
    )  # fmt: skip
    await agent.start()
    telling = asyncio.create_task(_tell(agent, options, say, active))
    try:
        say(f"Agent {name} is 1a{place.number} ({'new' if place.created else 'known'}) at {options.url}; connecting to NATS at {nats}")
        await agent.wait()
    finally:
        telling.cancel()
        await agent.stop()


async def _tell(agent: Agent, options: AgentOptions, say: Say, active: Active) -> None:
    await agent.ready.wait()
    say("It hears commands. Ctrl-C stops it; what runs on this host goes on running")
    pause = FIRST_LOOK
    with suppress(TimeoutError):
        async with asyncio.timeout(ACTIVE_SECONDS):
            while (hosts := await asyncio.to_thread(_taken_in, options, agent.uuid)) is None:
                await asyncio.sleep(pause)
                pause = min(MOST_LOOK, 1.5 * pause)
            active(hosts)


def _taken_in(options: AgentOptions, uuid: str) -> list[str] | None:
    try:
        return hosts_taken_in(Server(options.url, _keys(options), options.tls), uuid, _member(options))
    except (ServerAway, RegistrationRefused):  # the agent itself goes on trying
        return None


def _end_with_stdin(working: asyncio.Task[None]) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin)
        working.cancel()


def own_uuid(folder: Path, given: str | None = None) -> str:
    """The agent's identity lies in its folder. Raises RegistrationRefused when another is given than the one that is there."""
    path = folder / "uuid"
    known = path.read_text().strip() if path.exists() else None
    if known and given and known != given:
        raise RegistrationRefused(f"{folder} belongs to agent {known}: give {given} another folder")
    if known:
        return known
    own = given or str(uuid.uuid4())
    keep(path, own + "\n")
    return own


def kind_of(*, sim: bool, docker: str | None, libvirt: str | None) -> str:
    """sim, docker, libvirt, or docker+libvirt."""
    return "sim" if sim else "+".join(["docker"] * bool(docker or not libvirt) + ["libvirt"] * bool(libvirt))


def keep_kind(folder: Path, kind: str) -> None:
    """An agent's folder holds the memory of simulated hosts or of real ones; it can't become the others'. Raises RegistrationRefused."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "kind"
    known = path.read_text().strip() if path.exists() else ""
    if known and (known == "sim") != (kind == "sim"):
        raise RegistrationRefused(f"{folder} is the home of a {known} agent: give this {kind} one a --home of its own")
    path.write_text(f"{kind}\n")


async def _registered(options: AgentOptions, own: str, name: str, kind: str, say: Say) -> Place:
    pause, told = FIRST_RETRY, ""
    while True:
        try:
            return await asyncio.to_thread(_place, options, own, name, kind)
        except ServerAway as error:
            if str(error) != told:
                say(f"{error}. Trying again until it does")
            told = str(error)
            log.info("The server does not answer yet", action="register-retry", seconds=pause, error=told)
        await asyncio.sleep(pause)
        pause = min(MOST_RETRY, 2 * pause)


def _place(options: AgentOptions, own: str, name: str, kind: str) -> Place:
    """A machine that has joined knows its place; one with a token joins; another is registered with an API key, or without any."""
    member = _member(options)
    created = member is None
    if member is None and options.token is None:
        place = register(options.url, own, name, kind, options.credentials, options.tls)
    else:
        member = member or join(options.url, options.folder, options.token or Credentials("", ""), options.tls)
        place = place_of(options.url, member, created=created, tls=options.tls)
    if place.told.get("natsKeys"):
        _give_key(options, place.number)
    return place


def _member(options: AgentOptions) -> Member | None:
    return options.member or joined(options.folder)


def _keys(options: AgentOptions) -> Credentials | None:
    """Those with which it speaks to the server: its own, once it has them."""
    member = _member(options)
    return member.keys if member is not None else options.credentials


def _give_key(options: AgentOptions, number: int) -> None:
    register_key(options.url, number, public(own_seed(options.folder)), _keys(options), options.tls)


def _access(options: AgentOptions, place: Place) -> Access:
    async def register() -> None:
        await asyncio.to_thread(_give_key, options, place.number)

    tls = believed(options.nats_ca or str(place.told.get("natsCa") or ""))
    through = options.member is not None and options.nats is not None  # a tunnel: NATS' certificate names the address at its other end
    return Access(own_seed(options.folder), tls, register, (urlsplit(place.nats).hostname or "") if through else "")


def _configuration(options: AgentOptions) -> Configuration:
    """Items are fetched with the agent's own keys, and put into force in its folder."""

    async def keys(agent: int) -> Credentials | None:
        return _keys(options)

    url = f"{options.url.rstrip('/').removesuffix('/v1')}/v1"
    return Configuration(keys, options.folder / "config", url, options.tls, through=options.member is not None)


def _driver(options: AgentOptions, own: str) -> Driver:
    """Raises DriverError where what it needs is not installed."""
    if options.sim:
        return SimulatedDriver(own, name=options.name)
    if not options.libvirt:
        return _docker(options)
    if not options.docker:
        return _libvirt(options, None)
    docker = _docker(options)
    return SeveralDrivers([docker, _libvirt(options, docker.networks)])


def _docker(options: AgentOptions) -> DockerDriver:
    from agents.docker import (  # the docker package takes long to import, and the others need none of it
        DockerDriver,
        engine_tls,
        engine_url,
    )

    tls = engine_tls(options.docker_certificates, options.docker_verify)
    return DockerDriver(engine_url(options.docker), name=options.name, host_ip=options.host_ip, tls=tls)


def _libvirt(options: AgentOptions, networks: Networks | None) -> Driver:
    from agents.libvirt import LibvirtDriver, LibvirtOptions, bindings, libvirt_url  # likewise

    bindings()
    return LibvirtDriver(libvirt_url(options.libvirt), LibvirtOptions(
        name=options.name, storage=options.libvirt_storage, templates=options.libvirt_templates, host_ip=options.host_ip,
        migration_uri=options.libvirt_migration, console_port=options.console_port, virtualization=options.libvirt_type,
    ), networks)  # fmt: skip

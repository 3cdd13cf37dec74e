"""The agents that live in the server: this machine's own hosts (Docker, libvirt, simulated), and the sim:// agents made over the API.

Of several servers the first that sees such an agent runs it, and no other ever does: what its hosts hold is on that server's disk.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog
from nats.aio.client import Client

from agents.driver import Driver
from agents.joining.credentials import Credentials
from agents.process.agent import Agent
from agents.process.configuration import Configuration
from agents.process.connection import connect, disconnect
from agents.process.lanes import Carried
from agents.simulated import SimulatedDriver
from commands.accepting.service import Actor
from commands.errors import Refused
from commands.logic.agent_instances import KEY_KIND
from commands.resource import Resource
from commands.snapshots import form
from commands.turns.fleet import CATEGORIES, Fleet
from deploy.cli.keys import trusting
from deploy.embedded import Home, ServerFailed
from deploy.nats import Nats
from deploy.settings import TEMPLATES, LocalHost, Role, Settings
from deploy.ssh.agents import Here, SshAgents
from deploy.wiring import Parts
from eventstore import Unavailable

log = structlog.get_logger("corral.local")

ACTIVE_SECONDS = 20.0
FOR_EVER = 100 * 365 * 86400.0
NATS_SECONDS = 10.0


class LocalHosts:
    """Runs them while it is entered. Who comes and goes is read off the log."""

    def __init__(self, settings: Settings, home: Home, parts: Parts, nats: Nats, node: str) -> None:
        self._settings, self._home, self._parts, self._nats, self._node = settings, home, parts, nats, node
        # They fetch from this server, which they know by its certificate.
        self._tls = trusting(str(settings.tls_certificate)) if settings.tls_certificate else None
        self._fleet = Fleet()
        self._running: dict[int, Agent] = {}
        self._ours: dict[str, tuple[int, Driver | None]] = {}
        self._elsewhere: set[int] = set()
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self._ssh: SshAgents | None = None
        self.carried: Carried = Carried()
        """What all that ever ran here did."""
        self.without: dict[LocalHost, str] = {}
        """Why there is no local Docker or libvirt host, where one was wanted."""

    async def __aenter__(self) -> Self:
        if not self._settings.has(Role.AGENTS):
            return self
        try:
            connecting = connect(self._nats.url, "corral local agents", self._nats.options())
            self._client = await asyncio.wait_for(connecting, NATS_SECONDS)
        except TimeoutError:
            raise ServerFailed(f"NATS does not answer at {self._nats.url}, or does not let us in: {self._nats.what_to_do}") from None
        self._fleet = Fleet.load(await self._parts.store.load(CATEGORIES, form=form()))
        if LocalHost.DOCKER in self._settings.hosts:
            from agents.docker import NoEngine, reach  # the docker package takes long to import, and many have no engine

            try:
                await self._add("docker", await reach(self._settings.docker or None))
            except NoEngine as reason:
                self.without[LocalHost.DOCKER] = str(reason)
        if LocalHost.LIBVIRT in self._settings.hosts:
            from agents.libvirt import NoLibvirt  # as above

            try:
                await self._add("libvirt", await self._reach_libvirt())
            except NoLibvirt as reason:
                self.without[LocalHost.LIBVIRT] = str(reason)
        if LocalHost.SIM in self._settings.hosts:
            await self._add("sim", None)
        self._ssh = SshAgents(self._parts.commands, self._keys, Here(self._node, self._parts.url, self._tls, self._nats.url))
        await self._keep_up()
        await self._ask_for_lost_hosts()
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=5)
        if self._ssh is not None:
            await self._ssh.close()
        await asyncio.gather(*(agent.stop(grace=2.0) for agent in self._running.values()), return_exceptions=True)
        if self._client is not None:
            await disconnect(self._client)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._ours)

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def connected(self) -> bool:
        """Whether NATS is there."""
        return self._client is not None and self._client.is_connected

    @property
    def connections(self) -> int:
        """How often it was connected so far."""
        return 1 + self._client.stats["reconnects"] if self._client is not None else 0

    @property
    def none_known(self) -> bool:
        """Whether there is no host at all, nor comes one, as far as this process sees: one without the role of agents does not look."""
        return self._settings.has(Role.AGENTS) and not self._ours and all(host.removed for host in self._fleet.all("host"))

    async def active(self) -> None:
        """Waits until this machine's own hosts can take instances (or says that they can't yet, and goes on)."""
        try:
            async with asyncio.timeout(ACTIVE_SECONDS):
                while not self._all_active():
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            log.warning("The local hosts are not active yet", action="hosts-late", seconds=ACTIVE_SECONDS)

    def names(self) -> dict[str, str]:
        """What hosts and agents are called, by stream."""
        named = (each for type_name in ("host", "agent") for each in self._fleet.all(type_name) if each.row.get("name"))
        return {each.stream: each.name for each in named}

    async def first_image(self) -> tuple[str, list[str]]:
        """(image uuid, command) for a first container: from Docker where its engine has an image or can be given one. ("", []): of none."""
        for name, (_, driver) in self._ours.items():
            if name == "docker" and driver is not None:
                from agents.docker import DockerDriver, default_image

                image = await default_image(driver) if isinstance(driver, DockerDriver) else None
                if image is not None:
                    return f"docker:{image.name}", image.command
        return ("sim:hello", []) if "sim" in self._ours else ("", [])

    def _all_active(self) -> bool:
        def takes_instances(agent: int) -> bool:
            hosts = [host for host in self._fleet.all("host") if host.row.get("agentId") == agent and host.state == "active"]
            pools = [pool for host in hosts for pool in self._fleet.pools_of(host.id) if pool.state == "active"]
            present = self._fleet.get("agent", agent)
            return bool(pools) and present is not None and present.state == "active"

        return all(takes_instances(number) for number, _ in self._ours.values())

    async def _add(self, kind: str, driver: Driver | None) -> None:
        """This machine's own host of a kind: its agent found by uuid, or created."""
        uuid = f"{kind}-{self._node}"
        if not await self._claimed(uuid):  # before anybody can see it
            raise ServerFailed(f"the agent {uuid} lives on another server: this home is a copy of that one's. Start with a new CORRAL_HOME")
        # The fleet was loaded at the log's head, and nobody else creates an agent with this node's name.
        found = self._fleet.by_uuid("agent", uuid)
        if found is None:
            uri = f"{'sim' if kind == 'sim' else 'event'}://{uuid}"
            fields = {"uuid": uuid, "uri": uri, "name": f"this machine ({kind})", "managedConfig": False}
            found = (await self._parts.commands.create("agent", fields, Actor(self._parts.admin, "corral:local-hosts"))).resource
        self._ours[kind] = (found.id, driver)
        if driver is not None:
            await self._start(found.id, uuid, driver)

    async def _reach_libvirt(self) -> Driver:
        from agents.libvirt import LibvirtOptions, libvirt_url, reach

        settings = self._settings
        options = LibvirtOptions(
            storage=settings.libvirt_storage, templates=self._home.path / TEMPLATES, migration_uri=settings.libvirt_migration or None,
            virtualization=settings.libvirt_type.chosen, console_listen=settings.listen if settings.loopback else None,
        )  # fmt: skip
        return await reach(libvirt_url(settings.libvirt), options)

    async def _ask_for_lost_hosts(self) -> None:
        """A host of ours that was removed comes back with a restart: its agent, known as it is, is asked anew what hosts it has."""
        for number, _ in self._ours.values():
            agent = self._fleet.get("agent", number)
            hosts = [host for host in self._fleet.all("host") if host.row.get("agentId") == number]
            if agent is None or agent.state != "active" or not all(host.removed for host in hosts):
                continue
            try:
                await self._parts.commands.run("agent", number, "reconnect", {}, Actor(self._parts.admin, "corral:local-hosts"))
            except (Refused, Unavailable) as error:
                log.warning("A local agent can't be asked for its hosts", action="reconnect-failed", agent=number, error=str(error))

    async def _follow(self) -> None:
        async for batch in self._parts.store.follow(self._fleet.position):
            self._fleet.apply(batch)
            self._moved.set()
            if any(event.stream.startswith("agent-") for event in batch):
                await self._keep_up()

    async def _keep_up(self) -> None:
        """Every sim:// agent that is not removed runs here; those that are removed run no longer. ssh:// ones are run where they are."""
        if self._ssh is not None:
            await self._ssh.keep_up(self._fleet.all("agent"))
        for agent in list(self._fleet.all("agent")):
            known = agent.id in self._running or agent.id in self._elsewhere
            if known or not str(agent.row.get("uri") or "").startswith("sim://"):
                continue
            if not await self._claimed(agent.row["uuid"]):
                self._elsewhere.add(agent.id)
                continue
            try:
                await self._start(agent.id, agent.row["uuid"], self._simulated(agent))
            except Exception:  # one agent's trouble is no other's
                log.exception("A simulated agent can't be started; it is tried again with the next news of agents", action="sim-broke",
                              agent=agent.id)  # fmt: skip
        for number in list(self._running):
            present = self._fleet.get("agent", number)
            if present is not None and present.removed:
                await self._running.pop(number).stop(grace=2.0)
                shutil.rmtree(self._folder(number), ignore_errors=True)

    async def _claimed(self, uuid: str) -> bool:
        """Whether the agent is to run here."""
        while True:
            try:
                return bool(await self._parts.store.acquire([f"local-agent-{uuid}"], self._node, FOR_EVER))
            except Unavailable:
                await asyncio.sleep(1.0)

    def _simulated(self, agent: Resource) -> Driver:
        return SimulatedDriver(agent.row["uuid"], data=agent.data, configuration=Configuration(self._keys, tls=self._tls))

    async def _keys(self, number: int) -> Credentials | None:
        """Those of an agent's account, so that it is known as any other agent."""
        agent = self._fleet.get("agent", number)
        keys = self._fleet.having("credential", "accountId", agent.row["accountId"]) if agent and agent.row.get("accountId") else []
        active = [each for each in keys if (each.kind, each.state) == (KEY_KIND, "active")]
        row = (await self._parts.commands.vault.opened(active[-1])).row if active else {}
        access, secret = row.get("publicValue"), row.get("secretValue")
        return Credentials(access, secret) if isinstance(access, str) and isinstance(secret, str) else None

    async def _start(self, number: int, uuid: str, driver: Driver) -> None:
        if self._client is None:
            raise AssertionError("agents are started once NATS is connected")
        agent = Agent(number, uuid, driver, self._folder(number), self._client, carried=self.carried)
        await agent.start()
        self._running[number] = agent

    def _folder(self, number: int) -> Path:
        folder = self._home.folder("agents") / f"a{number}"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

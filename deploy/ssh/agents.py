"""Which ssh:// agents there are, and that each is at work by one server at a time: the one that holds its lease.

    wanted (in the log) -> leased -> session --ends--> told in the agent's data, and tried again: after 1 s, then 2, 4 ... 60
      `-> deactivated, removed, another uri: the session ends
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog

from agents.joining.credentials import Credentials
from commands.accepting.server_keys import server_key
from commands.accepting.service import Actor, Commands
from commands.errors import Refused
from commands.logic.config_items import CONFIG_URL
from commands.logic.ssh_uri import PASSWORD, is_ssh, place_of
from commands.resource import Resource
from commands.snapshots import latest
from commands.turns.turn import Turn
from deploy.ssh.session import Login, NotWorking, Work, session
from deploy.ssh.tunnel import Target
from eventstore import Lease, StoreError
from gateway.joining.agent_file import AgentFiles
from gateway.joining.scripts import REGISTER_URL, over_ssh

log = structlog.get_logger("corral.ssh")

ACCEPTED = ("activating", "active", "reconnecting")
"""States in which an agent is sent commands. Source: Cattle's agents."""

LEASE_SECONDS = 10.0
RENEW_SECONDS = 3.0
FIRST_RETRY, MOST_RETRY = 1.0, 60.0
STOP_SECONDS = 5.0

NOTE = "ssh"
"""In the agent's data: {"host": user@host:port, "hostKey": as it was first seen there, "state": "connected" or why not}."""

ACTOR = Actor(correlation="corral:ssh")

Keys = Callable[[int], Awaitable[Credentials | None]]


@dataclass(frozen=True, slots=True)
class Here:
    """This server, as an agent far away is led to it. `url`: of an API that this process reaches; "": none that it knows of."""

    node: str
    url: str
    tls: ssl.SSLContext | None
    nats: str


class SshAgents:
    """`keep_up` whenever agents changed; `close` at the end."""

    def __init__(self, commands: Commands, keys: Keys, here: Here) -> None:
        self._commands, self._keys, self._here = commands, keys, here
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._uris: dict[int, tuple[object, object]] = {}
        self._wake: dict[int, asyncio.Event] = {}
        self._states: dict[int, str] = {}
        self._files = AgentFiles()

    async def keep_up(self, agents: Iterable[Resource]) -> None:
        agents = list(agents)
        for each in agents:
            if each.state == "inactive" and is_ssh(each.row.get("uri")) and _noted(each).get("hostKey"):
                await self._note(each.stream, "deactivated", hostKey="")  # whoever activates it again trusts what is seen then
        wanted = {each.id: each for each in agents if is_ssh(each.row.get("uri")) and each.state in ACCEPTED and not each.removed}
        for number, task in list(self._tasks.items()):
            agent = wanted.get(number)
            if agent is None or self._uris[number] != _way(agent):
                del self._tasks[number]
                await _ended([task])
        for number, agent in wanted.items():
            if number not in self._tasks:
                self._uris[number], self._wake[number] = _way(agent), asyncio.Event()
                self._tasks[number] = asyncio.create_task(self._serve(agent.stream, number), name=f"ssh agent {number}")
            elif agent.state not in ("active", self._states[number]):
                self._wake[number].set()  # it is asked for anew: now is a good time to try again
            self._states[number] = agent.state

    async def close(self) -> None:
        tasks, self._tasks = list(self._tasks.values()), {}
        await _ended(tasks)

    async def _serve(self, stream: str, number: int) -> None:
        pause = FIRST_RETRY
        while True:
            began = asyncio.get_running_loop().time()
            try:
                lease = next(iter(await self._commands.store.acquire([f"ssh-agent-{number}"], self._here.node, LEASE_SECONDS)), None)
                if lease is not None:
                    await self._leased(stream, number, lease)
            except NotWorking as error:
                await self._note(stream, str(error))
            except StoreError as error:
                log.info("Agents over ssh wait for the database", action="ssh-wait", agent=number, error=str(error))
            except Exception:  # one agent's trouble is no other's
                log.exception("An agent over ssh broke; it is tried again", action="ssh-broke", agent=number)
            if asyncio.get_running_loop().time() - began > MOST_RETRY:
                pause = FIRST_RETRY
            self._wake[number].clear()
            try:
                async with asyncio.timeout(pause * random.uniform(0.8, 1.2)):
                    await self._wake[number].wait()
                pause = FIRST_RETRY
            except TimeoutError:
                pause = min(MOST_RETRY, 2 * pause)

    async def _leased(self, stream: str, number: int, lease: Lease) -> None:
        """As long as the lease is ours. Raises NotWorking."""
        working = asyncio.create_task(self._work(stream, number), name=f"ssh session {number}")
        try:
            while not working.done():
                await asyncio.wait({working}, timeout=RENEW_SECONDS)
                if not working.done() and not await self._commands.store.renew([lease], LEASE_SECONDS):
                    log.warning("Another server has taken over an agent over ssh", action="ssh-lost", agent=number)
                    return
            await working
        finally:
            await _ended([working])
            await self._commands.store.give_up([lease])

    async def _work(self, stream: str, number: int) -> None:
        agent = await self._commands.vault.opened(await latest(self._commands.store, stream))
        place, note = place_of(str(agent.row["uri"])), _noted(agent)
        keys = await self._keys(number)
        if keys is None:
            raise NotWorking("its account has no active agentApiKey yet")
        known = str(note.get("hostKey") or "") if note.get("host") == str(place) else ""
        password = agent.row.get(PASSWORD)
        pair = await server_key(self._commands)
        login = Login(place, pair.secret, str(password) if password else None, known)

        async def seen(host_key: str) -> None:
            if host_key and not known:
                log.info("A host's key is trusted as it is seen first", action="ssh-host-key", agent=number, host=str(place), key=host_key)
                await self._note(stream, "connecting", host=str(place), hostKey=host_key)

        async def active() -> None:
            await self._note(stream, "connected")

        await session(login, await self._what(number, keys), seen, active)

    async def _what(self, number: int, keys: Credentials) -> Work:
        settings = self._commands.settings
        through = bool(settings["ssh.tunnel"])
        url = self._here.url or str(settings[CONFIG_URL]) or str(settings[REGISTER_URL])
        if not url:
            raise NotWorking("this process has no API of its own: set cattle.config.url to where there is one")
        variables = {"CATTLE_ACCESS_KEY": keys.access_key, "CATTLE_SECRET_KEY": keys.secret_key}
        variables |= {"CATTLE_URL": str(settings[REGISTER_URL]) or url} if not through else {}
        variables |= dict(each.split("=", 1) for each in str(settings["ssh.agent.env"]).split())
        parts = urlsplit(url)
        tls = self._here.tls or ssl.create_default_context() if parts.scheme == "https" else None
        api = Target([(parts.hostname or "", parts.port or (443 if tls else 80))], tls, parts.hostname)
        places = [(each.hostname or "", each.port or 4222) for each in map(urlsplit, self._here.nats.split(","))]
        return Work(
            number, (await self._files.get()).content, over_ssh(), str(settings["ssh.bootstrap.destination"]), variables,
            api if through else None, Target(places) if through else None,
        )  # fmt: skip

    async def _note(self, stream: str, state: str, **more: str) -> None:
        """In the agent's data, where it differs. It is told to people: nothing hangs on it."""
        try:
            agent = await latest(self._commands.store, stream)
            note = {**_noted(agent), "state": state, **more}
            if note == _noted(agent):
                return
            level = log.info if state in ("connecting", "connected") else log.warning
            level("An agent over ssh", action="ssh-state", stream=stream, state=state)

            def noted(turn: Turn) -> str:
                turn.merge(stream, {"+data": {NOTE: note}})
                return stream

            await self._commands.carry_out(noted, ACTOR, about=agent)
        except (Refused, StoreError) as error:
            log.info("How an agent over ssh does could not be noted", action="ssh-note", stream=stream, error=str(error))


def _noted(agent: Resource) -> dict[str, str]:
    note = agent.data.get(NOTE)
    return dict(note) if isinstance(note, dict) else {}


def _way(agent: Resource) -> tuple[object, object]:
    """What a session was made by; another one is made when it changes."""
    return agent.row.get("uri"), str(agent.row.get(PASSWORD))


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    waiting = set(tasks)
    for _ in range(3):
        for task in waiting:
            task.cancel()
        if waiting:
            _, waiting = await asyncio.wait(waiting, timeout=STOP_SECONDS)

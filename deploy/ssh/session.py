"""One life of an agent over ssh: logged in, its code copied, tunnels made, run until it or the connection ends.

    connect (the host's key is the kept one) -> agent.pyz, bootstrap.sh -> tunnels -> sh bootstrap.sh -> what it says, to the log -> its end
"""

from __future__ import annotations

import asyncio
import hashlib
import shlex
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import asyncssh
import structlog

from commands.logic.ssh_uri import SshPlace
from commands.turns.answers import legible
from deploy.ssh.tunnel import Target, tunnel

log = structlog.get_logger("corral.ssh.session")

CONNECT_SECONDS = 10.0
LOGIN_SECONDS = 20.0
COPY_SECONDS = 120.0
ALIVE_SECONDS = 5.0
"""A far side that is silent for three of these is away."""
SAID, MOST_LINE = 20, 300
"""The last lines of an agent that ended, which tell why, and what of each is told: they go into the log."""
MOST_SAID = 64 * 1024
"""Bytes that a command of ours says there; the machine may say anything."""


class NotWorking(Exception):
    """The agent does not run, or no longer: the text says why, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Login:
    """How to get there. `host_key`: the host's as it was first seen ("": it is seen for the first time)."""

    place: SshPlace
    private_key: str = field(repr=False)
    password: str | None = field(repr=False)
    host_key: str


@dataclass(frozen=True, slots=True)
class Work:
    """What is run there. `api` and `nats`: reached through tunnels; None: under the addresses that `variables` say."""

    agent: int
    code: bytes = field(repr=False)
    script: str
    destination: str
    variables: Mapping[str, str] = field(repr=False)
    api: Target | None
    nats: Target | None


async def session(login: Login, work: Work, seen: Callable[[str], Awaitable[None]], active: Callable[[], Awaitable[None]]) -> None:
    """Returns never; raises NotWorking when it ends. `seen`: is told the host's key once it is logged in, `active`: that it works."""
    try:
        async with await _connected(login) as connection:
            key = connection.get_server_host_key()
            await seen(key.export_public_key("openssh").decode().strip() if key is not None else "")
            await _work(connection, login.place, work, active)
    except (OSError, asyncssh.Error) as error:
        raise NotWorking(f"the connection to {login.place} ended: {error}") from None


async def _connected(login: Login) -> asyncssh.SSHClientConnection:
    place = login.place
    kept = [asyncssh.import_public_key(login.host_key)] if login.host_key else []
    checks = _HostKey(kept)
    try:
        return await asyncssh.connect(
            place.host, place.port, username=place.user, password=login.password,
            client_keys=[asyncssh.import_private_key(login.private_key)], client_factory=lambda: checks, known_hosts=(kept, [], []),
            config=None, agent_path=None, connect_timeout=CONNECT_SECONDS, login_timeout=LOGIN_SECONDS, keepalive_interval=ALIVE_SECONDS,
            keepalive_count_max=3,
        )  # fmt: skip
    except asyncssh.PermissionDenied:
        way = "takes neither the password of its uri nor" if login.password else "does not take"
        hint = "add /v1/authorized_keys of this server to that user's ~/.ssh/authorized_keys"
        raise NotWorking(f"{place} {way} this server's key: {hint}") from None
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
        if not kept:
            raise NotWorking(f"{place} and this server find no common way to speak ssh: {error}") from None
        raise NotWorking(
            f"{place} shows another host key ({checks.shown or 'of another kind'}) than when it was first seen "
            f"({kept[0].get_fingerprint()}): somebody else may answer in its place. "
            "If it was made anew, deactivate this agent and activate it again: the key that it shows then is trusted"
        ) from None
    except TimeoutError:
        hint = "is the machine on, and its sshd reached from here?"
        raise NotWorking(f"{place} does not answer within {CONNECT_SECONDS:.0f} seconds: {hint}") from None
    except (OSError, asyncssh.Error) as error:
        raise NotWorking(f"{place} can't be logged in to: {error}") from None


class _HostKey(asyncssh.SSHClient):
    """Trusts whoever is seen for the first time; afterwards only the same."""

    def __init__(self, kept: list[asyncssh.SSHKey]) -> None:
        self._kept = kept
        self.shown = ""

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.shown = key.get_fingerprint()
        return not self._kept


async def _work(connection: asyncssh.SSHClientConnection, place: SshPlace, work: Work, active: Callable[[], Awaitable[None]]) -> None:
    script = PurePosixPath(work.destination)
    try:
        async with asyncio.timeout(COPY_SECONDS):
            await _copied(connection, str(script), work.script.encode())
            await _copied(connection, str(script.with_name("agent.pyz")), work.code)
            variables = dict(work.variables)
            if work.api is not None:
                variables["CATTLE_URL"] = f"http://localhost:{await tunnel(connection, work.api)}/v1"
            if work.nats is not None:
                variables["CORRAL_NATS"] = f"nats://localhost:{await tunnel(connection, work.nats)}"
    except asyncssh.ChannelListenError as error:
        hint = "let its sshd forward (AllowTcpForwarding yes), or set ssh.tunnel to false where it reaches this server by itself"
        raise NotWorking(f"{place} makes no way back to this server ({error}): {hint}") from None
    except TimeoutError:
        raise NotWorking(f"{place} did not take the agent's code within {COPY_SECONDS:.0f} seconds") from None
    command = f"exec sh {shlex.quote(str(script))} {work.agent}"
    async with connection.create_process(command, stderr=asyncssh.STDOUT) as process:
        process.stdin.write("".join(f"{name}={value}\n" for name, value in variables.items()) + "\n")
        said: deque[str] = deque(maxlen=SAID)
        async for line in process.stdout:
            said.append((legible(line) or "").rstrip()[:MOST_LINE])
            log.info("An agent over ssh says", action="ssh-agent-says", agent=work.agent, line=said[-1])
            if said[-1].startswith("It is active"):
                await active()
        await process.wait_closed()
        ended = f"with status {process.exit_status}" if process.exit_status is not None else "with its connection"
        raise NotWorking(f"the agent on {place} ended {ended}{': ' if said else ''}{' / '.join(said)}")


async def _copied(connection: asyncssh.SSHClientConnection, path: str, content: bytes) -> None:
    """The file, unless it is there already. Raises NotWorking."""
    quoted, folder = shlex.quote(path), shlex.quote(str(PurePosixPath(path).parent))
    _, known = await _run(connection, f"sha256sum {quoted}")
    if known.startswith(hashlib.sha256(content).hexdigest()):
        return
    command = f"umask 077 && mkdir -p {folder} && cat >{quoted}.new && mv {quoted}.new {quoted}"
    status, said = await _run(connection, command, content)
    if status != 0:
        told = said.strip()[:MOST_LINE]
        raise NotWorking(f"{path} can't be written there ({told}): correct the setting ssh.bootstrap.destination")


async def _run(connection: asyncssh.SSHClientConnection, command: str, given: bytes = b"") -> tuple[int | None, str]:
    """-> its status, and what it says. Raises NotWorking for a machine that says more than any command of ours."""
    async with connection.create_process(command, encoding=None, stderr=asyncssh.STDOUT) as process:
        process.stdin.write(given)
        process.stdin.write_eof()
        said = b""
        while piece := await process.stdout.read(MOST_SAID):
            said += piece
            if len(said) > MOST_SAID:
                raise NotWorking(f"{command.split()[0]} says more there than it does anywhere: is it a machine with an ordinary shell?")
        await process.wait_closed()
        return process.exit_status, legible(said.decode("utf-8", "replace")) or ""

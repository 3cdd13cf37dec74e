"""The server's login on a machine that is nobody's friend: it says what it likes, as much as it likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncssh
import pytest

from commands.logic.ssh_uri import SshPlace
from deploy.ssh.session import MOST_LINE, SAID, Login, NotWorking, Work, session

SECONDS = 60.0
Shell = Callable[["asyncssh.SSHServerProcess[bytes]"], Awaitable[None]]


class _Open(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return False


@asynccontextmanager
async def a_machine(shell: Shell) -> AsyncIterator[int]:
    server = await asyncssh.create_server(
        _Open, "127.0.0.1", 0, server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")], process_factory=shell, encoding=None
    )
    try:
        yield server.get_port()
    finally:
        server.close()
        async with asyncio.timeout(10):
            await server.wait_closed()


async def told(shell: Shell) -> str:
    """Why an agent does not work there."""
    key = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()

    async def nothing(*_: str) -> None:
        pass

    async with a_machine(shell) as port:
        login = Login(SshPlace("me", "127.0.0.1", port), key, None, "")
        work = Work(7, b"code", "script", "/tmp/x/bootstrap.sh", {}, None, None)
        with pytest.raises(NotWorking) as why:
            async with asyncio.timeout(SECONDS):
                await session(login, work, nothing, nothing)
    return str(why.value)


async def test_a_machine_that_never_ends_what_it_says_fills_no_memory() -> None:
    async def shell(process: asyncssh.SSHServerProcess[bytes]) -> None:
        try:
            while True:
                process.stdout.write(b"x" * 100_000)
                await process.stdout.drain()
        except (OSError, asyncssh.Error):
            process.exit(1)

    assert (await told(shell)).startswith("sha256sum says more there than it does anywhere")


async def test_what_an_agent_says_last_is_told_in_few_words_that_the_log_can_hold() -> None:
    async def shell(process: asyncssh.SSHServerProcess[bytes]) -> None:
        if (process.command or "").startswith("exec"):
            for number in range(2 * SAID):
                process.stdout.write(b"\0" + b"x" * 200_000 + b" %d\n" % number)
                await process.stdout.drain()
            process.exit(3)
            return
        await process.stdin.read()
        process.exit(0)

    why = await told(shell)
    assert why.startswith("the agent on me@127.0.0.1:")
    assert "ended with status 3" in why
    assert len(why) < SAID * (MOST_LINE + 10) + 200
    assert "\0" not in why

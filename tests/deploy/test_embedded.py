"""Postgres and NATS as Corral brings them: real servers, killed and started again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import nats
import pytest

from deploy.embedded import EmbeddedNats, EmbeddedPostgres, HomeInUse, HomeUnusable, ServerFailed, hold, noted
from deploy.embedded import launch as launch_module
from deploy.embedded.server import _turn_over
from tests.support.own_servers import own_servers

ROOT = os.geteuid() == 0
LINUX = sys.platform == "linux"


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that doesn't exist yet, where any user could reach it."""
    folder = Path(tempfile.mkdtemp(prefix="corral-test-"))
    folder.chmod(0o755)
    yield folder / "home"
    shutil.rmtree(folder)


async def count_starts(dsn: str) -> int:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        return int(await connection.fetchval("select count(*) from starts"))
    finally:
        await connection.close()


async def gone(pid: int, seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while is_running(pid):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z")  # dead, but not yet collected


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.02)


async def test_a_second_start_finds_data_and_addresses_as_they_were_and_takes_less_than_a_second(home: Path) -> None:
    with own_servers(home) as (_, first):
        pass
    began = time.monotonic()
    with hold(home) as held:
        async with EmbeddedPostgres(held) as postgres, EmbeddedNats(held) as server:
            took = time.monotonic() - began
            assert await count_starts(postgres.dsn) == 1
            assert (postgres.dsn, server.url) == (first["dsn"], first["nats"])
    assert took < 1
    assert await gone(first["postgres_pid"], 0)
    assert noted(home)["nats"] == first["nats"]


async def test_servers_die_with_their_killed_parent_and_the_next_start_goes_on(home: Path) -> None:
    with own_servers(home) as (process, said):
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        # At once, while the old servers may still be ending.
        with own_servers(home) as (_, again):
            assert again["starts"] == 2
            assert again["dsn"] == said["dsn"]
        assert await gone(said["postgres_pid"])
        assert await gone(said["nats_pid"])


async def test_a_home_in_use_is_refused_and_its_holder_named(home: Path) -> None:
    with own_servers(home) as (_, said):
        with pytest.raises(HomeInUse, match=rf"in use by a Corral that runs as process {said['pid']}.*CORRAL_HOME"), hold(home):
            pass
        with own_servers(home) as (_, refused):
            assert str(said["pid"]) in refused["refused"]


async def test_a_killed_postgres_recovers_by_itself_with_all_its_data(home: Path) -> None:
    with hold(home) as held:
        async with EmbeddedPostgres(held) as postgres:
            connection = await asyncpg.connect(postgres.dsn)
            await connection.execute("create table starts as select 1 from generate_series(1, 1000)")
            killed = postgres.pid
            assert killed
            os.kill(killed, signal.SIGKILL)
            assert await gone(killed)

            async def counts_again() -> bool:
                try:
                    return await count_starts(postgres.dsn) == 1000
                except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
                    return False

            await until(counts_again)
            assert postgres.pid not in (None, killed)
            connection.terminate()


async def test_a_killed_nats_serves_again_at_the_same_address(home: Path) -> None:
    with hold(home) as held:
        async with EmbeddedNats(held, preferred=0) as server:
            url, killed = server.url, server.pid
            client = await nats.connect(url, reconnect_time_wait=0.05, max_reconnect_attempts=-1)
            assert killed
            os.kill(killed, signal.SIGKILL)
            assert await gone(killed)

            async def answers() -> bool:
                return server.pid not in (None, killed) and client.is_connected

            await until(answers)
            heard = await client.subscribe("corral.test")
            await client.publish("corral.test", b"x" * 2_000_000)
            assert len((await heard.next_msg(timeout=5)).data) == 2_000_000
            assert server.url == url
            await client.close()


@pytest.mark.skipif(not LINUX, reason="it changes the user with setpriv, which is Linux'")
async def test_an_ordinary_user_runs_both(home: Path) -> None:
    home.mkdir()
    if not ROOT:
        become: tuple[str, ...] = ()
    else:
        os.chown(home, launch_module.NOBODY, launch_module.NOBODY)
        # The one capability lets it read the checkout and its Python where these lie in a folder of root's.
        become = (
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all,+dac_read_search",
            "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", "--",
        )  # fmt: skip
    with own_servers(home, before=become) as (_, said):
        assert said["uid"] != 0
        assert home.stat().st_uid == said["uid"]
        assert await count_starts(said["dsn"]) == 1
    assert await gone(said["postgres_pid"])


@pytest.mark.skipif(not (LINUX and ROOT), reason="only root on Linux has another user to become")
async def test_where_the_kernel_refuses_namespaces_root_hands_postgres_to_nobody_and_can_take_it_back(home: Path) -> None:
    with own_servers(home):
        pass
    with tempfile.TemporaryDirectory() as other_root:
        # A process in a chroot may make no user namespace.
        enter = ("unshare", "--mount", "--propagation=private", "sh", "-c")
        script = f'mount --rbind / {other_root} && exec chroot {other_root} env --chdir="$PWD" "$@"'
        with own_servers(home, before=(*enter, script, "sh")) as (process, said):
            assert said["starts"] == 2
            assert (home / "postgres" / "data").stat().st_uid == launch_module.NOBODY
            assert Path(f"/proc/{said['postgres_pid']}").stat().st_uid == launch_module.NOBODY
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        assert await gone(said["postgres_pid"])
    with own_servers(home) as (_, again):
        assert again["starts"] == 3
        assert (home / "postgres" / "data").stat().st_uid == 0


async def test_a_home_with_a_long_path_has_its_sockets_elsewhere(home: Path) -> None:
    deep = home / ("long" * 20) / ("longer" * 10)
    with hold(deep) as held:
        async with EmbeddedPostgres(held) as postgres:
            sockets = Path(held.socket_folder("postgres/run"))
            assert deep not in sockets.parents
            assert sockets.stat().st_mode & 0o777 == 0o700
            connection = await asyncpg.connect(postgres.dsn)
            assert await connection.fetchval("select 1") == 1
            await connection.close()
    assert not sockets.exists()


async def test_postgres_listens_on_the_network_only_when_asked_and_then_wants_a_password(home: Path) -> None:
    with hold(home) as held:
        async with EmbeddedPostgres(held) as postgres:
            connection = await asyncpg.connect(postgres.dsn)
            assert await connection.fetchval("show listen_addresses") == ""
            assert await connection.fetchval("show fsync") == "on"
            await connection.close()
        async with EmbeddedPostgres(held, tcp=True) as postgres:
            connection = await asyncpg.connect(postgres.tcp_dsn)
            assert await connection.fetchval("select host(inet_server_addr())") == "127.0.0.1"
            await connection.close()
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(f"postgresql://corral:wrong@127.0.0.1:{postgres.port}/corral")


async def test_a_pid_file_that_names_another_program_is_no_obstacle(home: Path) -> None:
    with own_servers(home) as (process, said):
        data = home / "postgres" / "data"
        os.kill(said["postgres_pid"], signal.SIGSTOP)  # so that it can't tidy up
        process.send_signal(signal.SIGKILL)
        os.kill(said["postgres_pid"], signal.SIGKILL)
        process.wait(10)
        assert await gone(said["postgres_pid"])
        lines = (data / "postmaster.pid").read_text().split("\n")
        (data / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]))
        with own_servers(home) as (_, again):
            assert again["starts"] == 2


async def test_an_interrupted_first_start_is_begun_anew(home: Path) -> None:
    half = home / "postgres" / "data.new-1234"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with own_servers(home) as (_, said):
        assert said["starts"] == 1
    assert not half.exists()


@pytest.mark.skipif(not LINUX, reason="it looks for processes in /proc")
@pytest.mark.parametrize("moment", [0.02, 0.15, 0.4, 0.6])
async def test_a_start_that_is_cancelled_leaves_no_process(home: Path, moment: float) -> None:
    with hold(home) as held:
        postgres = EmbeddedPostgres(held)
        starting = asyncio.create_task(postgres.start())
        await asyncio.sleep(moment)
        if starting.done():
            await postgres.stop()  # this machine was quicker than the cancel
        else:
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting

    async def none_left() -> bool:
        return not [place for place in Path("/proc").glob("[0-9]*/cmdline") if os.fsencode(home) in read_or_nothing(place)]

    await until(none_left, 5)


def read_or_nothing(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except OSError:
        return b""


async def test_a_server_that_cannot_start_shows_its_last_words(home: Path) -> None:
    with own_servers(home):
        pass
    (home / "postgres" / "data" / "PG_VERSION").write_text("9.4\n")
    with hold(home) as held, pytest.raises(ServerFailed, match=r"(?s)Postgres ended as it started.*initialized by PostgreSQL version 9\.4"):
        await EmbeddedPostgres(held).start()


async def test_nats_takes_another_port_where_its_own_is_taken_but_not_where_one_was_asked_for(home: Path) -> None:
    with hold(home) as held, socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        held.note(nats_port=taken)
        async with EmbeddedNats(held, preferred=taken) as server:
            assert server.port != taken
        with pytest.raises(ServerFailed, match=f"port {taken} on 127.0.0.1 is taken"):
            await EmbeddedNats(held, port=taken).start()


async def test_ctrl_c_reaches_corral_alone_so_that_it_can_stop_its_servers_in_order(home: Path) -> None:
    with hold(home) as held:
        async with EmbeddedPostgres(held) as postgres, EmbeddedNats(held, preferred=0) as server:
            assert postgres.pid
            assert server.pid
            assert os.getpgid(0) not in (os.getpgid(postgres.pid), os.getpgid(server.pid))


async def test_a_long_log_is_cut_while_the_server_writes_on(home: Path) -> None:
    log = home.parent / "server.log"
    log.write_bytes(b"old\n" * 10)
    with log.open("ab", buffering=0) as writer:
        _turn_over(log)
        writer.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert (home.parent / "server.old").read_bytes() == b"old\n" * 10


@pytest.mark.skipif(not ROOT, reason="an ordinary user can't give a folder away")
def test_the_home_of_somebody_else_is_refused(home: Path) -> None:
    home.mkdir()
    os.chown(home, 12345, 12345)
    with pytest.raises(HomeUnusable, match="belongs to user 12345"), hold(home):
        pass


def test_a_home_that_cannot_be_made_is_refused_with_the_reason(home: Path) -> None:
    home.parent.joinpath("file").touch()
    with pytest.raises(HomeUnusable, match=r"Not a directory; choose another with CORRAL_HOME"), hold(home.parent / "file" / "home"):
        pass


async def test_where_the_kernel_tells_nothing_of_a_dead_parent_the_launcher_watches(home: Path) -> None:
    script = (
        "import json, os, subprocess, sys, time\n"
        f"order = json.dumps({{'parent': os.getpid(), 'signal': {int(signal.SIGTERM)}, 'watch': True}})\n"
        f"command = [sys.executable, '-I', '-S', {launch_module.__file__!r}, order, '/bin/sh', '-c', 'echo $$; exec sleep 60']\n"
        "launcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)\n"
        "print(launcher.stdout.readline(), flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        server = int(parent.stdout.readline())
        assert is_running(server)
        parent.kill()
        assert await gone(server)

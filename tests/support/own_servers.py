"""A process that holds a home and runs both embedded servers, for tests that kill it: python -m tests.support.own_servers HOME.

Says its addresses and pids in one line of JSON, and stops in order when its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import asyncpg

from deploy.embedded import EmbeddedNats, EmbeddedPostgres, HomeInUse, hold

CHECKOUT = Path(__file__).parents[2]


@contextmanager
def own_servers(home: Path, *, before: tuple[str, ...] = ()) -> Iterator[tuple[Popen[str], dict[str, Any]]]:
    """The process and what it said; `before`: a command that starts the process in some other way."""
    command = [*before, sys.executable, "-m", "tests.support.own_servers", str(home)]
    with Popen(command, stdin=PIPE, stdout=PIPE, stderr=None, text=True, cwd=CHECKOUT) as process:
        assert process.stdout
        try:
            said = process.stdout.readline()
            assert said, f"{command} ended with {process.wait(30)}"
            yield process, json.loads(said)
        finally:
            assert process.stdin
            process.stdin.close()
            process.wait(60)


async def main(path: str) -> None:
    try:
        with hold(path) as home:
            async with EmbeddedPostgres(home) as postgres, EmbeddedNats(home, preferred=0) as nats:
                connection = await asyncpg.connect(postgres.dsn, timeout=10)
                await connection.execute("create table if not exists starts (at timestamptz default now())")
                await connection.execute("insert into starts default values")
                starts = await connection.fetchval("select count(*) from starts")
                await connection.close()
                say(
                    pid=os.getpid(), uid=os.geteuid(), starts=starts, dsn=postgres.dsn, nats=nats.url,
                    postgres_pid=postgres.pid, nats_pid=nats.pid,
                )  # fmt: skip
                await asyncio.to_thread(sys.stdin.read)
    except HomeInUse as error:
        say(refused=str(error))


def say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

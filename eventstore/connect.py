"""Connections to Postgres as the log uses them, and which of their errors mean: the database is away, try again."""

from __future__ import annotations

import asyncio

import asyncpg
import orjson
from asyncpg.connection import Connection

# SQLSTATEs that pass by themselves, by how they begin: out of connections, memory or disk (53), a shutdown, a crash, a start or a
# cancelled statement (57), a failing disk (58), a conflict or deadlock (40), a standby that was just promoted, an idle session's end.
PASSING = ("53", "57", "58", "40001", "40P01", "25006", "25P03")

KEEPALIVES = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3", "tcp_user_timeout": "25000"}
"""By these Postgres notices within half a minute that a machine is gone without a word (its power, its network), and frees what the
connections of there held, such as the projector's lock; by itself it would take over two hours. Unix sockets need none."""


def is_away(error: BaseException) -> bool:
    """Did this fail because the connection or the server is away (True), or for a reason of its own?"""
    match error:
        case asyncpg.DataError():
            return False
        case asyncpg.PostgresConnectionError() | asyncpg.InterfaceError() | asyncpg.InternalClientError():
            return True
        case asyncpg.PostgresError():
            return (error.sqlstate or "").startswith(PASSING)
        case OSError() | asyncio.TimeoutError() | asyncio.IncompleteReadError():
            return True
    return False


async def connect(dsn: str, timeout: float, statement_timeout: float | None = None) -> Connection:
    """One connection of its own, for the writer, the listener or a migration."""
    connection = await asyncpg.connect(dsn, timeout=timeout, command_timeout=None, server_settings=settings(statement_timeout))
    await prepare(connection)
    return connection


async def prepare(connection: Connection) -> None:
    """jsonb goes through orjson, as text."""
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_same, decoder=orjson.loads, format="text")


async def no_reset(connection: object) -> None:
    """The log's connections keep no session state, and asyncpg's reset query would cost a quarter of the reads."""


def settings(statement_timeout: float | None = None) -> dict[str, str]:
    chosen = {
        "application_name": "corral",
        "default_transaction_isolation": "read committed",  # log.append needs a fresh snapshot for each of its statements
        "timezone": "UTC",
        **KEEPALIVES,
    }
    if statement_timeout is not None:
        chosen["statement_timeout"] = str(int(statement_timeout * 1000))
    return chosen


def _same(text: str) -> str:
    return text

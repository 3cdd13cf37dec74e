"""The events -> here -> streams and claims anew, beside the live ones: shows that these can be trusted, or where they can't."""

from __future__ import annotations

from dataclasses import dataclass

from eventstore.connect import connect
from eventstore.queries import sql


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not what the log says. `what`: stream, claim or total; `live` or `rebuilt` is None where the row is absent."""

    what: str
    name: str
    live: str | None
    rebuilt: str | None


async def rebuild_beside(dsn: str, schema: str = "log_rebuilt", timeout: float = 3600.0) -> list[Difference]:
    """Rebuilds streams, claims and totals into `schema` (made anew), and answers where they differ from the live tables.

    Both are seen as of one position, whatever is appended meanwhile; nobody waits for it. `timeout`: seconds for all of it.
    """
    connection = await connect(dsn, min(timeout, 10.0))
    try:
        async with connection.transaction(isolation="repeatable_read"):
            rows = await connection.fetch(sql("rebuild_beside"), schema, timeout=timeout)
    finally:
        await connection.close(timeout=10)
    return [Difference(*row) for row in rows]

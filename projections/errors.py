"""What the read side can fail with, named for what the caller does next."""

from __future__ import annotations

import asyncpg

DATABASE_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""Whatever asyncpg raises when the database or the connection fails; the client's own confusion, too, on a connection that just went."""


class ViewsError(Exception):
    """The base of all that the views raise."""


class ViewsUnavailable(ViewsError):
    """The views' database does not answer, or its views are not built yet: try again in a moment."""


class TooSlow(ViewsError):
    """The query took longer than a query may: filter by what has an index, too, or ask for no other order."""


class Behind(ViewsError):
    """The views have not reached the position that was asked for in time: try again."""

    def __init__(self, wanted: int, reached: int) -> None:
        super().__init__(f"the views are at position {reached}, not yet at {wanted}: try again in a moment")
        self.wanted, self.reached = wanted, reached


class Superseded(ViewsError):
    """Another projector has moved the checkpoint: stop, and stand by until it is gone."""

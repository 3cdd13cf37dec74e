"""Which cloud this is: what tells its containers from those of another cloud on the same engine. Told with each command to an agent."""

from __future__ import annotations

import uuid

from commands.turns.fleet import Fleet

_CLOUDS = uuid.UUID("5d0e7a3c-1d7b-4d0c-9a57-0f6e3c1f8f21")
"""The space in which a cloud's beginning becomes its uuid."""


def cloud_of(fleet: Fleet) -> str | None:
    """Every log begins with the account admin: when that was made is kept for ever, by backups and moves, too. None: it has none yet."""
    admin = fleet.by_uuid("account", "admin")
    began = admin.row.get("created") if admin is not None else None
    return None if began is None else str(uuid.uuid5(_CLOUDS, str(began)))

"""When what was removed is purged: once its removeTime has come, and after a purge that failed not again before a while. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from commands.catalogue.fields import date_text, parsed_date
from commands.resource import ACTIVE, Json, Resource
from commands.turns.dead import is_gone
from commands.turns.world import World

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

AGAIN_SECONDS = 60.0
"""After a purge that failed or was cancelled. (A retry begins it at once.)"""


def due_at(resource: Resource) -> datetime | None:
    due = resource.row.get("removeTime")
    try:
        return parsed_date(due) if isinstance(due, str) else None
    except (ValueError, OverflowError):  # of before such a date was refused: that is no reason to keep it
        return LONG_AGO


def next_due(world: World, resources: Iterable[Resource]) -> datetime | None:
    found = (each for each in resources if each.state == "removed" and not waits(world, each))
    return min((due for each in found if (due := due_at(each))), default=None)


FORCED = "forced"
"""In the data of what was removed by force: why. What its agent must confirm is still to be asked, by its purge."""

RUNS = ACTIVE | {"activating", "deactivating"}
"""States of a map by which its instance may run."""

OF_WHAT_RUNS = frozenset({"nic", "ipAddress"})
"""Their addresses and macs are in use for as long as their instance may run, whatever became of their rows."""


def waits(world: World, resource: Resource) -> bool:
    """It is an instance's, which may run with it still."""
    root = world.resources.get(resource.root)
    if resource.type not in OF_WHAT_RUNS or root is None or root.type != "instance" or resource.kind == "pooledIpAddress":
        return False
    maps = world.children("instanceHostMap", "instanceId", root.id, removed=True)
    return any(each.state in RUNS or to_be_confirmed(world, each) for each in maps)


def unconfirmed(each: Resource) -> bool:
    """Removed by force, and what it stood for may be there still."""
    return FORCED in each.data and each.state in ("removed", "restoring", "purging")


def to_be_confirmed(world: World, host_map: Resource) -> bool:
    """Whether that is waited for: not where the host was declared dead, which is asked all the same."""
    return unconfirmed(host_map) and not is_gone(world.get("host", host_map.row.get("hostId")))


def put_off(now: datetime) -> Json:
    """The changes that make it wait."""
    return {"removeTime": date_text(now + timedelta(seconds=AGAIN_SECONDS))}

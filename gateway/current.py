"""One resource as it is now: from the views, with what the log tells beyond them; from the log alone while they can't be read."""

from __future__ import annotations

from collections.abc import Iterable

from commands.catalogue.model import ResourceType
from commands.catalogue.tasks import TASK
from commands.resource import Resource, evolve
from commands.snapshots import latest
from eventstore import Recorded
from gateway.services import Services
from gateway.tasks import task
from projections.errors import ViewsError
from projections.rows import Seen


async def current(services: Services, root: ResourceType, number: int) -> Seen | None:
    """Its row in the views, with what its stream tells beyond that folded over it; also while the views lag, are being rebuilt, or can't
    be read: then folded from the log alone. None: it never was."""
    if root.name == TASK:
        return task(number)
    try:
        seen = await services.views.get(root.name, number)
    except ViewsError:
        seen = None
    if seen is None:
        resource = await latest(services.store, f"{root.name}-{number}")
        return Seen(resource) if resource.exists else None
    newer = await services.store.read(seen.resource.stream, after=seen.resource.version)
    resource = _folded(seen.resource, newer)
    return Seen(resource, seen.claimed) if resource.exists else None


async def shown(services: Services, resource: Resource) -> Resource:
    """A command's own result, with what only the views know (what is claimed of a host)."""
    if "computeFree" not in resource.row:
        return resource
    try:
        seen = await services.views.get(resource.type, resource.id)
    except ViewsError:
        return resource
    return Seen(resource, seen.claimed if seen else 0).shown


def _folded(resource: Resource, events: Iterable[Recorded]) -> Resource:
    for event in events:
        resource = evolve(resource, event)
    return resource

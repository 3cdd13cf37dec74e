"""What one request reads its resources from: rows as they are now, or (gateway.history.past) as they were."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from commands.catalogue.ids import number_of
from commands.catalogue.model import Link, ResourceType
from commands.errors import NotFound
from commands.resource import Resource
from commands.secrets.vault import PURGED
from commands.turns.decide import has_life
from gateway.access.caller import Caller
from gateway.current import current
from gateway.request import ApiRequest
from gateway.services import Services
from projections.rows import Seen


class Rows(Protocol):
    """What a read reads from."""

    @property
    def time(self) -> datetime: ...

    async def get(self, root: ResourceType, number: int) -> Seen | None:
        """By the root type and number; removed ones too. None: there is none, or none for this caller."""
        ...

    async def get_many(self, root: ResourceType, numbers: Sequence[int]) -> dict[int, Seen]: ...

    async def linked(self, link: Link, sources: Sequence[Resource]) -> dict[int, list[Seen]]:
        """What a many or map link of these leads to, by their number, in order of id: what the caller may see of it."""
        ...


class PresentRows:
    """Whoever gets one by id still has to ask whether the caller may see it."""

    def __init__(self, services: Services, caller: Caller) -> None:
        self._services, self._caller = services, caller

    @property
    def time(self) -> datetime:
        return self._services.store.now()

    async def get(self, root: ResourceType, number: int) -> Seen | None:
        return await current(self._services, root, number)

    async def get_many(self, root: ResourceType, numbers: Sequence[int]) -> dict[int, Seen]:
        return await self._services.views.get_many(root.name, numbers)

    async def linked(self, link: Link, sources: Sequence[Resource]) -> dict[int, list[Seen]]:
        show_removed = float(self._services.settings["api.show.removed.for.seconds"])
        numbers = [each.id for each in sources]
        return await self._services.views.linked(link, numbers, account=self._caller.scope, show_removed=show_removed)


async def found(services: Services, request: ApiRequest, type: ResourceType, text: str, rows: Rows | None = None) -> Resource:
    """The resource that a path or a reference names, as its caller sees it (in these rows, or now); NotFound where they see none."""
    number = number_of(text, plain=request.plain_ids)
    root = services.catalogue.root_type(type.name)
    rows = rows or PresentRows(services, request.caller)
    seen = await rows.get(root, number) if number is not None else None
    if seen is None or not request.caller.sees_row(root, seen.resource) or _is_deleted(services, seen.resource):
        raise NotFound(f"there is no {type.name} {text}")
    return seen.shown


def _is_deleted(services: Services, resource: Resource) -> bool:
    """Only what has states of its own is still there, purged, once it has gone."""
    return resource.state == PURGED and not has_life(services.catalogue, resource.type)

"""Resources, and what their links lead to, as they were at a position: folded from the log (archive included), never from a view.

It answers as projections.views does for the present. A position is of the past for ever, so the same question has the same answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from commands.catalogue.catalogue import Catalogue
from commands.catalogue.model import Link, ResourceType
from commands.resource import Resource, fold_all, split_stream
from eventstore import Recorded, Store
from projections import leases
from projections.errors import TooSlow
from projections.fold import Picture
from projections.history import read_to, resource_at
from projections.query import SHOW_REMOVED
from projections.rows import CLAIMED_FIELD, Seen, parsed_time

LIST_SECONDS = 4.0
"""For so long the log is folded for a list."""

SHARES = "instanceHostMap"
"""Whose events claim the shares of a host's capacity."""


class Past:
    """The state at `position`, when the log's time was `at`."""

    def __init__(self, store: Store, catalogue: Catalogue, position: int, at: datetime, show_removed: float = SHOW_REMOVED) -> None:
        """`show_removed`: for so many seconds after its removal a thing was shown in lists."""
        self._store, self._catalogue, self._show_removed = store, catalogue, show_removed
        self.position, self.at = position, at

    async def get(self, type_name: str, number: int) -> Seen | None:
        """By the root type's name and number; removed ones too. None: it did not exist yet."""
        if type_name == leases.TYPE and number >= leases.FIRST:
            return await self._lease(number)
        resource = await resource_at(self._store, f"{type_name}-{number}", self.position)
        return await self._seen(resource) if resource is not None else None

    async def listed(self, root: ResourceType) -> list[Seen]:
        """All resources of a root type that lists then showed, by number. Raises TooSlow: there is no index for it, the log is folded."""
        needs_all = root.name == leases.TYPE or CLAIMED_FIELD in root.fields  # claims stand in others' events
        picture, began, streams = Picture(), time.monotonic(), f"{root.name}-"
        async for batch in read_to(self._store, self.position):
            picture.fold(batch if needs_all else [event for event in batch if event.stream.startswith(streams)])
            if time.monotonic() - began > LIST_SECONDS and batch[-1].position < self.position:
                raise TooSlow(
                    f"a list of the past is folded from the log, and {LIST_SECONDS:g} s were enough for {batch[-1].position:,} of "
                    f"{self.position:,} events: ask for one resource (/v1/containers/1i5?at=...), or use corral replay --to"
                )
        found = (seen for stream, seen in picture.rows.items() if stream.startswith(streams) and seen.resource.exists)
        return sorted((seen for seen in found if self._is_listed(seen.resource)), key=lambda seen: seen.resource.id)

    async def linked(self, link: Link, sources: Sequence[Resource]) -> dict[int, list[Seen]]:
        """What a many or map link of these leads to, by their number, in order of id.

        many: what was removed long before is left out. map: through rows that were not removed; removed targets are there all the same.
        """
        return {each.id: await (self._mapped(link, each) if link.cardinality == "map" else self._many(link, each)) for each in sources}

    async def _many(self, link: Link, source: Resource) -> list[Seen]:
        found = await self._referring(self._catalogue.type(link.to), link.via, source)
        return [await self._seen(each) for each in found if not self._hidden(each)]

    async def _mapped(self, link: Link, source: Resource) -> list[Seen]:
        assert link.through is not None
        assert link.other_via is not None
        ties = await self._referring(self._catalogue.type(link.through), link.via, source)
        others = {each.row.get(link.other_via) for each in ties if not each.removed}
        target, root = self._catalogue.type(link.to), self._catalogue.root_type(link.to)
        found = [await self.get(root.name, number) for number in sorted(each for each in others if isinstance(each, int))]
        return [seen for seen in found if seen is not None and _is(seen.resource, target)]

    async def _referring(self, type: ResourceType, via: str, source: Resource) -> list[Resource]:
        """The resources of a type whose field `via` named this one, by number."""
        root = self._catalogue.root_type(type.name)
        if root.owner == via:  # it shares the root of what owns it
            events = await self._store.read_root(source.root or source.stream, self.position)
            events = [event for event in events if split_stream(event.stream)[0] == root.name]
        else:
            events = await self._store.read_having(root.name, {"data": {"changes": {via: source.id}}}, self.position)
        then = fold_all(events).values()
        return sorted((each for each in then if each.row.get(via) == source.id and _is(each, type)), key=lambda each: each.id)

    def _is_listed(self, resource: Resource) -> bool:
        return not self._hidden(resource) and resource.row.get("visible") is not False

    def _hidden(self, resource: Resource) -> bool:
        """What lists did not show then."""
        removed, gone = (parsed_time(resource.row.get(each)) for each in ("removed", "removeTime"))
        return bool(gone and gone <= self.at) or bool(removed and (self.at - removed).total_seconds() >= self._show_removed)

    async def _seen(self, resource: Resource) -> Seen:
        """With what was claimed of it then."""
        if not isinstance(resource.row.get(CLAIMED_FIELD), int):
            return Seen(resource)
        scope = f"{resource.stream}/compute"
        return claimed_of(resource, await self._store.read_having(SHARES, {"metadata": {"claims": [[scope]]}}, self.position))

    async def _lease(self, number: int) -> Seen | None:
        """A lease has no stream: it is a claim of another stream's event, until that stream releases it."""
        position, index = divmod(number - leases.FIRST, 1000)
        if not 0 < position <= self.position:
            return None
        event = next(iter(await self._store.read_all(position - 1, 1, to_position=position)), None)
        if event is None or index >= len(event.claims):
            return None
        claim = event.claims[index]
        later = await self._store.read(event.stream, event.version, self.position)
        given_back = any((each.scope, each.item) == (claim.scope, claim.item) for one in later for each in one.releases)
        if given_back or claim.limit is not None or not leases.is_lease(claim.scope):
            return None
        try:
            return Seen(leases.lease(event, number, claim.scope, claim.item))
        except ValueError:
            return None  # in a scope that somebody else named so


def claimed_of(resource: Resource, events: Iterable[Recorded]) -> Seen:
    """The resource, with what these streams' events hold of it."""
    picture = Picture(rows={resource.stream: Seen(resource)})
    picture.fold(events)
    return picture.rows[resource.stream]


async def time_of(store: Store, position: int) -> datetime:
    """When the log reached a position; before its first event: the beginning of time."""
    events = await store.read_all(position - 1, 1, to_position=position) if position else []
    return events[0].at if events else datetime.min.replace(tzinfo=UTC)


def _is(resource: Resource, type: ResourceType) -> bool:
    return not type.parent or resource.kind == type.name

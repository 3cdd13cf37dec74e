"""?at=: one request's reading of the past, for its caller: what they see now of what they saw then, and no secret that is gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from commands.catalogue.model import Link, ResourceType
from commands.catalogue.secrets import is_sealed, replaced, secrets_of
from commands.catalogue.tasks import TASK
from commands.errors import Refused
from commands.resource import Resource
from commands.secrets.vault import PURGED
from commands.snapshots import latest
from eventstore import Store
from gateway.access.caller import Caller
from gateway.request import ApiRequest
from gateway.services import Services
from gateway.tasks import task
from projections.history import position_of
from projections.moments import allowed, read_moment
from projections.past import Past, time_of
from projections.query import Query
from projections.rows import Seen
from projections.selection import matches

AT = "at"


async def asked_past(services: Services, request: ApiRequest) -> PastRows | None:
    """The past that a request asks for, if it does. Raises Refused for what is no moment, or still to come."""
    text = request.param(AT)
    if text is None:
        return None
    if request.method != "GET":
        raise Refused("InvalidOption", "what was can't be changed: at= is for reading", AT)
    position, at = await read_at(services.store, text)
    show_removed = float(services.settings["api.show.removed.for.seconds"])
    return PastRows(services, request.caller, Past(services.store, services.catalogue, position, at, show_removed))


async def read_at(store: Store, text: str, name: str = AT) -> tuple[int, datetime]:
    """-> the position that a moment means, and its time. Raises Refused, saying what is allowed."""
    present = store.now()
    try:
        moment = read_moment(text, present, UTC)
    except ValueError as wrong:
        raise Refused("InvalidFormat", f"{wrong}: {name} takes {allowed('of UTC')}", name) from None
    if isinstance(moment, datetime):
        return await position_of(store, moment), moment
    head = await store.head()
    if moment > head:
        raise Refused("InvalidOption", f"position {moment} is not there yet: the log ends at {head}", name)
    return moment, await time_of(store, moment)


class PastRows:
    """As resources.PresentRows has the present."""

    def __init__(self, services: Services, caller: Caller, past: Past) -> None:
        self._services, self._caller, self._past = services, caller, past

    @property
    def position(self) -> int:
        return self._past.position

    @property
    def time(self) -> datetime:
        return self._past.at

    async def get(self, root: ResourceType, number: int) -> Seen | None:
        """None: it did not exist yet, or its caller may not see it."""
        if root.name == TASK:
            return task(number)
        seen = await self._past.get(root.name, number)
        return None if seen is None else await self._shown(root, seen)

    async def rows(self, query: Query) -> list[Seen]:
        """What a list then had, all pages of it and in no order: `page` has it for the caller. Raises TooSlow."""
        found = await self._past.listed(query.root)
        return [seen for seen in found if query.kind in (None, seen.resource.kind) and matches(seen, query.filters)]

    async def page(self, root: ResourceType, rows: Sequence[Seen], offset: int, limit: int | None) -> list[Seen]:
        """Of those that the caller may see. Each is looked up in the present, too: so only as far as the page goes."""
        end = len(rows) if limit is None else offset + limit
        shown: list[Seen] = []
        for seen in rows:
            if len(shown) >= end:
                break
            if (visible := await self._shown(root, seen)) is not None:
                shown.append(visible)
        return shown[offset:]

    async def get_many(self, root: ResourceType, numbers: Sequence[int]) -> dict[int, Seen]:
        found = {number: await self.get(root, number) for number in numbers}
        return {number: seen for number, seen in found.items() if seen is not None}

    async def linked(self, link: Link, sources: Sequence[Resource]) -> dict[int, list[Seen]]:
        root = self._services.catalogue.root_type(link.to)
        found = await self._past.linked(link, sources)
        return {
            number: [shown for seen in rows if (shown := await self._shown(root, seen)) is not None] for number, rows in found.items()
        }

    async def _shown(self, root: ResourceType, seen: Seen) -> Seen | None:
        """As the caller may see it: what became another's is not shown to whose it was, and the purge of a secret is for all times."""
        resource = seen.resource
        if not self._caller.sees_row(root, resource):
            return None
        secrets = secrets_of(self._services.catalogue, root.name)
        if self._caller.sees_all and not secrets:
            return seen
        present = await latest(self._services.store, resource.stream)
        if not present.exists:  # a lease has no stream of its own
            return seen
        if not self._caller.sees_row(root, present):
            return None
        if present.state != PURGED:
            return seen
        without = replaced(resource.row, secrets, lambda name, value: None if is_sealed(value) else value)
        return replace(seen, resource=replace(resource, row=without))

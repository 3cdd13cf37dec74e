"""resource.change and state.change: what changed in the log, told once a second to who wants to hear of it; needs no NATS.

    log --follow--> the streams that changed --a second--> each once, as it is then, as each subscriber may see it

The log is followed only while somebody wants it. Every server follows for its own subscribers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import structlog

from commands import events
from commands.catalogue.ids import api_id
from commands.catalogue.model import ResourceType
from commands.resource import Resource, split_stream
from eventstore import Recorded, Unavailable
from gateway.bus import names
from gateway.bus.hub import Hub
from gateway.bus.subscriber import Json, View, event
from gateway.current import current
from gateway.documents import Documents
from gateway.request import ApiRequest
from gateway.services import Services
from projections.errors import ViewsError

log = structlog.get_logger("corral.subscriptions")

PERIOD = "task.resource.change.publish.schedule"

MOST_AT_ONCE = 500
"""Resources read at a time; the others follow at once."""

MOST_PENDING = 100_000
"""Resources that may wait to be told of: where more do, whoever wants to hear of them can't be served."""

VIEWS_SECONDS = 1.0
"""For which the views may lag; then what lags is folded from its events."""

MOVES = frozenset(
    {events.CREATED, events.TRANSITIONED, events.PROCESS_STARTED, events.PROCESS_SUCCEEDED, events.PROCESS_FAILED, events.PROCESS_CANCELLED}
)
"""What may move a state."""


@dataclass(frozen=True, slots=True)
class _Changed:
    position: int
    moved: bool
    """Its state may be another."""


class Changes:
    """`run` as a task."""

    def __init__(self, services: Services, hub: Hub) -> None:
        self._services, self._hub = services, hub
        self._pending: dict[str, _Changed] = {}
        """Stream -> its newest change that was not told, the longest due first."""

    async def run(self) -> None:
        while True:
            await self._hub.watched.wait()
            following = asyncio.create_task(self._follow())
            try:
                while self._hub.watched.is_set() and not following.done():
                    await asyncio.sleep(float(self._services.settings[PERIOD]))
                    while self._pending and await self._tell():
                        pass
            finally:
                self._hub.following.clear()
                following.cancel()
                await asyncio.wait({following}, timeout=5.0)
                self._pending.clear()
            if following.done() and not following.cancelled() and (error := following.exception()) is not None:
                log.warning("The log can't be followed for changes; it is tried again", action="changes-failed", error=repr(error))

    async def _follow(self) -> None:
        head = await self._services.store.head()
        self._hub.following.set()
        async for batch in self._services.store.follow(head):
            for each in batch:
                self._note(each)

    def _note(self, event: Recorded) -> None:
        before = self._pending.get(event.stream)
        moved = event.type in MOVES or (before is not None and before.moved)
        self._pending[event.stream] = _Changed(event.position, moved)
        if len(self._pending) > MOST_PENDING:
            self._pending.clear()
            self._hub.end_watchers(f"more than {MOST_PENDING} resources changed and could not be told yet. Subscribe again, and read anew")

    async def _tell(self) -> bool:
        """Some of what is due. False: it can't be read now, and is told later."""
        due = dict(islice(self._pending.items(), MOST_AT_ONCE))
        for stream in due:
            del self._pending[stream]
        try:
            await _Telling(self._services, self._hub).tell(due)
        except (ViewsError, Unavailable) as error:
            log.info("Changes can't be read; they are told later", action="changes-wait", error=str(error))
            self._pending = {**due, **self._pending}
            return False
        except Exception:  # what can't be shown must not end the telling of all others
            log.exception("Changes could not be told", action="changes-broke", streams=list(due)[:10])
        return True


class _Telling:
    """Of some resources that changed: read together, each written once for all who see it alike."""

    def __init__(self, services: Services, hub: Hub) -> None:
        self._services, self._hub = services, hub
        self._written: dict[View, Documents] = {}

    async def tell(self, due: Mapping[str, _Changed]) -> None:
        told: list[tuple[Resource, str, dict[View, Json | None]]] = []
        for resource in await self._read(due):
            for change in names.CHANGES:
                if change == "state.change" and not due[resource.stream].moved:
                    continue
                for name in _names(change, resource):
                    views = {each.view for each in self._hub.listeners(name, names.ALL_PUBLISHED)}
                    if views:
                        told.append((resource, name, {view: self._data(change, resource, view) for view in views}))
        for documents in self._written.values():
            await documents.reveal(self._services.vault)
        for resource, name, seen in told:
            ident = api_id(resource.type, resource.id, self._services.catalogue)
            self._hub.tell(name, event(name, resourceType=resource.type, resourceId=ident), look=seen.get)

    async def _read(self, due: Mapping[str, _Changed]) -> list[Resource]:
        """As they are now, at least as new as the change."""
        await self._services.views.wait_for(max(each.position for each in due.values()), VIEWS_SECONDS)
        by_type: dict[str, list[int]] = {}
        for stream in due:
            type_name, number = split_stream(stream)
            by_type.setdefault(type_name, []).append(number)
        found: list[Resource] = []
        for type_name, numbers in by_type.items():
            root = self._services.catalogue.types.get(type_name)
            if root is not None and root.stored:
                found += await self._read_all(root, numbers, due)
        return found

    async def _read_all(self, root: ResourceType, numbers: list[int], due: Mapping[str, _Changed]) -> list[Resource]:
        rows = await self._services.views.get_many(root.name, numbers)
        found = []
        for number in numbers:
            seen = rows.get(number)
            if seen is None or seen.resource.position < due[f"{root.name}-{number}"].position:
                seen = await current(self._services, root, number)
            if seen is not None:
                found.append(seen.shown)
        return found

    def _data(self, change: str, resource: Resource, view: View) -> Json | None:
        root = self._services.catalogue.type(resource.type)
        if not view.caller.sees(root) or not view.caller.sees_row(root, resource):
            return None
        if change == "state.change":
            return {"accountId": resource.row.get("accountId"), "state": resource.row.get("state")}
        if view not in self._written:
            self._written[view] = Documents(self._services.catalogue, _request(view))
        return {"resource": self._written[view].resource(resource)}


def _names(change: str, resource: Resource) -> list[str]:
    """Told plain, and to its owner."""
    owner: Any = resource.get("accountId")
    return [change, *([f"{change};account={owner}"] if isinstance(owner, int) else [])]


def _request(view: View) -> ApiRequest:
    """As if it were asked for by who sees it."""
    return ApiRequest(
        method="GET", parts=(), params=[], items=[], is_list=False, base=view.base, url=view.base, client_ip="", caller=view.caller,
        plain_ids=view.plain_ids, key=None, correlation="", trace=None,
    )  # fmt: skip

"""Processes as Cattle's process instances and their executions: lists from the view of processes, one by its id from the log alone.

An instance's number is the position of the event that began it. Nested processes have rows of their own: `data` names the one that waits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from commands.catalogue.fields import date_text
from commands.catalogue.ids import number_of
from commands.catalogue.model import Link, ResourceType
from commands.catalogue.secrets import masked, secret_names
from commands.errors import NotFound, a
from commands.resource import Resource
from eventstore import Recorded
from gateway.documents import Documents, by_name
from gateway.listing import read_listing
from gateway.request import ApiRequest
from gateway.services import Services
from projections.executions import executions
from projections.process_list import NO_PRIORITY, OUTCOMES, ProcessQuery
from projections.processes import ProcessRow, evolve_process, pid_of
from projections.query import Filter

Json = dict[str, Any]

INSTANCE, EXECUTION = "processInstance", "processExecution"

MOST_LOGS = 100
"""Executions in a list: each is read from the log by itself."""


@dataclass(frozen=True, slots=True)
class ProcessInstances:
    """One request's reading."""

    services: Services
    request: ApiRequest

    async def read(self, type: ResourceType, rest: tuple[str, ...]) -> Json:
        """The answer to GET of the collection, of one by its id, or of its link."""
        if not rest:
            return await (self._list(type) if type.name == INSTANCE else self._executions(type))
        row, events = await self._found(type, rest[0])
        if len(rest) == 1:
            return self._documents.resource(self._instance(row) if type.name == INSTANCE else self._execution(row, events))
        link: Link | None = by_name(self._documents.links(type)).get(rest[1].lower())
        if link is None:
            raise NotFound(f"{a(type.name)} has no link {rest[1]}")
        if link.to == INSTANCE:
            return self._documents.resource(self._instance(row))
        return self._documents.collection(
            self.services.catalogue.type(EXECUTION), [self._documents.resource(self._execution(row, events))]
        )

    @property
    def _documents(self) -> Documents:
        return Documents(self.services.catalogue, self.request)

    async def _list(self, type: ResourceType) -> Json:
        listing = read_listing(type, self.request)
        rows: list[ProcessRow] = []
        if not listing.nothing:
            sort = listing.sort.name if listing.sort else None
            query = ProcessQuery(listing.filters, sort, listing.descending, listing.limit + 1, listing.offset)
            rows = await self.services.views.list_processes(query)
        return self._documents.collection(
            type,
            [self._documents.resource(self._instance(row)) for row in rows[: listing.limit]],
            pagination=listing.pagination(self.request, listing.limit, len(rows) > listing.limit),
            sort=listing.sort_document(self.request),
            filters=listing.shown,
        )

    async def _executions(self, type: ResourceType) -> Json:
        """Each process has one, of its number; what filters ask of an execution is asked of its process."""
        listing = read_listing(type, self.request)
        limit = min(listing.limit, MOST_LOGS)
        instances = self.services.catalogue.type(INSTANCE)
        number = instances.fields["id"]
        filters = [each if each.field.name == "uuid" else Filter(number, each.modifier, each.value) for each in listing.filters]
        rows: list[ProcessRow] = []
        if not listing.nothing:
            query = ProcessQuery(filters, None, listing.descending, limit + 1, listing.offset)
            rows = await self.services.views.list_processes(query)
        documents = [
            self._documents.resource(self._execution(row, await self.services.store.read(f"{row.type}-{row.id}", to_position=row.position)))
            for row in rows[:limit]
        ]
        pagination = replace(listing, limit=limit).pagination(self.request, limit, len(rows) > limit)
        return self._documents.collection(type, documents, pagination=pagination, filters=listing.shown)

    async def _found(self, type: ResourceType, text: str) -> tuple[ProcessRow, list[Recorded]]:
        """The process that an id names, and its stream's events from its first on: as new as the log, whatever the views do."""
        number = number_of(text, plain=self.request.plain_ids)
        first = next(iter(await self.services.store.read_all(number - 1, 1)), None) if number else None
        if first is not None and first.position == number and (pid := pid_of(first)) is not None:
            row: ProcessRow | None = None
            events = await self.services.store.read(first.stream, after=first.version - 1)
            for event in events:
                if pid_of(event) == pid:
                    row = evolve_process(row, event)
            if row is not None and row.number == number:
                return row, events
        raise NotFound(f"there is no {type.name} {text}: no process began with the event at that position")

    def _instance(self, row: ProcessRow) -> Resource:
        told = OUTCOMES[row.state]
        known = {
            "pid": row.pid, "state": row.state, "field": row.field, "parent": row.parent, "cause": row.cause,
            "correlation": row.correlation, "actor": row.actor, "error": row.error, "parked": row.parked,
        }  # fmt: skip
        columns = {
            "data": {name: value for name, value in known.items() if value is not None},
            "processName": row.process,
            "resourceType": row.type,
            "resourceId": str(row.id),
            "startTime": date_text(row.started_at),
            "endTime": date_text(row.ended_at) if row.ended_at else None,
            "phase": told.phase,
            "result": told.result,
            "exitReason": told.exit_reason,
            "priority": NO_PRIORITY,
        }
        return Resource(INSTANCE, row.number, row=columns)

    def _execution(self, row: ProcessRow, events: list[Recorded]) -> Resource:
        log = masked(executions(row.pid, events), secret_names(self.services.catalogue))
        return Resource(EXECUTION, row.number, row={"uuid": row.pid, "log": log, "processInstanceId": row.number})

"""GET: documents, lists, resources, links and history, from the views and the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from commands.catalogue.model import Link, ResourceType
from commands.catalogue.tasks import TASK
from commands.errors import NotFound, Refused, a
from commands.resource import Resource
from gateway.documents import Documents, by_name, hidden_from_lists
from gateway.errors import MethodNotAllowed
from gateway.history.past import PastRows
from gateway.history.sight import Sight
from gateway.history.why import why
from gateway.listing import Listing, read_listing
from gateway.request import ApiRequest
from gateway.resources import PresentRows, Rows, found
from gateway.responses import File
from gateway.schemas import schema, schemas
from gateway.secret_filters import matching, needs_opening
from gateway.services import Services
from gateway.ssh_keys import AUTHORIZED, PEM, authorized_keys, pem
from gateway.tasks import tasks
from projections.errors import TooSlow
from projections.query import Filter, Query
from projections.rows import Seen
from projections.selection import in_order

Json = dict[str, Any]

SUBSCRIBE = "subscribe"

MOST_INCLUDED_THEN = 20
"""Resources of a page of the past with include=: what each was linked to is looked for by itself."""

MOST_OPENED = 10_000
"""Resources whose secrets are opened for one list that is filtered by them: they have no index."""


class Reads:
    """One request's reading."""

    def __init__(self, services: Services, request: ApiRequest, past: PastRows | None = None) -> None:
        self._services, self._request, self._past = services, request, past
        self._catalogue = services.catalogue
        self._documents = Documents(services.catalogue, request, past.position if past else None)
        self._from: Rows = past or PresentRows(services, request.caller)
        self._show_removed = float(services.settings["api.show.removed.for.seconds"])
        self.position = 0
        """The newest position that was read from the log itself: the views may not be there yet."""

    async def reveal(self) -> None:
        """Opens the secrets that stand in what was read: its caller may read them."""
        await self._documents.reveal(self._services.vault)

    async def collection(self, type: ResourceType) -> Json | File:
        """GET /v1/containers"""
        self._allow(type, self._request.caller.methods(type).collection)
        if type.name == AUTHORIZED:
            return await authorized_keys(self._services)
        if type.name == "schema":
            return self._documents.collection(type, schemas(self._documents))
        if type.name == SUBSCRIBE:
            raise Refused("Method not allowed", "a GET of subscribe opens a WebSocket: without an upgrade, POST it", status=405)
        if not type.stored:
            raise MethodNotAllowed("GET", type.plural)
        listing = read_listing(type, self._request)
        rows: list[Seen] = []
        if not listing.nothing:
            root = self._catalogue.root_type(type.name)
            query = Query(
                root,
                kind=type.name if type.parent else None,
                filters=listing.filters,
                sort=listing.sort,
                descending=listing.descending,
                limit=listing.limit + 1,  # one more tells whether there is a next page
                offset=listing.offset,
                account=self._request.caller.scope,
                show_removed=self._show_removed,
            )
            rows = await self._rows(query)
        page = await self._written(type, rows[: listing.limit], listing)
        return self._documents.collection(
            type,
            page,
            pagination=listing.pagination(self._request, len(page), len(rows) > len(page)),
            sort=listing.sort_document(self._request),
            filters=listing.shown,
        )

    async def _rows(self, query: Query) -> list[Seen]:
        if query.root.name == TASK:
            return tasks(query)
        secret = [each for each in query.filters if needs_opening(each)]
        if self._past is not None:
            return await self._past_rows(self._past, query, secret)
        if not secret:
            return await self._services.views.rows(query)
        others = tuple(each for each in query.filters if each not in secret)
        rows = await self._services.views.rows(replace(query, filters=others, limit=MOST_OPENED + 1, offset=0))
        if len(rows) > MOST_OPENED:
            names = ", ".join(sorted({each.field.name for each in secret}))
            raise TooSlow(f"{names} is kept sealed, and over {MOST_OPENED:,} would have to be opened: filter by something else, too")
        end = None if query.limit is None else query.offset + query.limit
        return (await matching(rows, secret, self._services.vault))[query.offset : end]

    async def _past_rows(self, past: PastRows, query: Query, secret: list[Filter]) -> list[Seen]:
        if self._request.param("include") is not None and (query.limit or 0) > MOST_INCLUDED_THEN + 1:
            raise Refused("InvalidOption", f"a list of the past with include= takes limit={MOST_INCLUDED_THEN} at most", "limit")
        rows = await past.rows(replace(query, filters=tuple(each for each in query.filters if each not in secret)))
        if secret:
            rows = await matching(rows, secret, self._services.vault)
        return await past.page(query.root, in_order(rows, query.sort, descending=query.descending), query.offset, query.limit)

    async def resource(self, type: ResourceType, text: str) -> Json:
        """GET /v1/containers/1i5"""
        self._allow(type, self._request.caller.methods(type).resource)
        if type.name == "schema":
            return self._schema(text)
        if not type.stored:
            raise NotFound(f"no {type.name} is kept: there is none to be found by an id")
        resource = await self._found(type, text)
        included = await self._included(type, [resource])
        return self._documents.resource(resource, included[resource.id])

    async def link(self, type: ResourceType, text: str, name: str) -> Json | list[Json] | File:
        """GET /v1/containers/1i5/volumes"""
        if not type.stored:
            raise NotFound(f"{type.plural} have no links")
        resource = await self._found(type, text)
        if name.lower() == "history":
            return await self._history(resource)
        if name.lower() == "why":
            return await why(self._services.store, self._catalogue, self._request.caller, resource, self._to)
        own = self._documents.type_of(resource)
        if name.lower() == PEM:
            return await pem(self._services, self._request.caller, own, resource)
        link = by_name(self._documents.links(own)).get(name.lower())
        if link is None:
            raise NotFound(f"{a(own.name)} has no link {name}")
        if link.cardinality == "ref":
            return await self._one(resource, link)
        target = self._catalogue.type(link.to)
        rows = (await self._from.linked(link, [resource]))[resource.id]
        return await self._mapped(target, rows) if link.cardinality == "map" else self._many(resource, link, target, rows)

    @property
    def _to(self) -> int | None:
        """The position up to which the log counts; None: all of it."""
        return self._past.position if self._past is not None else None

    async def _found(self, type: ResourceType, text: str) -> Resource:
        resource = await found(self._services, self._request, type, text, self._from)
        self.position = max(self.position, resource.position)
        return resource

    # --- links ---

    async def _one(self, resource: Resource, link: Link) -> Json:
        """Through the target's list visibility: what lists no longer show is not there."""
        number = resource.get(link.via)
        root = self._catalogue.root_type(link.to)
        seen = await self._from.get(root, number) if isinstance(number, int) else None
        if seen is None or not self._request.caller.sees_row(root, seen.resource):
            raise NotFound(f"{resource.name} has no {link.name}")
        if hidden_from_lists(seen.resource, self._from.time, self._show_removed):
            raise NotFound(f"the {link.name} of {resource.name} is removed")
        return self._documents.resource(seen.shown)

    def _many(self, resource: Resource, link: Link, target: ResourceType, rows: Sequence[Seen]) -> Json:
        creatable = "POST" in self._request.caller.methods(target).collection
        defaults = {link.via: self._documents.id_of(resource.type, resource.id)} if creatable else None
        return self._documents.collection(target, [self._documents.resource(seen.shown) for seen in rows], create_defaults=defaults)

    async def _mapped(self, target: ResourceType, rows: list[Seen]) -> Json:
        """Paged, sorted and with includes, but without filters."""
        listing = read_listing(target, self._request)
        if listing.sort is not None:
            rows = in_order(rows, listing.sort, descending=listing.descending)
        page = await self._written(target, rows[listing.offset : listing.offset + listing.limit], listing)
        return self._documents.collection(
            target,
            page,
            pagination=listing.pagination(self._request, len(page), len(rows) > listing.offset + len(page)),
            sort=listing.sort_document(self._request),
        )

    async def _written(self, type: ResourceType, rows: Sequence[Seen], listing: Listing) -> list[Json]:
        resources = [seen.shown for seen in rows]
        included = await self._included(type, resources)
        resources = resources[: listing.fitting([included[resource.id] for resource in resources])]
        return [self._documents.resource(resource, included[resource.id]) for resource in resources]

    async def _included(self, type: ResourceType, resources: Sequence[Resource]) -> dict[int, Json]:
        """What include= asks for, in one query a link whatever the number of resources."""
        included: dict[int, Json] = {resource.id: {} for resource in resources}
        wanted = {name.lower() for name in self._request.all("include")}
        for link in self._documents.links(type) if wanted and resources else ():
            if link.name.lower() not in wanted:
                continue
            if link.cardinality == "ref":
                await self._include_one(link, resources, included)
                continue
            linked = await self._from.linked(link, resources)
            for number, rows in linked.items():
                included[number][link.name] = [self._documents.resource(seen.shown) for seen in rows]
        return included

    async def _include_one(self, link: Link, resources: Sequence[Resource], included: dict[int, Json]) -> None:
        root = self._catalogue.root_type(link.to)
        numbers = {resource.id: resource.get(link.via) for resource in resources}
        targets = await self._from.get_many(root, sorted({n for n in numbers.values() if isinstance(n, int)}))
        for resource in resources:
            seen = targets.get(numbers[resource.id] or 0)
            visible = seen is not None and self._request.caller.sees_row(root, seen.resource)
            included[resource.id][link.name] = self._documents.resource(seen.shown) if seen is not None and visible else None

    # --- others ---

    def _schema(self, name: str) -> Json:
        type = self._catalogue.by_path(name)
        if type is None or not self._request.caller.sees(type):
            raise NotFound(f"there is no type {name}")
        return schema(self._documents, type)

    async def _history(self, resource: Resource) -> list[Json]:
        """Every event of the resource's stream, oldest first (root=true: of all that share its root), as the caller may see it."""
        to = self._to
        if self._request.param("root") == "true":
            events = await self._services.store.read_root(resource.root or resource.stream, to)
        else:
            events = await self._services.store.read(resource.stream, to_position=to)
        return await Sight(self._services.store, self._catalogue, self._request.caller).documents(events)

    def _allow(self, type: ResourceType, methods: Sequence[str]) -> None:
        if "GET" not in methods:
            raise MethodNotAllowed("GET", type.plural)

"""Resources and collections as the JSON documents that Cattle's clients read."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from commands.catalogue.catalogue import Catalogue
from commands.catalogue.fields import parsed_date
from commands.catalogue.ids import api_id
from commands.catalogue.model import Action, Field, Link, ResourceType
from commands.catalogue.secrets import is_sealed, secrets_of
from commands.resource import Resource
from commands.secrets.passwords import HASHED
from commands.secrets.vault import PURGED, Vault
from gateway.access.caller import Caller
from gateway.joining.shown import gives_token, hide_keys, show_token
from gateway.request import ApiRequest
from gateway.ssh_keys import PEM, has_pem

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A secret that stands in `place[name]` as it is in the log."""

    place: Json
    name: str
    stream: str
    value: Json


@dataclass(frozen=True, slots=True)
class Documents:
    """Writes the documents of one answer: for its caller, under its base URL."""

    catalogue: Catalogue
    request: ApiRequest
    as_of: int | None = None
    """The position of the past that is shown: its links lead to that past, and there is nothing to be done in it."""
    _sealed: list[_Sealed] = field(default_factory=list)
    """Secrets in the documents written so far, for `reveal`."""
    _tokens: list[tuple[Json, Resource]] = field(default_factory=list)
    """The registration tokens among them, which are made of secrets."""

    @property
    def caller(self) -> Caller:
        return self.request.caller

    def id_of(self, type_name: str, number: int) -> str:
        return str(number) if self.request.plain_ids else api_id(type_name, number, self.catalogue)

    def type_of(self, resource: Resource) -> ResourceType:
        """The child type that the row's kind names, if the caller may see it, else the root type."""
        kind = self.catalogue.types.get(resource.kind)
        if kind is not None and kind.parent == resource.type and self.caller.sees(kind):
            return kind
        return self.catalogue.type(resource.type)

    def resource(self, resource: Resource, included: Mapping[str, Any] | None = None) -> Json:
        type = self.type_of(resource)
        number = self.id_of(resource.type, resource.id)
        self_link = self.request.link(type.plural, number)
        then = "" if self.as_of is None else f"?at={self.as_of}"
        document: Json = {
            "id": number,
            "type": type.name,
            "links": {name: link + then for name, link in {"self": self_link, **self._links(type, resource, self_link)}.items()},
            "actions": {name: f"{self_link}/?action={name.lower()}" for name in self.actions(type, resource)},
        }
        for each in type.fields.values():
            if each.name != "id" and not each.hidden and self.caller.reads(type, each):
                self._show(document, each, resource)
        hide_keys(document, resource, self.request)  # before its secrets are noted, to be opened in their places
        if secrets_of(self.catalogue, resource.type):
            self._hide(document, resource)
            if isinstance(data := document.get("data"), dict):
                document["data"] = data = dict(data)
                self._hide(data, resource)
                if isinstance(fields := data.get("fields"), dict):
                    data["fields"] = fields = dict(fields)
                    self._hide(fields, resource)
        if gives_token(resource):
            self._tokens.append((document, resource))
        under_way = transitioning(self.catalogue, resource) if "transitioning" in type.fields else {}
        document.update({name: value for name, value in under_way.items() if self.caller.reads(type, type.fields[name])})
        document.update(included or {})
        return document

    async def reveal(self, vault: Vault) -> None:
        """Opens the secrets that stand in the documents written so far: what is there, its caller may read."""
        sealed = list(self._sealed)
        self._sealed.clear()
        opened = await vault.values([(each.stream, each.name, each.value) for each in sealed])
        for each, value in zip(sealed, opened, strict=True):
            each.place[each.name] = value
        tokens = list(self._tokens)
        self._tokens.clear()
        for (document, _), row in zip(tokens, await vault.opened_all([each for _, each in tokens]), strict=True):
            # By this machine's clock: the hour in which a token begins to last a year need not be the log's.
            show_token(document, self.request, row.row.get("publicValue"), row.row.get("secretValue"), int(time.time() * 1000))

    def actions(self, type: ResourceType, resource: Resource) -> list[str]:
        """The actions offered to the caller now."""
        if self.as_of is not None or not self.caller.acts(type):
            return []
        if not self.caller.acts_on(self.catalogue.root_type(type.name), resource):
            return []
        return [action.name for action in type.actions.values() if offered(self.catalogue, type, action, resource)]

    def links(self, type: ResourceType) -> list[Link]:
        """The links of a type that the caller may follow."""
        return [link for link in type.links.values() if self.caller.sees_link(type, link, self.catalogue.type(link.to))]

    def collection(
        self,
        type: ResourceType,
        data: list[Json],
        *,
        pagination: Json | None = None,
        sort: Json | None = None,
        filters: Mapping[str, Any] | None = None,
        create_defaults: Json | None = None,
    ) -> Json:
        sortable = self.caller.filters(type)
        return {
            "type": "collection",
            "resourceType": type.name,
            "links": {"self": self.request.url},
            "createTypes": self._create_types(type) if self.as_of is None else {},
            "actions": {},
            "data": data,
            "sortLinks": {name: self.request.with_params(sort=name, order=None, marker=None) for name in sortable},
            "pagination": pagination,
            "sort": sort,
            "filters": {name: (filters or {}).get(name) for name in sortable},
            "createDefaults": (create_defaults or {}) if self.as_of is None else {},
        }

    def _links(self, type: ResourceType, resource: Resource, self_link: str) -> dict[str, str]:
        return {
            link.name: f"{self_link}/{link.name.lower()}"
            for link in self.links(type)
            if link.cardinality != "ref" or resource.get(link.via) is not None
        } | ({PEM: f"{self_link}/{PEM}"} if has_pem(self.caller, type, resource) else {})

    def _create_types(self, type: ResourceType) -> dict[str, str]:
        children = (self.catalogue.types.get(name) for name in type.children)
        return {
            child.name: self.request.link(child.plural) for child in children if child and "POST" in self.caller.methods(child).collection
        }

    def _hide(self, place: Json, resource: Resource) -> None:
        """Notes what is sealed in a document, or in a map of it; what is purged has no secrets any more, and a hash is nobody's to read."""
        for name, value in place.items():
            if is_sealed(value):
                if resource.state == PURGED or resource.kind in HASHED:
                    place[name] = None
                else:
                    self._sealed.append(_Sealed(place, name, resource.stream, value))

    def _show(self, document: Json, field: Field, resource: Resource) -> None:
        stored = resource.row if field.store == "col" else resource.fields
        value = stored.get(field.name)
        if field.type == "date":
            when = _date(value)
            # strftime would write a year before 1000 with three digits
            document[field.name] = when and when.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
            document[f"{field.name}TS"] = when and int(when.timestamp() * 1000)
        elif field.reference:
            document[field.name] = self._referred(field.reference, value)
        else:
            document[field.name] = value

    def _referred(self, type_name: str, value: Any) -> Any:
        match value:
            case list():
                return [self._referred(type_name, each) for each in value]
            case dict():
                return {key: self._referred(type_name, each) for key, each in value.items()}
            case int():
                return self.id_of(type_name, value)
        return value


def transitioning(catalogue: Catalogue, resource: Resource) -> Json:
    """yes in the via states of a process, error after a failed one, else no."""
    stored = resource.fields.get("transitioningMessage")
    if catalogue.transitioning(resource.type, resource.state):
        bracket = resource.open.get("state")
        progress = bracket.progress if bracket else None
        told = (bracket.parked if bracket else None) or (progress.message if progress else None)
        return _transitioning("yes", told or stored or "In Progress", progress.percent if progress else None)
    if resource.fields.get("transitioning") == "error":
        return _transitioning("error", stored, None)
    return _transitioning("no", None, None)


WITHOUT_PROCESS = ("acquire", "console", "execute")
"""Actions that change nothing of their resource: they make another (an address, a task's execution), or tell (where a screen is)."""


def offered(catalogue: Catalogue, type: ResourceType, action: Action, resource: Resource) -> bool:
    """Whether the action's process accepts the row's state: a start or a transitioning state of it."""
    if action.capability and action.capability not in (resource.fields.get("capabilities") or ()):
        return False
    if action.state is not None and resource.state != action.state:
        return False
    if action.name in WITHOUT_PROCESS:
        return True
    process = catalogue.process_of(type.name, action.name)
    return process is not None and process.field == "state" and (resource.state in process.start or resource.state in process.vias)


def hidden_from_lists(resource: Resource, now: datetime, show_removed: float) -> bool:
    """Removed too long ago, or about to be purged."""
    removed, remove_time = _date(resource.row.get("removed")), _date(resource.row.get("removeTime"))
    if remove_time is not None and remove_time <= now:
        return True
    return removed is not None and (now - removed).total_seconds() > show_removed


def by_name(links: Iterable[Link]) -> dict[str, Link]:
    return {link.name.lower(): link for link in links}


def _transitioning(value: str, message: Any, progress: Any) -> Json:
    return {"transitioning": value, "transitioningMessage": message, "transitioningProgress": progress}


def _date(value: Any) -> datetime | None:
    try:
        return parsed_date(value) if isinstance(value, str) else None
    except ValueError:
        return None

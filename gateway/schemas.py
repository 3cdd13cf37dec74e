"""The schemas and version documents: what the catalogue is for one caller. Clients build all their methods from them."""

from __future__ import annotations

from typing import Any

from commands.catalogue.model import Action, Field, ResourceType
from gateway.documents import Documents
from gateway.request import ApiRequest

Json = dict[str, Any]


def schemas(documents: Documents) -> list[Json]:
    return [schema(documents, type) for type in visible_types(documents)]


def visible_types(documents: Documents) -> list[ResourceType]:
    return sorted((t for t in documents.catalogue.types.values() if documents.caller.sees(t)), key=lambda type: type.name)


def schema(documents: Documents, type: ResourceType) -> Json:
    request, caller = documents.request, documents.caller
    methods = caller.methods(type)
    links = {"self": request.link("schemas", type.name)}
    if methods.collection:
        links["collection"] = request.link(type.plural)
    filters = caller.filters(type) if "GET" in methods.collection else {}
    children = (documents.catalogue.types.get(child) for child in type.children)
    return {
        "id": type.name,
        "type": "schema",
        "links": links,
        "actions": {},
        "pluralName": type.plural,
        "parent": type.parent if type.parent and caller.sees(documents.catalogue.type(type.parent)) else None,
        "children": [child.name for child in children if child and caller.sees(child)],
        "resourceMethods": list(methods.resource),
        "collectionMethods": list(methods.collection),
        "resourceFields": {
            field.name: _field(field, letters) for field in type.fields.values() if (letters := caller.letters(type, field))
        },
        "resourceActions": {action.name: _action(action) for action in type.actions.values()} if caller.acts(type) else {},
        "collectionActions": {},
        "collectionFields": {},
        "collectionFilters": {name: {"modifiers": list(modifiers)} for name, modifiers in filters.items()},
        "includeableLinks": [link.name for link in documents.links(type)],
    }


def version(documents: Documents) -> Json:
    request = documents.request
    links = {"self": request.link(), "schemas": request.link("schemas")}
    for type in visible_types(documents):
        if "GET" in documents.caller.methods(type).collection:
            links[type.plural] = request.link(type.plural)
    return {"id": "v1", "type": "apiVersion", "links": links, "actions": {}}


def versions(documents: Documents) -> Json:
    request: ApiRequest = documents.request
    return {
        "type": "collection",
        "resourceType": "apiVersion",
        "links": {"self": request.url, "latest": request.link()},
        "createTypes": {},
        "actions": {},
        "data": [version(documents)],
        "sortLinks": {},
        "pagination": None,
        "sort": None,
        "filters": {},
        "createDefaults": {},
    }


def _field(field: Field, letters: str) -> Json:
    return {
        "type": field.type,
        "nullable": field.nullable,
        "create": "c" in letters,
        "update": "u" in letters,
        "required": field.required,
        "unique": field.unique,
        "default": field.default,
        "options": list(field.options) or None,
        "min": field.min,
        "max": field.max,
        "minLength": field.min_length,
        "maxLength": field.max_length,
        "validChars": field.valid_chars,
        "invalidChars": None,
        "includeInList": True,
        "attributes": {},
    }


def _action(action: Action) -> Json:
    attributes = {name: value for name, value in (("capability", action.capability), ("state", action.state)) if value is not None}
    return {"input": action.input, "output": action.output, "attributes": attributes}

"""GET /v1/openapi.json: the API as an OpenAPI 3.1 document, made from the catalogue for its caller, as the schemas are.

A type has the same few paths as every other; an action is a POST on the resource that says which by a parameter. A list's filters are one
parameter, an object whose members each stand in the query by themselves (form, exploded).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from commands.catalogue.model import Field, ResourceType
from commands.setting_rows import SETTING
from gateway.documents import WITHOUT_PROCESS, Documents
from gateway.errors import CODES
from gateway.listing import LIMIT, MOST
from gateway.schemas import visible_types
from gateway.settings import ACTIVE_SETTING
from gateway.writes import INTERVENTIONS

Json = dict[str, Any]

OPENAPI = "openapi.json"

JSON = "application/json"

TEXT: Json = {"type": ["string", "null"]}
LINKS: Json = {"type": "object", "additionalProperties": {"type": "string"}}
SIMPLE: Mapping[str, Json] = {
    "int": {"type": "integer"}, "boolean": {"type": "boolean"}, "json": {}, "date": {"type": "string", "format": "date-time"},
}  # fmt: skip
"""A field's type as JSON has it. What is not here is text."""

HEADERS: Mapping[str, str] = {
    "X-API-Schemas": "Where the schemas are, which clients build their methods from",
    "X-Corral-Position": "How far in the log the answer is: give it as min_position to read what it did",
    "X-Correlation-Id": "What the request is known by in the log",
}

WRITING = tuple(sorted({status for status, _ in CODES.values()} - {501}))
READING = tuple(status for status in WRITING if status not in (409, 413))
"""The errors that any write, any read can be answered with. (501 is said of pictures alone, which are no documents.)"""


def openapi(documents: Documents, version: str) -> Json:
    types = [type for type in visible_types(documents) if type.stored or type.name == ACTIVE_SETTING]
    described = _described(documents, types)
    paths: Json = {"/v1": {"get": _told("The types that can be listed", {"$ref": "#/components/schemas/apiVersion"})}}
    paths["/v1/schemas"] = {"get": _told("The schemas of all types", _collection({"$ref": "#/components/schemas/schema"}))}
    paths["/v1/schemas/{id}"] = {
        "parameters": [_path("id", "A type's name or plural")],
        "get": _told("A type's schema", {"$ref": "#/components/schemas/schema"}),
    }
    for type in types:
        paths |= _paths(documents, type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Corral", "version": version, "description": "Cattle's API. Types and links are found in any letter case."},
        "servers": [{"url": documents.request.base}],
        "security": [{"key": []}, {}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "basic", "description": "Access key and secret key"}},
            "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS.items()},
            "parameters": _parameters(),
            "responses": {str(status): _refusal(status) for status in WRITING},
            "schemas": _own_schemas()
            | _families(documents, described)
            | {name: each for type in described for name, each in _schemas(documents, type)},
        },
    }


# --- paths ---


def _paths(documents: Documents, type: ResourceType) -> Json:
    methods, link = documents.caller.methods(type), _link_of(type)
    all_of: Json = {}
    one: Json = {}
    if "GET" in methods.collection:
        all_of["get"] = _told(f"List {type.plural}", _collection(_listed(documents, type)), parameters=_listing(documents, type))
    if "POST" in methods.collection:
        body = {"oneOf": [_named(f"{type.name}.create"), {"type": "array", "items": _named(f"{type.name}.create"), "minItems": 1}]}
        shown = {"anyOf": [_shown(documents, type), _collection(_shown(documents, type))]}
        all_of["post"] = _done(f"Create a {type.name}, or several: an array, or one with a count", 201, shown, body)
    if "GET" in methods.resource:
        include = [parameter for parameter in _listing(documents, type) if parameter.get("name") == "include"]
        one["get"] = _told(f"A {type.name}", _shown(documents, type), parameters=include)
    if "PUT" in methods.resource:
        one["put"] = _done(f"Change a {type.name}", 200, _shown(documents, type), _named(f"{type.name}.update"))
    if "DELETE" in methods.resource:
        one["delete"] = _done(f"Remove a {type.name}", 200, _shown(documents, type))
    if type.actions and documents.caller.acts(type):
        one["post"] = _acting(documents, type)
    paths = {link: all_of} if all_of else {}
    if one:
        identity = [_path("id", f"The id of a {type.name}, such as {type.prefix}5")]
        paths[f"{link}/{{id}}"] = {"parameters": identity, **one}
        paths |= {f"{link}/{{id}}/{name}": {"parameters": identity, **each} for name, each in _links(documents, type)}
        if documents.caller.acts(type) and methods.resource != ("GET",):
            for name in INTERVENTIONS:
                done = _done(f"{name} of what is under way of a {type.name}, in any state", 202, _shown(documents, type), REASON)
                paths[f"{link}/{{id}}/{name}"] = {"parameters": identity, "post": done}
    return paths


REASON: Json = {"type": "object", "properties": {"reason": {"type": "string"}}}


def _acting(documents: Documents, type: ResourceType) -> Json:
    inputs = sorted({action.input for action in type.actions.values() if action.input})
    bodies = [_named(f"{name}.create") for name in inputs]
    made = (action.output for action in type.actions.values() if action.name in WITHOUT_PROCESS)
    makes = [documents.catalogue.type(name) for name in made if name]
    shown = {"anyOf": [_shown(documents, each) for each in (type, *makes)]}
    names = {"name": "action", "in": "query", "required": True, "schema": {"type": "string", "enum": sorted(type.actions)}}
    done = _done(f"Run an action of a {type.name}: one of those that it offers now", 202, shown, {"anyOf": [*bodies, {"type": "object"}]})
    done["parameters"] = [names, *done["parameters"]]
    if makes:
        done["responses"]["200"] = done["responses"]["202"]
    return done


def _links(documents: Documents, type: ResourceType) -> Iterable[tuple[str, Json]]:
    for link in documents.links(type):
        target = documents.catalogue.type(link.to)
        shown = _shown(documents, target)
        if link.cardinality == "ref":
            yield link.name.lower(), {"get": _told(f"The {link.name} of a {type.name}", shown)}
            continue
        paged = _listing(documents, target, filtered=False) if link.cardinality == "map" else []
        path = {"get": _told(f"The {link.name} of a {type.name}", _collection(shown), parameters=paged)}
        if link.cardinality == "many" and target.stored and "POST" in documents.caller.methods(target).collection:
            path["post"] = _done(f"Create a {target.name} of a {type.name}", 201, shown, _named(f"{target.name}.create"))
        yield link.name.lower(), path


def _listing(documents: Documents, type: ResourceType, *, filtered: bool = True) -> list[Json]:
    filters = documents.caller.filters(type)
    members = {
        name if modifier == "eq" else f"{name}_{modifier}": {"type": "string"}
        for name, modifiers in filters.items()
        for modifier in modifiers
    }
    found: list[Json] = [{"$ref": "#/components/parameters/limit"}, {"$ref": "#/components/parameters/marker"}]
    found.append({"$ref": "#/components/parameters/min_position"})
    if filters:
        found.append(_query("sort", {"type": "string", "enum": sorted(filters)}))
        found.append({"$ref": "#/components/parameters/order"})
    if links := sorted(link.name for link in documents.links(type)):
        found.append(_query("include", {"type": "array", "items": {"type": "string", "enum": links}}))
    if filters and filtered:
        schema = {"type": "object", "properties": members, "additionalProperties": False}
        found.append({"name": "filters", "in": "query", "style": "form", "explode": True, "schema": schema})
    return found


def _parameters() -> Json:
    limit = {"type": "integer", "minimum": 1, "maximum": MOST, "default": LIMIT}
    position = _query("min_position", {"type": "integer", "minimum": 0, "maximum": 10**18 - 1})
    position["description"] = "The answer comes from views that hold at least this position of the log"
    key = {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"}}
    return {
        "limit": _query("limit", limit),
        "marker": _query("marker", {"type": "string"}) | {"description": "Where a page begins, as the pagination.next before it says"},
        "order": _query("order", {"type": "string", "enum": ["asc", "desc"]}),
        "min_position": position,
        "idempotency": key | {"description": "A request that comes again with the same key is carried out once"},
    }


# --- operations and answers ---


def _told(summary: str, schema: Json, *, parameters: list[Json] | None = None) -> Json:
    return {"summary": summary, "parameters": parameters or [], "responses": {"200": _answer(schema), **_refusals(READING)}}


def _done(summary: str, status: int, schema: Json, body: Json | None = None) -> Json:
    """A body may as well come as a form."""
    operation: Json = {
        "summary": summary,
        "parameters": [{"$ref": "#/components/parameters/idempotency"}],
        "responses": {str(status): _answer(schema), **_refusals(WRITING)},
    }
    if body is not None:
        operation["requestBody"] = {"content": {JSON: {"schema": body}}}
    return operation


def _answer(schema: Json) -> Json:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS}
    return {"description": "Done", "headers": headers, "content": {JSON: {"schema": schema}}}


def _refusals(statuses: Iterable[int]) -> Json:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _refusal(status: int) -> Json:
    codes = {code: when for code, (its, when) in CODES.items() if its == status}
    code = {"properties": {"status": {"const": status}, "code": {"enum": sorted(codes)}}}
    return {
        "description": "; ".join(f"{code}: {when}" for code, when in codes.items()),
        "content": {JSON: {"schema": {"allOf": [_named("error"), code]}}},
    }


# --- schemas ---


def _described(documents: Documents, types: Iterable[ResourceType]) -> list[ResourceType]:
    """With the inputs of their actions."""
    named = {type.name: type for type in types}
    for type in list(named.values()):
        for name in (each for action in type.actions.values() for each in (action.input, action.output) if each):
            named.setdefault(name, documents.catalogue.type(name))
        for link in documents.links(type):
            named.setdefault(link.to, documents.catalogue.type(link.to))
    return sorted(named.values(), key=lambda type: type.name)


def _schemas(documents: Documents, type: ResourceType) -> Iterable[tuple[str, Json]]:
    letters = {field.name: documents.caller.letters(type, field) for field in type.fields.values()}
    shown: Json = {}
    for field in type.fields.values():
        if field.name != "id" and not field.hidden and "r" in letters[field.name]:
            shown[field.name] = _nullable(_json_type(field.type))
            if field.type == "date":
                shown[f"{field.name}TS"] = {"type": ["integer", "null"]}
    yield type.name, {"allOf": [_named("resource"), {"properties": {"type": {"const": type.name}, **shown}}]}
    for letter, purpose in (("c", "create"), ("u", "update")):
        given = [field for field in type.fields.values() if letter in letters[field.name] and (letter == "c" or field.name != "id")]
        schema: Json = {"type": "object", "properties": {field.name: _given(field) for field in given}}
        if letter == "c" and (required := [field.name for field in given if field.required]):
            schema["required"] = required
        yield f"{type.name}.{purpose}", schema


def _given(field: Field) -> Json:
    """What a field accepts; the server reads numbers, truth values and dates in text, too."""
    schema = dict(_json_type(field.type))
    limits = {
        "minimum": field.min, "maximum": field.max, "enum": list(field.options) or None,
        **({"minLength": field.min_length, "maxLength": field.max_length} if schema.get("type") == "string" else {}),
    }  # fmt: skip
    schema |= {name: limit for name, limit in limits.items() if limit is not None}
    if field.default is not None:
        schema["default"] = field.default
    return _nullable(schema) if field.nullable else schema


def _json_type(type: str) -> Json:
    kind, _, inner = type.partition("[")
    if kind == "array":
        return {"type": "array", "items": _json_type(inner[:-1])}
    if kind == "map":
        return {"type": "object", "additionalProperties": _json_type(inner[:-1])}
    return SIMPLE.get(kind, {"type": "string"})


def _nullable(schema: Json) -> Json:
    if not schema:
        return schema
    found = schema | {"type": [schema["type"], "null"]}
    return found | {"enum": [*schema["enum"], None]} if "enum" in schema else found


def _shown(documents: Documents, type: ResourceType) -> Json:
    """A document of the type, by its id: a row comes as what its kind says, whichever of its family's paths leads to it."""
    root = documents.catalogue.root_type(type.name)
    if root.name == SETTING:
        return {"anyOf": [_named(SETTING), _named(ACTIVE_SETTING)]}
    return _named(f"{root.name}.any") if root.children else _named(type.name)


def _listed(documents: Documents, type: ResourceType) -> Json:
    """Of a child type, a list has those of its kind alone."""
    return _named(type.name) if type.parent else _shown(documents, type)


def _families(documents: Documents, types: Iterable[ResourceType]) -> Json:
    roots = {root.name: root for type in types if (root := documents.catalogue.root_type(type.name)).children}
    return {
        f"{name}.any": {"anyOf": [_named(each) for each in (name, *root.children) if documents.caller.sees(documents.catalogue.type(each))]}
        for name, root in roots.items()
    }


def _collection(item: Json) -> Json:
    return {"allOf": [_named("collection"), {"properties": {"data": {"items": item}}}]}


def _own_schemas() -> Json:
    resource = {"id": {"type": "string"}, "type": {"type": "string"}, "links": LINKS, "actions": LINKS}
    page = {"limit": {"type": "integer"}, "partial": {"type": "boolean"}, "next": TEXT}
    collection = {
        "type": {"const": "collection"}, "resourceType": {"type": "string"}, "links": LINKS, "actions": LINKS, "createTypes": LINKS,
        "sortLinks": LINKS, "createDefaults": {"type": "object"}, "filters": {"type": "object"}, "sort": {"type": ["object", "null"]},
        "pagination": {"type": ["object", "null"], "properties": page},
        "data": {"type": "array", "items": {"type": "object"}},
    }  # fmt: skip
    error = {
        "type": {"const": "error"}, "status": {"type": "integer"}, "code": {"type": "string"}, "message": TEXT, "detail": TEXT,
        "fieldName": {"type": "string"}, "links": LINKS, "actions": LINKS, "id": {"type": "string"},
    }  # fmt: skip
    lists = {name: {"type": "array", "items": {"type": "string"}} for name in ("collectionMethods", "resourceMethods", "includeableLinks")}
    maps: Json = {name: {"type": "object"} for name in ("resourceFields", "resourceActions", "collectionFilters")}
    return {
        "resource": {"type": "object", "required": list(resource), "properties": resource},
        "collection": {"type": "object", "required": list(collection), "properties": collection},
        "error": {"type": "object", "required": ["id", "type", "status", "code", "message", "detail"], "properties": error},
        "apiVersion": {"allOf": [_named("resource"), {"properties": {"type": {"const": "apiVersion"}}}]},
        "schema": {"allOf": [_named("resource"), {"properties": {"type": {"const": "schema"}, **lists, **maps}}]},
    }


def _named(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _query(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "schema": schema}


def _path(name: str, description: str) -> Json:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string"}}


def _link_of(type: ResourceType) -> str:
    return f"/v1/{type.plural.lower()}"

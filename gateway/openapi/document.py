"""GET /v1/openapi.json: the API as an OpenAPI 3.1 document, made from the catalogue for its caller, as the schemas are.

A type has the same few paths as every other; an action is a POST on the resource that says which by a parameter. A list's filters are one
parameter, an object whose members each stand in the query by themselves (form, exploded). What has paths of its own:
gateway.openapi.besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from commands import events
from commands.catalogue.model import Field, ResourceType
from commands.errors import a
from commands.settings.setting_rows import SETTING
from gateway import machine_verbs
from gateway.documents import WITHOUT_PROCESS, Documents
from gateway.errors import CODES
from gateway.inside.door import DEFINITIONS, INSIDE
from gateway.listing import LIMIT, MOST
from gateway.openapi.besides import besides
from gateway.openapi.operations import (
    HEADERS,
    Json,
    collection,
    done,
    in_path,
    in_query,
    named,
    parameter,
    refusal,
    shared_parameters,
    told,
)  # fmt: skip
from gateway.schemas import visible_types
from gateway.settings import ACTIVE_SETTING
from gateway.writes import interventions

OPENAPI = "openapi.json"

TEXT: Json = {"type": ["string", "null"]}
LINKS: Json = {"type": "object", "additionalProperties": {"type": "string"}}
SIMPLE: Mapping[str, Json] = {
    "int": {"type": "integer"}, "boolean": {"type": "boolean"}, "json": {}, "date": {"type": "string", "format": "date-time"},
}  # fmt: skip
"""A field's type as JSON has it. What is not here is a document, where a type is called so, or text."""

COMPUTED = DEFINITIONS | {ACTIVE_SETTING}
"""Types that are not kept, and have documents and lists like others."""

PRESENT_ALONE = INSIDE | {SETTING, ACTIVE_SETTING}
"""Types of which there is no past to be asked for."""


def openapi(documents: Documents, version: str) -> Json:
    types = [type for type in visible_types(documents) if type.stored or type.name in COMPUTED]
    described = _described(documents, types)
    paths: Json = {"/v1": {"get": told("The types that can be listed", named("apiVersion"))}}
    paths["/v1/schemas"] = {"get": told("The schemas of all types", collection(named("schema")))}
    paths["/v1/schemas/{id}"] = {
        "parameters": [in_path("id", "A type's name or plural")],
        "get": told("A type's schema", named("schema")),
    }
    for type in types:
        paths |= _paths(documents, type)
    paths |= besides(documents)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Corral", "version": version, "description": "Cattle's API. Types and links are found in any letter case."},
        "servers": [{"url": documents.request.base}],
        "security": [{"key": []}, {}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "basic", "description": "Access key and secret key"}},
            "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS.items()},
            "parameters": shared_parameters(LIMIT, MOST),
            "responses": {str(status): refusal(status) for status in sorted({status for status, _ in CODES.values()})},
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
        asked = [*_listing(documents, type), *_then(type)]
        all_of["get"] = told(f"List {type.plural}", collection(_listed(documents, type)), parameters=asked)
    if "POST" in methods.collection:
        body = {"oneOf": [named(f"{type.name}.create"), {"type": "array", "items": named(f"{type.name}.create"), "minItems": 1}]}
        shown = {"anyOf": [_shown(documents, type), collection(_shown(documents, type))]}
        all_of["post"] = done(f"Create {a(type.name)}, or several: an array, or one with a count", 201, shown, body)
    if "GET" in methods.resource:
        include = [each for each in _listing(documents, type) if each.get("name") == "include"]
        one["get"] = told(f"A {type.name}", _shown(documents, type), parameters=[*include, *_then(type)])
    if "PUT" in methods.resource:
        one["put"] = done(f"Change {a(type.name)}", 200, _shown(documents, type), named(f"{type.name}.update"))
    if "DELETE" in methods.resource:
        one["delete"] = done(f"Remove {a(type.name)}", 200, _shown(documents, type))
    if type.actions and documents.caller.acts(type):
        one["post"] = _acting(documents, type)
    paths = {link: all_of} if all_of else {}
    if one:
        identity = [in_path("id", f"The id of {a(type.name)}, such as {type.prefix}5")]
        paths[f"{link}/{{id}}"] = {"parameters": identity, **one}
        paths |= {f"{link}/{{id}}/{name}": {"parameters": identity, **each} for name, each in _links(documents, type)}
        if "get" in one and type.name not in PRESENT_ALONE:
            for name, summary, schema, parameters in PAST:
                paths[f"{link}/{{id}}/{name}"] = {
                    "parameters": identity, "get": told(f"{summary} {a(type.name)}", schema, parameters=[*parameters, parameter("at")]),
                }  # fmt: skip
        if documents.caller.acts(type) and methods.resource != ("GET",):
            for name in interventions(type):
                begun = done(f"{name} of what is under way of {a(type.name)}, in any state", 202, _shown(documents, type), REASON)
                paths[f"{link}/{{id}}/{name}"] = {"parameters": identity, "post": begun}
            for name, asked_for in machine_verbs.VERBS.items() if type.name == machine_verbs.TYPE else ():
                begun = done(f"{name} of {a(type.name)}", 202, _shown(documents, type), asked_for.model_json_schema())
                paths[f"{link}/{{id}}/{name}"] = {"parameters": identity, "post": begun}
    return paths


PAST: tuple[tuple[str, str, Json, list[Json]], ...] = (
    (
        "history", "Every event of", {"type": "array", "items": named("event")},
        [in_query("root", {"type": "boolean"}, "Those of all that shares its root, too")],
    ),
    ("why", "The chain of causes of the state of", named("why"), []),
)  # fmt: skip
"""Of everything that has events: path, what it tells, in what form, by which parameters."""

REASON: Json = {"type": "object", "properties": {"reason": {"type": "string"}}}


def _acting(documents: Documents, type: ResourceType) -> Json:
    inputs = sorted({action.input for action in type.actions.values() if action.input})
    bodies = [named(f"{name}.create") for name in inputs]
    made = (action.output for action in type.actions.values() if action.name in WITHOUT_PROCESS)
    makes = [documents.catalogue.type(name) for name in made if name]
    shown = {"anyOf": [_shown(documents, each) for each in (type, *makes)]}
    names = {"name": "action", "in": "query", "required": True, "schema": {"type": "string", "enum": sorted(type.actions)}}
    begun = done(f"Run an action of {a(type.name)}: one of those that it offers now", 202, shown, {"anyOf": [*bodies, {"type": "object"}]})
    begun["parameters"] = [names, *begun["parameters"]]
    if makes:
        begun["responses"]["200"] = begun["responses"]["202"]
    return begun


def _links(documents: Documents, type: ResourceType) -> Iterable[tuple[str, Json]]:
    for link in documents.links(type):
        target = documents.catalogue.type(link.to)
        shown = _shown(documents, target)
        if link.cardinality == "ref":
            yield link.name.lower(), {"get": told(f"The {link.name} of {a(type.name)}", shown, parameters=_then(type))}
            continue
        paged = _listing(documents, target, filtered=False) if link.cardinality == "map" else []
        path = {"get": told(f"The {link.name} of {a(type.name)}", collection(shown), parameters=[*paged, *_then(type)])}
        if link.cardinality == "many" and target.stored and "POST" in documents.caller.methods(target).collection:
            path["post"] = done(f"Create {a(target.name)} of {a(type.name)}", 201, shown, named(f"{target.name}.create"))
        yield link.name.lower(), path


def _then(type: ResourceType) -> list[Json]:
    return [] if type.name in PRESENT_ALONE else [parameter("at")]


def _listing(documents: Documents, type: ResourceType, *, filtered: bool = True) -> list[Json]:
    if type.name in COMPUTED:
        return []
    filters = documents.caller.filters(type)
    members = {
        name if modifier == "eq" else f"{name}_{modifier}": {"type": "string"}
        for name, modifiers in filters.items()
        for modifier in modifiers
    }
    found: list[Json] = [parameter("limit"), parameter("marker")]
    found.append(parameter("min_position"))
    if filters:
        found.append(in_query("sort", {"type": "string", "enum": sorted(filters)}))
        found.append(parameter("order"))
    if links := sorted(link.name for link in documents.links(type)):
        found.append(in_query("include", {"type": "array", "items": {"type": "string", "enum": links}}))
    if filters and filtered:
        schema = {"type": "object", "properties": members, "additionalProperties": False}
        found.append({"name": "filters", "in": "query", "style": "form", "explode": True, "schema": schema})
    return found


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
            shown[field.name] = _nullable(_json_type(documents, field.type))
            if field.type == "date":
                shown[f"{field.name}TS"] = {"type": ["integer", "null"]}
    yield type.name, {"allOf": [named("resource"), {"properties": {"type": {"const": type.name}, **shown}}]}
    for letter, purpose in (("c", "create"), ("u", "update")):
        given = [field for field in type.fields.values() if letter in letters[field.name] and (letter == "c" or field.name != "id")]
        schema: Json = {"type": "object", "properties": {field.name: _given(documents, field) for field in given}}
        if letter == "c" and (required := [field.name for field in given if field.required]):
            schema["required"] = required
        yield f"{type.name}.{purpose}", schema


def _given(documents: Documents, field: Field) -> Json:
    """What a field accepts; the server reads numbers, truth values and dates in text, too."""
    schema = dict(_json_type(documents, field.type))
    limits = {
        "minimum": field.min, "maximum": field.max, "enum": list(field.options) or None,
        **({"minLength": field.min_length, "maxLength": field.max_length} if schema.get("type") == "string" else {}),
    }  # fmt: skip
    schema |= {name: limit for name, limit in limits.items() if limit is not None}
    if field.default is not None:
        schema["default"] = field.default
    return _nullable(schema) if field.nullable else schema


def _json_type(documents: Documents, type: str) -> Json:
    kind, _, inner = type.partition("[")
    if kind == "array":
        return {"type": "array", "items": _json_type(documents, inner[:-1])}
    if kind == "map":
        return {"type": "object", "additionalProperties": _json_type(documents, inner[:-1])}
    return SIMPLE.get(kind, {"type": "object"} if kind in documents.catalogue.types else {"type": "string"})


def _nullable(schema: Json) -> Json:
    if not schema:
        return schema
    found = schema | {"type": [schema["type"], "null"]}
    return found | {"enum": [*schema["enum"], None]} if "enum" in schema else found


def _shown(documents: Documents, type: ResourceType) -> Json:
    """A document of the type, by its id: a row comes as what its kind says, whichever of its family's paths leads to it."""
    root = documents.catalogue.root_type(type.name)
    if root.name == SETTING:
        return {"anyOf": [named(SETTING), named(ACTIVE_SETTING)]}
    return named(f"{root.name}.any") if root.children else named(type.name)


def _listed(documents: Documents, type: ResourceType) -> Json:
    """Of a child type, a list has those of its kind alone."""
    return named(type.name) if type.parent else _shown(documents, type)


def _families(documents: Documents, types: Iterable[ResourceType]) -> Json:
    roots = {root.name: root for type in types if (root := documents.catalogue.root_type(type.name)).children}
    return {
        f"{name}.any": {"anyOf": [named(each) for each in (name, *root.children) if documents.caller.sees(documents.catalogue.type(each))]}
        for name, root in roots.items()
    }


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
    event = {
        "id": {"type": "string"}, "position": {"type": "integer"}, "stream": {"type": "string"}, "version": {"type": "integer"},
        "type": {"enum": list(events.ALL)}, "data": {"type": "object"}, "metadata": {"type": "object"},
        "at": {"type": "string", "format": "date-time"},
    }  # fmt: skip
    waits = {"type": "array", "items": {"type": "object", "properties": {"process": {"type": "string"}, "reason": TEXT}}}
    chain = {"type": "array", "items": named("event")}
    causes = {"stream": {"type": "string"}, "state": {"type": "string"}, "chain": chain, "waits": waits}
    return {
        "event": {"type": "object", "required": list(event), "properties": event},
        "why": {"type": "object", "required": list(causes), "properties": causes},
        "resource": {"type": "object", "required": list(resource), "properties": resource},
        "collection": {"type": "object", "required": list(collection), "properties": collection},
        "error": {"type": "object", "required": ["id", "type", "status", "code", "message", "detail"], "properties": error},
        "apiVersion": {"allOf": [named("resource"), {"properties": {"type": {"const": "apiVersion"}}}]},
        "schema": {"allOf": [named("resource"), {"properties": {"type": {"const": "schema"}, **lists, **maps}}]},
    }


def _link_of(type: ResourceType) -> str:
    return f"/v1/{type.plural.lower()}"

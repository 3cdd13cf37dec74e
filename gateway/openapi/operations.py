"""The words in which the OpenAPI document tells of an operation: its parameters, its answers, its refusals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.errors import CODES

Json = dict[str, Any]

JSON, PLAIN, NDJSON, SSE, GZIP, BINARY = (
    "application/json", "text/plain", "application/x-ndjson", "text/event-stream", "application/x-gzip", "application/octet-stream",
)  # fmt: skip

TEXT: Json = {"type": ["string", "null"]}

FILE: Json = {"type": "string"}

HEADERS: Mapping[str, str] = {
    "X-API-Schemas": "Where the schemas are, which clients build their methods from",
    "X-Corral-Position": "How far in the log the answer is: give it as min_position to read what it did",
    "X-Correlation-Id": "What the request is known by in the log",
}

WRITING = tuple(sorted({status for status, _ in CODES.values()} - {501}))
READING = tuple(status for status in WRITING if status not in (408, 409, 413))
"""The errors that any write, any read can be answered with. (501 is said of pictures alone, which are no documents.)"""


def told(summary: str, schema: Json, *, parameters: Iterable[Json] = (), media: str = JSON) -> Json:
    """A reading operation."""
    return {"summary": summary, "parameters": list(parameters), "responses": {"200": answer(schema, media), **refusals(READING)}}


def done(summary: str, status: int, schema: Json, body: Json | None = None) -> Json:
    """A writing one. A body may as well come as a form."""
    operation: Json = {
        "summary": summary,
        "parameters": [parameter("idempotency")],
        "responses": {str(status): answer(schema), **refusals(WRITING)},
    }
    if body is not None:
        operation["requestBody"] = {"content": {JSON: {"schema": body}}}
    return operation


def answer(schema: Json, *media: str) -> Json:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS}
    return {"description": "Done", "headers": headers, "content": {each: {"schema": schema} for each in media or (JSON,)}}


def refusals(statuses: Iterable[int]) -> Json:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def refusal(status: int) -> Json:
    """What `refusals` refers to."""
    codes = {code: when for code, (its, when) in CODES.items() if its == status}
    code = {"properties": {"status": {"const": status}, "code": {"enum": sorted(codes)}}}
    return {
        "description": "; ".join(f"{code}: {when}" for code, when in codes.items()),
        "content": {JSON: {"schema": {"allOf": [named("error"), code]}}},
    }


def named(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def parameter(name: str) -> Json:
    return {"$ref": f"#/components/parameters/{name}"}


def in_query(name: str, schema: Json, description: str | None = None) -> Json:
    return {"name": name, "in": "query", "schema": schema} | ({"description": description} if description else {})


def in_path(name: str, description: str) -> Json:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string"}}


def collection(item: Json) -> Json:
    return {"allOf": [named("collection"), {"properties": {"data": {"items": item}}}]}


def shared_parameters(limit: int, most: int) -> Json:
    """What `parameter` refers to. `limit`, `most`: of a list's page."""
    position: Json = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
    key = {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"}}
    return {
        "limit": in_query("limit", {"type": "integer", "minimum": 1, "maximum": most, "default": limit}),
        "marker": in_query("marker", {"type": "string"}, "Where a page begins, as the pagination.next before it says"),
        "order": in_query("order", {"type": "string", "enum": ["asc", "desc"]}),
        "min_position": in_query("min_position", position, "The answer comes from views that hold at least this position of the log"),
        "at": in_query(
            "at", {"type": "string", "examples": ["120", "10m", "2026-01-31T10:00:00Z"]},
            "As it was then: a position of the log, a time, or how long ago",
        ),
        "idempotency": key | {"description": "A request that comes again with the same key is carried out once"},
    }  # fmt: skip

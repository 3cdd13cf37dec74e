"""The API's own documents: they are computed, and belong to no stream."""

from __future__ import annotations

from commands.catalogue.model import ResourceType
from commands.catalogue.types.common import READ, proto

SCHEMA = ResourceType(
    "schema", "schemas", "1s",
    {each.name: each for each in (
        proto("id", "string", "r", "r", nullable=False),
        proto("pluralName", "string", "r", "r"),
        proto("parent", "string", "r", "r"),
        proto("children", "array[string]", "r", "r"),
        proto("resourceMethods", "array[string]", "r", "r"),
        proto("resourceFields", "map[json]", "r", "r"),
        proto("resourceActions", "map[json]", "r", "r"),
        proto("collectionMethods", "array[string]", "r", "r"),
        proto("collectionFields", "map[json]", "r", "r"),
        proto("collectionActions", "map[json]", "r", "r"),
        proto("collectionFilters", "map[json]", "r", "r"),
        proto("includeableLinks", "array[string]", "r", "r"),
    )},
    admin=READ, user=READ, stored=False,
)  # fmt: skip

ERROR = ResourceType(
    "error", "errors", "1e",
    {each.name: each for each in (
        proto("id", "string", "r", "r", nullable=False),
        proto("status", "int", "r", "r", nullable=False),
        proto("code", "string", "r", "r", nullable=False),
        proto("message", "string", "r", "r"),
        proto("detail", "string", "r", "r"),
        proto("fieldName", "string", "r", "r"),
    )},
    stored=False,
)  # fmt: skip
"""Its schema has no methods: an error is only ever an answer."""

TYPES = [SCHEMA, ERROR]

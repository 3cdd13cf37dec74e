"""The API's own documents: they are computed, and belong to no stream."""

from __future__ import annotations

from commands.catalogue.model import Field, Methods, ResourceType
from commands.catalogue.types.common import ALL, INPUT, READ, plain, proto

SAY = Methods(("GET", "POST"), ("GET",))

EVENT_NAME_CHARS = "*._0-9a-zA-Z;="

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


def _messages(*names: str) -> tuple[Field, ...]:
    return tuple(proto(name, "string", "r", nullable=False) for name in names)


NAME = proto("name", "string", "rcu", nullable=False)
DESCRIPTION = proto("description", "string", "rcu", nullable=False)

PUBLISH = ResourceType(
    "publish", "publish", "1p",
    plain(
        proto("data", "map[json]", "rc"),
        proto("id", "string", "rc", nullable=False),
        proto("name", "string", "rc", required=True, nullable=False),
        Field("transitioning", "string", "calc", "rc"),
        Field("transitioningMessage", "string", "calc", "rc"),
        Field("transitioningProgress", "int", "calc", "rc"),
        proto("previousIds", "array[string]", "rc", nullable=False),
        proto("publisher", "string", "rc", nullable=False),
        proto("resourceId", "string", "rc"),
        proto("resourceType", "string", "rc"),
        proto("time", "int", "rc"),
        proto("transitioningInternalMessage", "string", "rc", nullable=False),
    ),
    admin=INPUT, stored=False,
)  # fmt: skip

SUBSCRIBE = ResourceType(
    "subscribe", "subscribe", "1s",
    plain(
        proto("agentId", "reference[agent]", "rcu"),
        proto("eventNames", "array[string]", "rc", "rc", nullable=False, min_length=1, valid_chars=EVENT_NAME_CHARS),
    ),
    admin=SAY, user=SAY, stored=False,
)  # fmt: skip

CONFIG_CONTENT = ResourceType(
    "configContent", "configContent", "1cc",
    plain(
        proto("id", "string", "r", nullable=False),
        proto("agentId", "reference[agent]", "rcu"),
        proto("current", "string", "r", nullable=False),
        proto("version", "string", "r", nullable=False),
    ),
    admin=ALL, stored=False,
)  # fmt: skip

AUTHORIZED = ResourceType("authorized", "authorized_keys", "1a", {}, admin=ALL, stored=False)

TYPE_DOCUMENTATION = ResourceType(
    "typeDocumentation", "typeDocumentations", "1td",
    plain(
        proto("description", "string", "rcu", "rcu", nullable=False),
        proto("id", "string", "r", "r", nullable=False),
        proto("resourceFields", "map[fieldDocumentation]", "r", nullable=False),
    ),
    admin=READ, user=READ, stored=False,
)  # fmt: skip

FIELD_DOCUMENTATION = ResourceType(
    "fieldDocumentation", "fieldDocumentations", "1fd", plain(DESCRIPTION, *_messages("placeholder")), admin=INPUT, stored=False
)

EXTENSION_IMPLEMENTATION = ResourceType(
    "extensionImplementation", "extensionImplementations", "1ei",
    plain(NAME, *_messages("className"), proto("properties", "map[string]", "r", nullable=False)),
    admin=INPUT, stored=False,
)  # fmt: skip

EXTENSION_POINT = ResourceType(
    "extensionPoint", "extensionPoints", "1ep",
    plain(
        NAME, *_messages("excludeSetting", "includeSetting", "listSetting"),
        proto("implementations", "array[extensionImplementation]", "r", nullable=False),
    ),
    admin=READ, stored=False,
)  # fmt: skip

PROCESS_DEFINITION = ResourceType(
    "processDefinition", "processDefinitions", "1pd",
    plain(
        *_messages("id", "resourceType"), NAME,
        proto("extensionBased", "boolean", "r", nullable=False),
        proto("postProcessListeners", "extensionPoint", "r", nullable=False),
        proto("preProcessListeners", "extensionPoint", "r", nullable=False),
        proto("processHandlers", "extensionPoint", "r", nullable=False),
        proto("stateTransitions", "array[stateTransition]", "r", nullable=False),
    ),
    admin=READ, stored=False,
)  # fmt: skip

RESOURCE_DEFINITION = ResourceType(
    "resourceDefinition", "resourceDefinitions", "1rd", plain(*_messages("id"), NAME), admin=READ, stored=False
)

STATE_TRANSITION = ResourceType(
    "stateTransition", "stateTransitions", "1st",
    plain(
        *_messages("field", "fromState", "toState"), proto("type", "enum", "r", nullable=False, options=("TRANSITIONING", "DONE")),
    ),
    admin=INPUT, stored=False,
)  # fmt: skip

ACTIVE_SETTING = ResourceType(
    "activeSetting", "activeSettings", "1as",
    plain(
        *_messages("id", "source"),
        proto("name", "string", "rc", nullable=False),
        proto("activeValue", "json", "r", nullable=False),
        proto("inDb", "boolean", "r", nullable=False),
        proto("value", "string", "ru", nullable=False),
    ),
    admin=Methods((), ("GET", "PUT", "DELETE")), stored=False,
)  # fmt: skip

TYPES = [
    SCHEMA, ERROR, PUBLISH, SUBSCRIBE, CONFIG_CONTENT, AUTHORIZED, TYPE_DOCUMENTATION, FIELD_DOCUMENTATION, EXTENSION_IMPLEMENTATION,
    EXTENSION_POINT, PROCESS_DEFINITION, RESOURCE_DEFINITION, STATE_TRANSITION, ACTIVE_SETTING,
]  # fmt: skip

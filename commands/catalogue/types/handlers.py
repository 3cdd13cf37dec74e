"""External handlers: who is called when a process reaches a phase, and the processes that they are called for."""

from __future__ import annotations

from commands.catalogue.model import ResourceType
from commands.catalogue.types.common import ALL, HIDDEN, LIFE, actions, col, fields, fld, links, many, mapped, one

HANDLER = ResourceType(
    "externalHandler", "externalHandlers", "1eh",
    fields(
        col("priority", "int", "rcu"),
        fld(
            "priorityName", "enum", "rc", nullable=False, default="specific",
            options=("pre", "specific", "default_override"),
        ),
        fld("processNames", "array[string]", "rc", required=True, nullable=False, hidden=True),
        fld("retries", "int", "rcu", min=1),
        fld("timeoutMillis", "int", "rcu", min=1000),
        account=False,
    ),
    links(
        many("externalHandlerExternalHandlerProcessMaps", "externalHandlerExternalHandlerProcessMap", "externalHandlerId"),
        mapped(
            "externalHandlerProcesses", "externalHandlerProcess",
            "externalHandlerExternalHandlerProcessMap", "externalHandlerId", "externalHandlerProcessId",
        ),
    ),
    actions("externalHandler", *LIFE), ALL, HIDDEN,
)  # fmt: skip

HANDLER_PROCESS = ResourceType(
    "externalHandlerProcess", "externalHandlerProcesses", "1ehp", fields(account=False),
    links(
        many("externalHandlerExternalHandlerProcessMaps", "externalHandlerExternalHandlerProcessMap", "externalHandlerProcessId"),
        mapped(
            "externalHandlers", "externalHandler",
            "externalHandlerExternalHandlerProcessMap", "externalHandlerProcessId", "externalHandlerId",
        ),
    ),
    actions("externalHandlerProcess", *LIFE), ALL, HIDDEN,
)  # fmt: skip

HANDLER_PROCESS_MAP = ResourceType(
    "externalHandlerExternalHandlerProcessMap", "externalHandlerExternalHandlerProcessMaps", "1ehehpm",
    fields(
        col("externalHandlerId", "reference[externalHandler]", "rcu"),
        col("externalHandlerProcessId", "reference[externalHandlerProcess]", "rcu"),
        account=False,
    ),
    links(one("externalHandler", "externalHandler"), one("externalHandlerProcess", "externalHandlerProcess")),
    actions("externalHandlerExternalHandlerProcessMap", *LIFE), ALL, HIDDEN,
    owner="externalHandlerId",
)  # fmt: skip

TYPES = [HANDLER, HANDLER_PROCESS, HANDLER_PROCESS_MAP]

"""The life of external handlers, of the processes that they name, and of the maps between the two."""

from __future__ import annotations

from commands.catalogue.model import Child, Decide, Join, Logic, Process
from commands.catalogue.processes.common import lifecycle
from commands.logic import handlers

MAP = "externalHandlerExternalHandlerProcessMap"

ACTIVATE = Logic(
    "ExternalHandlerActivate",
    (
        Join(handlers.named_processes, "externalhandlerprocess.activate"),
        Decide(handlers.map_processes),
        Child(MAP, "externalHandlerId", f"{MAP.lower()}.create", ignore_invalid=True),
        Decide(handlers.forget_names),
    ),
)

LEAVES_NAME = Logic("ExternalHandlerProcessLeavesName", (Decide(handlers.leave_name),), always=True)
"""By the removal, or by the purge where that was forced."""

PROCESSES: list[Process] = [
    *lifecycle("externalHandler", activate=(ACTIVATE,)),
    *lifecycle("externalHandlerProcess", remove=(LEAVES_NAME,), purge=(LEAVES_NAME,)),
    *lifecycle(MAP),
]

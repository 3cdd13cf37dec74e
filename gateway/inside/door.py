"""What shows the inside of Corral in Cattle's documents: which types those are, and who answers for them. All are read-only."""

from __future__ import annotations

from typing import Any

from commands.catalogue.model import ResourceType
from gateway.inside import definitions, process_instances
from gateway.inside.definitions import Definitions
from gateway.inside.process_instances import ProcessInstances
from gateway.request import ApiRequest
from gateway.services import Services

DEFINITIONS = frozenset({definitions.PROCESS, definitions.RESOURCE, definitions.POINT, definitions.DOCUMENTATION})

INSIDE = DEFINITIONS | {process_instances.INSTANCE, process_instances.EXECUTION}


async def inside(services: Services, request: ApiRequest, type: ResourceType) -> Any:
    """The answer to a GET whose path begins with such a type, which its caller sees."""
    rest = request.parts[1:]
    if type.name in DEFINITIONS:
        return await (await Definitions.of(services, request)).read(type, rest)
    return await ProcessInstances(services, request).read(type, rest)

"""Every built-in resource type, as data: what commands.catalogue.builtin and the gateway's schemas are built from."""

from __future__ import annotations

from commands.catalogue.model import ResourceType
from commands.catalogue.types import (
    accounts,
    compute,
    handlers,
    hosts,
    network,
    network_addresses,
    network_services,
    protocol,
    records,
    storage,
)

TYPES: list[ResourceType] = [
    *compute.TYPES, *storage.TYPES, *hosts.TYPES, *accounts.TYPES, *network.TYPES, *network_addresses.TYPES, *network_services.TYPES,
    *handlers.TYPES, *records.TYPES, *protocol.TYPES,
]

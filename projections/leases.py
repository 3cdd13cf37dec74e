"""What is leased - addresses, macs, ports - as the rows of the type resourcePool: one an item, there from its claim to its release. Pure.

The log knows leases as claims of exclusive items alone; their rows are made here, for the views.
"""

from __future__ import annotations

import uuid
from typing import Any

from commands.catalogue.fields import date_text
from commands.resource import Resource, split_stream
from eventstore import Recorded

TYPE = "resourcePool"

QUALIFIERS = {"address": "default", "mac": "mac", "macPrefix": "macPrefix", "linkPort": "linkPort", "hostPort": "hostPort"}
"""How a lease's scope ends -> Cattle's word for it."""

FIRST = 2**40
"""Their numbers begin beyond those of rows that people make; the last three digits tell apart what one event claims."""


def number_of(event: Recorded, index: int) -> int:
    """Of the claim at this place of the event: the same whenever it is folded."""
    return FIRST + event.position * 1000 + index


def stream_of(number: int) -> str:
    return f"{TYPE}-{number}"


def is_lease(scope: str) -> bool:
    return scope.rpartition("/")[2] in QUALIFIERS


def lease(event: Recorded, number: int, scope: str, item: str) -> Resource:
    """subnet-7/address of ipAddress-5 -> the row that says so. Raises ValueError where pool or owner is none of the catalogue's form."""
    pool, _, ending = scope.rpartition("/")
    pool_type, pool_id = split_stream(pool)
    owner_type, owner_id = split_stream(event.stream)
    row: dict[str, Any] = {
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{scope}/{item}@{event.position}")), "kind": TYPE, "created": date_text(event.at),
        "poolType": pool_type, "poolId": pool_id, "qualifier": QUALIFIERS[ending], "item": item,
        "ownerType": owner_type, "ownerId": owner_id,
    }  # fmt: skip
    return Resource(TYPE, number, 1, event.position, row)

"""Waits until what was begun has ended, as the log tells it, and says meanwhile how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import aclosing
from typing import Any

from commands.resource import Resource
from commands.snapshots import latest
from gateway.documents import transitioning
from gateway.services import Services

Json = dict[str, Any]

Tell = Callable[[Json], None]
"""{"id", "state", "message", "percent"}: each time that one of these is another."""

AT_REST = frozenset({"running", "stopped", "active", "inactive", "removed", "purged"})


def is_settled(resource: Resource) -> bool:
    return resource.exists and not resource.open and resource.state in AT_REST


async def settled(services: Services, streams: Collection[str], seconds: float, tell: Tell) -> dict[str, Resource]:
    """Each as it is at its end, or, after so many seconds, as it is then."""
    waiting, told = set(streams), dict[str, Json]()
    found: dict[str, Resource] = {}

    async def look(these: Collection[str]) -> None:
        # Read anew and whole: what one append holds is never seen in half, such as a stop whose start is to follow.
        for stream in these:
            found[stream] = await latest(services.store, stream)
            if told.get(stream) != (news := _news(services, found[stream])):
                tell(news)
                told[stream] = news
            if is_settled(found[stream]):
                waiting.discard(stream)

    position = await services.store.head()
    await look(streams)
    try:
        async with asyncio.timeout(seconds), aclosing(services.store.follow(position)) as batches:
            while waiting:
                batch = await anext(batches)
                await look(waiting & {event.stream for event in batch})
    except (TimeoutError, StopAsyncIteration):  # it takes too long, or the server stops
        pass
    return found


def _news(services: Services, resource: Resource) -> Json:
    how = transitioning(services.catalogue, resource)
    prefix = services.catalogue.type(resource.type).prefix
    return {
        "id": f"{prefix}{resource.id}", "state": resource.state,
        "message": how["transitioningMessage"], "percent": how["transitioningProgress"],
    }  # fmt: skip

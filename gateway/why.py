"""/v1/<type>/<id>/why: the chain of causes of a state, now or as of then, as far as its caller may see it; `corral why` tells the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from commands.catalogue.model import Catalogue
from commands.errors import NotFound
from commands.resource import Resource, fold
from eventstore import Recorded, Store
from gateway.callers import Caller
from gateway.documents import transitioning
from gateway.sight import Sight, event_document
from projections import causes

Json = dict[str, Any]


async def why(store: Store, catalogue: Catalogue, caller: Caller, resource: Resource, to: int | None) -> Json:
    """Newest first: what the state is owed to, its cause, that one's cause ... What of it the caller may not see is left out, and the
    rest is told all the same. `waits`: the processes under way, and what for."""
    root = resource.root or resource.stream

    async def load(stream: str) -> Sequence[Recorded]:
        events = await store.read(stream, to_position=to)
        return await store.read_root(events[0].root, to) if events else []

    own = [event for event in await load(resource.stream) if event.stream == resource.stream]
    deciding = causes.deciding(own)
    if deciding is None:
        raise NotFound(f"nothing is known of what led to {resource.stream}")
    chain = await causes.chain_of(deciding, load)
    sight = Sight(store, catalogue, caller)
    in_order = [(event, await sight.seen(event)) for event in sorted(chain, key=lambda each: each.position)]
    seen = [shown for _, shown in in_order if shown is not None]
    then = fold(resource.stream, own)
    return {
        "stream": resource.stream,
        "root": root,
        "state": then.state,
        **transitioning(catalogue, then),
        "chain": [event_document(event) for event in reversed(seen)],
        "waits": [{"process": bracket.process, "reason": bracket.parked} for bracket in then.open.values()],
    }

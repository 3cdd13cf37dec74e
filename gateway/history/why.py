"""/v1/<type>/<id>/why: the chain of causes of a state, now or as of then, as far as its caller may see it; `corral why` tells the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from commands.catalogue.catalogue import Catalogue
from commands.errors import NotFound
from commands.resource import Resource, fold
from eventstore import Recorded, Store
from gateway.access.caller import Caller
from gateway.documents import transitioning
from gateway.history.sight import Sight
from projections import causes

Json = dict[str, Any]


async def why(store: Store, catalogue: Catalogue, caller: Caller, resource: Resource, to: int | None) -> Json:
    """Newest first: what the state is owed to, its cause, that one's cause ... What of it the caller may not see is left out, and the
    rest is told all the same. `waits`: the processes under way, and what for."""

    async def load(stream: str) -> Sequence[Recorded]:
        events = await store.read(stream, to_position=to)
        return await store.read_root(events[0].root, to) if events else []

    own = [event for event in await load(resource.stream) if event.stream == resource.stream]
    deciding = causes.deciding(own)
    if deciding is None:
        raise NotFound(f"nothing is known of what led to {resource.stream}")
    chain = await causes.chain_of(deciding, load)
    seen = await Sight(store, catalogue, caller).documents(reversed(chain))  # a stream's events in order
    then = fold(resource.stream, own)
    type = catalogue.type(then.type)

    def readable(name: str) -> bool:
        return name in type.fields and caller.reads(type, type.fields[name])

    return {
        "stream": resource.stream,
        "state": then.state,
        **(transitioning(catalogue, then) if readable("transitioning") else {}),
        "chain": seen[::-1],
        "waits": [{"process": each.process, "reason": each.parked} for name, each in then.open.items() if readable(name)],
    }

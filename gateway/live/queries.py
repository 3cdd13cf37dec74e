"""A live query from the request to the answer's pieces, whoever asks it over whatever."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from agents.live import Json, LiveError, Pipe
from commands.errors import NotFound, Refused
from commands.resource import Resource
from gateway.live.asking import AgentAway, Asker, check_end, refusal_of
from gateway.live.finding import Place, instance_of, last_known, named, place_of
from gateway.live.verbs import VERBS, Verb, options_of
from gateway.request import ApiRequest
from gateway.services import Services

INSPECT = "inspect"


@dataclass(frozen=True, slots=True)
class Query:
    """One that may be asked."""

    verb: Verb
    instance: Resource
    place: Place
    options: Json
    account: int | None
    """Of whoever asks; None: an admin."""


async def read_query(services: Services, request: ApiRequest, ref: str, verb: Verb, given: Mapping[str, Any]) -> Query:
    """Raises Refused: for what is not there, may not be asked by this caller, or can't be read."""
    instance = await instance_of(services, request, ref)
    if verb.writes and not request.caller.acts_on(services.catalogue.type("instance"), instance):
        raise Refused("Forbidden", f"{verb.name} changes {instance.name}, which this key may only look at", status=403)
    options = options_of(verb, given, services.store.now())
    return Query(verb, instance, await place_of(services, instance), options, request.caller.scope)


async def read_path(services: Services, read: ApiRequest) -> Query:
    """Of a path such as /v1/containers/1i54/logs, and its parameters. Raises Refused."""
    segment, ref, verb = read.parts
    type = services.catalogue.by_path(segment)
    if type is None or not read.caller.sees(type):
        raise NotFound(f"there is no type {segment}")
    return await read_query(services, read, ref, VERBS[verb.lower()], _given_in(read))


def _given_in(read: ApiRequest) -> Json:
    """The options among the parameters: what is repeated is a list. Raises Refused where the past is asked for."""
    if read.param("at") is not None:
        raise Refused("InvalidOption", "what is live is now: at= is for what the log holds", "at")
    given: dict[str, Any] = {}
    for name, value in read.params:
        if name.startswith("_"):
            continue
        before = given.get(name)
        given[name] = value if before is None else [*(before if isinstance(before, list) else [before]), value]
    return given


@asynccontextmanager
async def asked(asker: Asker, query: Query) -> AsyncIterator[Pipe]:
    """The agent that answers. Raises AgentAway and LiveError."""
    place = query.place
    host: Json = {"uuid": place.host.row.get("uuid"), "kind": place.host.kind}
    async with asker.asked(place.agent, place.title, query.verb.name, named(query.instance), host, query.options, query.account) as pipe:
        yield pipe


async def answer(asker: Asker, query: Query) -> Json:
    """The only piece of a verb that has one. Raises Refused. What is known of one whose agent is away is told for inspect: `live` False."""
    try:
        async with asked(asker, query) as pipe:
            frame = await pipe.receive()
            if frame.end is not None:
                check_end(frame.end)
            return {"live": True, "document": frame.data or {}}
    except AgentAway:
        known = last_known(query.instance) if query.verb.name == INSPECT else None
        if known is None:
            raise
        return {"live": False, "document": known}
    except LiveError as error:
        raise refusal_of(error) from error


async def frames(pipe: Pipe) -> AsyncGenerator[Json, None]:
    """{"data": a piece} each, and {"end": how it ended}. Raises LiveError."""
    while True:
        frame = await pipe.receive()
        if frame.data is not None:
            yield {"data": frame.data}
        if frame.end is not None:
            check_end(frame.end)
            yield {"end": frame.end}
            return

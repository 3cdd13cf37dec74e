"""Outcomes that come to a gateway while NATS is away: taken in there, as a turn would, and the engine that follows the log goes on.

    publish -> Commands.answered -> step-succeeded | step-failed -> the engine's next turn
"""

from __future__ import annotations

from agents.wire import HandlerAnswer, Message
from commands.catalogue.catalogue import Catalogue
from commands.resource import Asked, Json, Resource, split_stream
from commands.snapshots import form, latest, resumed
from commands.turns.answers import error_of
from commands.turns.intake import Answer
from eventstore import Store


async def concerned(store: Store, catalogue: Catalogue, stream: str, data: Json) -> dict[str, Resource]:
    """All that an answer to a command of this stream's may change: its root, and what its data leads to. Empty: there is no such stream."""
    kind, _ = split_stream(stream)
    resource = await latest(store, stream)
    if not resource.exists or kind not in catalogue.types:
        return {}
    found = resumed(await store.resume_root(resource.root, form()))
    if stream in found:
        await _add_related(store, catalogue, found, found[stream], data)
    return found


async def _add_related(store: Store, catalogue: Catalogue, found: dict[str, Resource], resource: Resource, data: Json) -> None:
    """Keys named as to-one relations lead to that row (commands.turns.replies)."""
    for name, value in data.items():
        link = catalogue.type(resource.type).links.get(name)
        number = resource.row.get(link.via) if link is not None and link.cardinality == "ref" else None
        if link is None or number is None or not isinstance(value, dict):
            continue
        stream = f"{catalogue.root_type(link.to).name}-{number}"
        if stream not in found:
            related = await latest(store, stream)
            if not related.exists:
                continue
            found[stream] = related
        await _add_related(store, catalogue, found, found[stream], value)


def asked_by(resource: Resource, ask: str) -> Asked | None:
    """The command of this id that has no answer yet, whoever waits for it still."""
    open_ones = (asked for bracket in resource.open.values() for asked in bracket.asked.values())
    closed = (*resource.undoing.values(), *resource.asides.values(), *resource.late.values())
    return next((asked for asked in (*open_ones, *closed) if asked.id == ask and asked.error is None), None)


def needs_an_engine(catalogue: Catalogue, resource: Resource, asked: Asked) -> bool:
    """Whether the turn that takes the answer in uses it for more than is merged (a ping's inventory)."""
    found = catalogue.asks(resource.type, asked.command)
    return found is not None and found[1].misread is not None


def outcome(message: Message, asked: Asked) -> Answer:
    passes = isinstance(message, HandlerAnswer) and message.passes
    return Answer(asked.id, asked.command, message.data, error_of(message, asked.command), passes=passes)

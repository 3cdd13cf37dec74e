"""What a reply's data changes: the resource it answers for, and the rows related to it."""

from __future__ import annotations

from commands.catalogue.fields import changes_for
from commands.catalogue.kept import kept_of
from commands.merge import composed
from commands.resource import Json, Resource
from commands.turns.draft import Draft


def reply_changes(draft: Draft, resource: Resource, data: Json) -> Json:
    """The part of a reply (as commands.turns.answers read it) that concerns the resource itself: known columns and fields, and + merges."""
    kind = draft.catalogue.type(resource.kind if resource.kind in draft.catalogue.types else resource.type)
    plain = {key: value for key, value in data.items() if key in kind.fields and key != "data"}
    changes = changes_for(kind, plain)
    if "+data" in data:
        changes = composed(changes, {"+data": data["+data"]})
    if "data" in data:  # the whole map, but for what Corral keeps there
        kept = {name: value for name, value in resource.data.items() if name in kept_of(kind, answer=True)}
        changes = composed(changes, {"data": {**data["data"], **kept}})
    return changes


def merge_related(draft: Draft, resource: Resource, data: Json) -> None:
    """Keys named as to-one relations (instance, host, volume, ...) merge into that row."""
    kind = draft.catalogue.type(resource.type)
    for name, value in data.items():
        link = kind.links.get(name)
        if link is None or link.cardinality != "ref" or not isinstance(value, dict):
            continue
        related = draft.get(draft.catalogue.root_type(link.to).name, resource.row.get(link.via))
        if related is None:
            continue
        changes = reply_changes(draft, related, value)
        if changes:
            draft.merge(related.stream, changes)
        merge_related(draft, related, value)

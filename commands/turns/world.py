"""What a decision can see: the resources of one root, and the fleet (what all roots share). Reads only."""

from __future__ import annotations

from collections.abc import Mapping

from commands.catalogue.catalogue import Catalogue
from commands.resource import Resource
from commands.turns.fleet import Fleet


class World:
    """One root's resources by stream, before the shared ones of the fleet."""

    def __init__(self, catalogue: Catalogue, resources: Mapping[str, Resource], fleet: Fleet, *, url: str = "") -> None:
        """`url`: of the API on the server that sends what is built from this world, where it knows it."""
        self.url = url
        self.catalogue = catalogue
        self.resources = dict(resources)
        self.fleet = fleet

    def get(self, type_name: str, number: int | None) -> Resource | None:
        """A resource of this root or of the fleet; None when it is in neither."""
        if number is None:
            return None
        stream = f"{type_name}-{number}"
        return self.resources.get(stream) or self.fleet.resources.get(stream)

    def having(self, type_name: str, field: str, value: int) -> list[Resource]:
        """The shared resources of a type with this id in an indexed field, those of this root before the fleet's; oldest first."""
        found = {each.id: each for each in self.fleet.having(type_name, field, value)}
        for each in self.resources.values():
            if each.type == type_name:
                found.pop(each.id, None)
                if each.row.get(field) == value and not each.removed:
                    found[each.id] = each
        return [found[number] for number in sorted(found)]

    def children(self, type_name: str, via: str, number: int, removed: bool = False) -> list[Resource]:
        """The root's resources of a type whose `via` is this id, oldest first; those that are removed only if asked for."""
        found = [
            each
            for each in self.resources.values()
            if each.type == type_name and each.row.get(via) == number and (removed or not each.removed)
        ]
        return sorted(found, key=lambda each: each.id)

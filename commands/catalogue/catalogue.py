"""All resource types and processes together, looked up by name, state or command. What contradicts itself is not built."""

from __future__ import annotations

from commands.catalogue.check import check
from commands.catalogue.model import Ask, Process, ResourceType


class Catalogue:
    """All resource types and processes, by name."""

    def __init__(self, types: list[ResourceType], processes: list[Process]) -> None:
        self.types = {t.name: t for t in types}
        self.processes = {p.name: p for p in processes}
        self._by_path = {name.lower(): t for t in types for name in (t.name, t.plural)}
        self._vias: dict[tuple[str, str], frozenset[str]] = {}
        self._by_via: dict[tuple[str, str, str], Process] = {}
        self._asks: dict[tuple[str, str], tuple[Process, Ask]] = {}
        self._state_fields: dict[str, tuple[str, ...]] = {}
        self._at_rest: dict[str, tuple[Process, ...]] = {}
        for process in processes:
            key = (process.type, process.field)
            self._vias[key] = self._vias.get(key, frozenset()) | process.vias
            for via in process.vias:
                self._by_via.setdefault((process.type, process.field, via), process)
            if process.at_rest is not None:
                self._at_rest[process.type] = (*self._at_rest.get(process.type, ()), process)
            for step in process.steps:
                if isinstance(step, Ask):
                    self._asks.setdefault((process.type, step.command), (process, step))
        for type_name, state_field in self._vias:
            self._state_fields[type_name] = (*self._state_fields.get(type_name, ()), state_field)
        check(self)

    def type(self, name: str) -> ResourceType:
        return self.types[name]

    def root_type(self, name: str) -> ResourceType:
        """The type that owns the streams, ids and processes: instance for container."""
        found = self.types[name]
        return self.types[found.parent] if found.parent else found

    def by_path(self, segment: str) -> ResourceType | None:
        """The type that a URL segment names: singular or plural, in any letter case."""
        return self._by_path.get(segment.lower())

    def process(self, name: str) -> Process:
        return self.processes[name]

    def process_of(self, type_name: str, verb: str) -> Process | None:
        """The process behind <type>.<verb>, e.g. ("container", "start") -> instance.start."""
        return self.processes.get(f"{self.root_type(type_name).name.lower()}.{verb}")

    def transitioning(self, type_name: str, state: str) -> bool:
        """True in the via states of the type's processes on `state`."""
        return self.transitional(self.root_type(type_name).name, state, "state")

    def transitional(self, root_type: str, state: str, field: str) -> bool:
        """True in the via states of a root type's processes on a state field."""
        return state in self._vias.get((root_type, field), frozenset())

    def interrupted(self, root_type: str, via: str, field: str) -> Process:
        """A process whose via state this is, of the type and state field."""
        return self._by_via[root_type, field, via]

    def state_fields(self, root_type: str) -> tuple[str, ...]:
        """The state fields that the type's processes move."""
        return self._state_fields.get(root_type, ())

    def looked_after(self, root_type: str) -> tuple[Process, ...]:
        """The processes of a type that look at what rests where they led."""
        return self._at_rest.get(root_type, ())

    def asks_of(self, root_type: str) -> list[tuple[Process, Ask]]:
        """Every process of a type that asks an agent, with its step."""
        return [found for (type_name, _), found in self._asks.items() if type_name == root_type]

    def asks(self, root_type: str, command: str) -> tuple[Process, Ask] | None:
        """The process of a type that asks a command, and its step."""
        return self._asks.get((root_type, command))

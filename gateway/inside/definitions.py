"""What the catalogue is, as documents: processes, resources, extension points and documentation of types. Nothing here is kept anywhere.

    /v1/processdefinitions/1pd!instance.start      its states, and its logic as three extension points
        .../processdot, .../resourcedot            Graphviz text; a picture with _format=svg or Accept: image/svg+xml
        .../processes                              the names of its type's processes, a line each
    /v1/resourcedefinitions/1rd!instance           .../processes: their definitions
    /v1/extensionpoints/1ep!process.instance.start.handlers
    /v1/typedocumentations/1td!instance
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from commands.catalogue.catalogue import Catalogue
from commands.catalogue.dot import process_dot, resource_dot, told, transitions
from commands.catalogue.ids import named
from commands.catalogue.model import PHASES, Field, Logic, Phase, Process, ResourceType
from commands.errors import NotFound, a
from commands.turns import handlers
from commands.turns.fleet import Fleet
from commands.turns.handlers import Handler, merged_logic
from gateway.documents import Documents
from gateway.request import ApiRequest
from gateway.responses import File
from gateway.services import Services
from projections.query import Query

Json = dict[str, Any]

PROCESS, RESOURCE, POINT, DOCUMENTATION = "processDefinition", "resourceDefinition", "extensionPoint", "typeDocumentation"

POINTS: dict[Phase, tuple[str, str]] = {
    "pre": ("pre.listeners", "preProcessListeners"),
    "handlers": ("handlers", "processHandlers"),
    "post": ("post.listeners", "postProcessListeners"),
}
"""Phase -> how its extension point's key ends, and the field of a process definition that shows it."""

SVG = "image/svg+xml"


@dataclass(frozen=True, slots=True)
class Definitions:
    """One request's. `in_force`: process -> the external handlers that take part in it."""

    services: Services
    request: ApiRequest
    documents: Documents
    in_force: Mapping[str, tuple[Handler, ...]]
    fleet: Fleet

    @classmethod
    async def of(cls, services: Services, request: ApiRequest) -> Definitions:
        rows = [await services.views.rows(Query(services.catalogue.type(name), limit=None)) for name in handlers.ROWS]
        fleet = Fleet.of(seen.resource for found in rows for seen in found)
        return cls(services, request, Documents(services.catalogue, request), handlers.in_force(fleet), fleet)

    @property
    def catalogue(self) -> Catalogue:
        return self.services.catalogue

    async def read(self, type: ResourceType, rest: tuple[str, ...]) -> Json | File:
        """The answer to GET of the type's collection, of one by its id, or of a link of it."""
        known, show = self._kinds()[type.name]
        if not rest:
            return self.documents.collection(type, [show(name) for name in known])
        name = self._named(type, rest[0], known)
        if len(rest) == 1:
            return show(name)
        return await self._link(type, name, rest[1])

    def _kinds(self) -> dict[str, tuple[Iterable[str], Callable[[str], Json]]]:
        """Type -> the names of all there are, and the document of one."""
        processes, points = self.catalogue.processes, self._points()
        documented = [each.name for each in self.catalogue.types.values() if self.request.caller.sees(each)]
        return {
            PROCESS: (sorted(processes), self.process),
            RESOURCE: (sorted({each.type for each in processes.values()}), self.resource),
            POINT: (points, lambda key: self.point(*points[key])),
            DOCUMENTATION: (sorted(documented), self.documentation),
        }

    def _named(self, type: ResourceType, text: str, known: Iterable[str]) -> str:
        """1pd!instance.start, in any letter case: links are in lower case. Documentation is asked for by the bare name, too."""
        plain = self.request.plain_ids or type.name == DOCUMENTATION
        wanted = named(text) or (text if plain else "")
        for name in known:
            if name.lower() == wanted.lower():
                return name
        raise NotFound(f"there is no {type.name} {text}: an id is {type.prefix}!<name>, as in {type.plural}")

    async def _link(self, type: ResourceType, name: str, link: str) -> Json | File:
        process = self.catalogue.processes.get(name)
        resource = process.type if process else name
        match type.name, link.lower():
            case "processDefinition", "processdot":
                return await self._drawn(process_dot(self.catalogue, name))
            case "processDefinition" | "resourceDefinition", "resourcedot":
                return await self._drawn(resource_dot(self.catalogue, resource))
            case "processDefinition", "processes":
                return File("".join(f"{each}\n" for each in self._processes_of(resource)).encode())
            case "resourceDefinition", "processes":
                of = self.catalogue.type(PROCESS)
                return self.documents.collection(of, [self.process(each) for each in self._processes_of(resource)])
        raise NotFound(f"{a(type.name)} has no link {link}")

    async def _drawn(self, dot: str) -> File:
        wanted = (self.request.param("_format") or "").lower() == "svg" or SVG in self.request.accept
        return File((await self.services.pictures.svg(dot)).encode(), SVG) if wanted else File(dot.encode())

    def _processes_of(self, type_name: str) -> list[str]:
        return sorted(each.name for each in self.catalogue.processes.values() if each.type == type_name)

    # --- documents ---

    def process(self, name: str) -> Json:
        process = self.catalogue.process(name)
        logic = merged_logic(process, self.in_force.get(name, ()))
        return {
            **self._head(PROCESS, name, "processDot", "resourceDot", "processes"),
            "name": name,
            "resourceType": process.type,
            "extensionBased": True,
            "stateTransitions": [
                {"fromState": each.from_state, "toState": each.to_state, "field": each.field, "type": each.type.upper()}
                for each in transitions(process)
            ],
            **{shown: self._point(process, phase, logic[phase]) for phase, (_, shown) in POINTS.items()},
        }

    def resource(self, name: str) -> Json:
        return {**self._head(RESOURCE, name, "resourceDot", "processes"), "name": name}

    def point(self, process: Process, phase: Phase) -> Json:
        return self._point(process, phase, merged_logic(process, self.in_force.get(process.name, ()))[phase])

    def _points(self) -> dict[str, tuple[Process, Phase]]:
        """By their keys."""
        processes = sorted(self.catalogue.processes.values(), key=lambda each: each.name)
        return {key_of(each.name, phase): (each, phase) for each in processes for phase in PHASES}

    def _point(self, process: Process, phase: Phase, logic: Iterable[Logic | Handler]) -> Json:
        key = key_of(process.name, phase)
        return {
            **self._head(POINT, key),
            "name": key,
            "listSetting": f"{key}.list",
            "includeSetting": f"{key}.include",
            "excludeSetting": f"{key}.exclude",
            "implementations": [self._implementation(process, each) for each in logic],
        }

    def _implementation(self, process: Process, logic: Logic | Handler) -> Json:
        if isinstance(logic, Logic):
            steps = "; ".join(told(step) for step in logic.steps)
            name, properties = logic.name, {"name": logic.name, "priority": str(logic.priority), "steps": steps}
        else:
            row = self.fleet.get(handlers.HANDLER, logic.id)
            name = f"Dynamic : {logic.name}"
            properties = {
                "name": logic.name,
                "eventName": logic.event(process.name),
                "priority": str(logic.priority),
                "retry": str(handlers.attempts_of(row)),
                "timeoutMillis": str(int(handlers.timeout_of(row) * 1000)),
            }
        class_name = f"{type(logic).__module__}.{type(logic).__qualname__}"
        return {"type": "extensionImplementation", "name": name, "className": class_name, "properties": properties}

    def documentation(self, name: str) -> Json:
        type = self.catalogue.type(name)
        read = [each for each in type.fields.values() if self.request.caller.reads(type, each)]
        document = {**self._head(DOCUMENTATION, name), "description": _described(self.catalogue, type)}
        if not self.request.caller.user:
            document["resourceFields"] = {
                each.name: {"type": "fieldDocumentation", "description": _field(each), "placeholder": _placeholder(each)} for each in read
            }
        return document

    def _head(self, type_name: str, name: str, *links: str) -> Json:
        type = self.catalogue.type(type_name)
        id = name if self.request.plain_ids else f"{type.prefix}!{name}"
        self_link = self.request.link(type.plural, id)
        found = {"self": self_link, **{link: f"{self_link}/{link.lower()}" for link in links}}
        return {"id": id, "type": type_name, "links": found, "actions": {}}


def key_of(process: str, phase: Phase) -> str:
    """process.instance.start.pre.listeners"""
    return f"process.{process}.{POINTS[phase][0]}"


def _described(catalogue: Catalogue, type: ResourceType) -> str:
    """What the catalogue says of a type, in words."""
    verbs = [each.verb for each in catalogue.processes.values() if each.type == catalogue.root_type(type.name).name]
    parts = [
        f"A kind of {type.parent}" if type.parent else "",
        f"Belongs to what its {type.owner} names" if type.owner else "",
        f"Its processes are {', '.join(verbs)}" if verbs and type.stored else "",
        "It is in requests and answers alone, and not kept" if not type.stored else "",
    ]
    return f"{type.name}: {'. '.join(filter(None, parts)) or 'a record without a life of its own'}."


def _field(field: Field) -> str:
    limits = [
        f"refers to {a(field.reference)}" if field.reference else field.type,
        "required" if field.required else "",
        "unique" if field.unique else "",
        f"one of {', '.join(field.options)}" if field.options else "",
        f"from {field.min}" if field.min is not None else "",
        f"up to {field.max}" if field.max is not None else "",
        f"at most {field.max_length} characters" if field.max_length is not None and field.type == "string" else "",
        "kept secret" if field.secret else "",
    ]
    return ", ".join(filter(None, limits))


def _placeholder(field: Field) -> str:
    return "" if field.default is None else str(field.default)

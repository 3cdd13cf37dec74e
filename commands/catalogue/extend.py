"""The catalogue while it is built: what an extension's `extend(catalogue)` gets, to add types, processes and steps (docs/extensions.md)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace

from commands.catalogue.catalogue import Catalogue
from commands.catalogue.check import about
from commands.catalogue.model import PHASES, PRIORITIES, Action, CatalogueError, Link, Logic, Phase, Process, ResourceType, Step
from commands.catalogue.shapes import check_process, check_step, must_be

DEFAULT_PRIORITY = PRIORITIES["specific"]
BUILT_IN_PRIORITY = PRIORITIES["default"]
"""Where the steps that a process has by itself stand: smaller ones run before them, all others after them."""

_NAME = re.compile(r"[a-z][A-Za-z0-9]*")
_PREFIX = re.compile(r"1[a-z]+")


Place = tuple[str, int]
"""A file's name, and a line in it."""


@dataclass(frozen=True, slots=True)
class _Added:
    priority: int
    order: int
    step: Step


class Extending:
    """Types, processes and steps, added to those of another catalogue. `build` checks them all against each other."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._types = dict(catalogue.types)
        self._processes = dict(catalogue.processes)
        self._added: dict[tuple[str, str], list[_Added]] = {}
        self._own: list[str] = []
        """The types added."""
        self.places: dict[str, Place] = {}
        """Type or process -> the call that added it, or added to it last: whose fault it is if that is wrong."""

    @property
    def types(self) -> tuple[str, ...]:
        return tuple(self._types)

    @property
    def processes(self) -> tuple[str, ...]:
        return tuple(self._processes)

    def add_type(self, type: ResourceType) -> None:
        """A type of one's own. One with a `parent` becomes a kind of that one, with its processes."""
        must_be(type, ResourceType, "add_type takes a type")
        self._note(type.name)
        if not _NAME.fullmatch(type.name) or not _NAME.fullmatch(type.plural):
            names = f"{type.name!r} (plural {type.plural!r})"
            raise CatalogueError(f"type {names}: a name begins with a small letter, and holds letters and digits alone")
        if not _PREFIX.fullmatch(type.prefix):
            raise CatalogueError(f"type {type.name}: its id prefix {type.prefix!r} is not 1 and small letters, as 1w is")
        if type.single and type.owner is None:
            raise CatalogueError(f"type {type.name}: `single` is for types with an owner; what only one row may have is `unique`")
        taken = {name.lower() for each in self._types.values() for name in (each.name, each.plural)}
        for name in (type.name, type.plural):
            if name.lower() in taken:
                raise CatalogueError(f"type {type.name}: there is a type called {name} already, choose another name")
        used = {each.prefix: each.name for each in self._types.values()}
        if type.prefix in used and (type.parent not in self._types or self._types[type.parent].prefix != type.prefix):
            why = f"its id prefix {type.prefix!r} is that of {used[type.prefix]} already; these are taken: {', '.join(sorted(used))}"
            raise CatalogueError(f"type {type.name}: {why}")
        self._own.append(type.name)
        self._types[type.name] = type
        if type.parent in self._types:
            parent = self._types[type.parent]
            self._types[parent.name] = replace(parent, children=(*parent.children, type.name))

    def add_link(self, type_name: str, link: Link) -> None:
        """A link of a type that is there already, e.g. of host to what runs on it."""
        must_be(link, Link, f"add_link to {type_name} takes a link")
        kind = self._type(type_name, "add_link")
        self._note(type_name)
        if link.name in kind.links:
            raise CatalogueError(f"{type_name} has a link {link.name} already, choose another name")
        self._types[type_name] = replace(kind, links={**kind.links, link.name: link})

    def add_action(self, type_name: str, action: Action) -> None:
        """An action of a type that is there already; it runs the process <type>.<action>."""
        must_be(action, Action, f"add_action to {type_name} takes an action")
        kind = self._type(type_name, "add_action")
        self._note(type_name)
        if action.name in kind.actions:
            raise CatalogueError(f"{type_name} has an action {action.name} already, choose another name")
        self._types[type_name] = replace(kind, actions=dict(sorted({**kind.actions, action.name: action}.items())))

    def add_processes(self, processes: Iterable[Process]) -> None:
        """E.g. those of `lifecycle("widget")`."""
        for process in processes:
            check_process(process)
            self._note(process.name)
            if process.name in self._processes:
                raise CatalogueError(f"there is a process {process.name} already: add_step adds to it")
            self._processes[process.name] = process

    def add_step(self, process: str, phase: Phase, step: Step, *, priority: int = DEFAULT_PRIORITY) -> None:
        """Into a phase of a process. Steps run in the order of their priorities, and equal ones as they were added."""
        if process not in self._processes:
            near = [each for each in self._processes if each.split(".")[0] == process.split(".")[0].lower()]
            hint = f"there are {', '.join(near)}" if near else "`corral dot TYPE` draws a type's"
            raise CatalogueError(f"add_step: there is no process {process!r}; {hint}")
        if phase not in PHASES:
            raise CatalogueError(f"add_step to {process}: there is no phase {phase!r}; there are pre, handlers and post")
        check_step(step, f"add_step to {process}")
        must_be(priority, int, f"add_step to {process}: its priority is a whole number")
        self._note(process)
        added = self._added.setdefault((process, phase), [])
        added.append(_Added(priority, len(added), step))

    def build(self) -> Catalogue:
        """Raises CatalogueError where something contradicts."""
        processes = [self._with_steps(process) for process in self._processes.values()]
        catalogue = Catalogue(list(self._types.values()), processes)
        for name in self._own:
            with about(name):
                _check_lives(catalogue, catalogue.type(name))
        return catalogue

    def _note(self, name: str) -> None:
        caller = sys._getframe(2)  # of the method that notes it
        self.places[name] = (caller.f_code.co_filename, caller.f_lineno)

    def _with_steps(self, process: Process) -> Process:
        pre, handlers, post = (self._phase(process, phase) for phase in ("pre", "handlers", "post"))
        return replace(process, pre=pre, handlers=handlers, post=post)

    def _phase(self, process: Process, phase: str) -> tuple[Step | Logic, ...]:
        own: tuple[Step | Logic, ...] = getattr(process, phase)
        added = sorted(self._added.get((process.name, phase), ()), key=lambda each: (each.priority, each.order))
        logic = [Logic("Extension", (each.step,), each.priority, continues=True) for each in added]
        before = tuple(each for each in logic if each.priority < BUILT_IN_PRIORITY)
        after = tuple(each for each in logic if each.priority >= BUILT_IN_PRIORITY)
        return (*before, *own, *after)

    def _type(self, name: str, what: str) -> ResourceType:
        if name not in self._types:
            raise CatalogueError(f"{what}: there is no type {name!r}")
        return self._types[name]


def _check_lives(catalogue: Catalogue, kind: ResourceType) -> None:
    """What can be asked of a type of somebody's own is carried out. (Some of Cattle's are answered without a process.)"""
    root = catalogue.root_type(kind.name).name.lower()
    without = [action for action in kind.actions if catalogue.process_of(kind.name, action) is None]
    state = kind.fields.get("state")
    if "POST" in (*kind.admin.collection, *kind.user.collection) and kind.stored and state is not None and state.options:
        without += ["create"] if catalogue.process_of(kind.name, "create") is None else []
    if without:
        missing = ", ".join(f"{root}.{verb}" for verb in without)
        raise CatalogueError(
            f"type {kind.name} offers what nothing carries out: there is no process {missing}. add_processes(lifecycle({kind.name!r})) "
            "adds the usual ones; what it shall not offer, leave out of its actions and methods"
        )

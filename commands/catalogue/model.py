"""The catalogue's vocabulary: resource types, fields, links, actions, processes and their steps. Data, checked when it is built."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from commands.resource import Resource
    from commands.turns.turn import Turn
    from commands.turns.world import World

Store = Literal["col", "fld", "calc", "proto"]
"""Where a value lives: its own column, inside data.fields, computed for output, only in a request."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a resource type. `admin` and `user`: letters r(ead) c(reate) u(pdate); "" = not in that schema."""

    name: str
    type: str
    store: Store = "col"
    admin: str = "r"
    user: str = ""
    required: bool = False
    nullable: bool = True
    default: Any = None
    min: int | None = None
    max: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    options: tuple[str, ...] = ()
    valid_chars: str | None = None
    unique: bool = False
    hidden: bool = False
    """Never shown at the top level (it stays in data.fields)."""
    schedules_update: bool = False
    """Changing it through PUT also runs <type>.update."""
    filtered: bool = True
    """Lists can be filtered by it, if they can by fields of its kind."""
    secret: bool = False
    """Sealed in the log (commands/secrets/vault.py), masked in what shows events, left out of commands to agents."""
    told_agents: bool = False
    """A secret that commands to the agent of its resource carry all the same, in clear: Cattle's agents use it."""

    @property
    def reference(self) -> str | None:
        """The type that this field's ids are of: reference[host], array[reference[host]] and map[reference[host]] all give host."""
        _, found, rest = self.type.partition("reference[")
        return rest.rstrip("]") if found else None


@dataclass(frozen=True, slots=True)
class Link:
    """name -> resources of type `to`. ref: the one whose id is in our field `via`; many: those whose `via` is our id;
    map: through rows of type `through`, whose `via` is our id and whose `other_via` is theirs."""

    name: str
    to: str
    via: str
    cardinality: Literal["ref", "many", "map"] = "many"
    through: str | None = None
    other_via: str | None = None


@dataclass(frozen=True, slots=True)
class Action:
    name: str
    input: str | None = None
    output: str | None = None
    capability: str | None = None
    """Offered only when data.fields.capabilities contains it."""
    state: str | None = None
    """Offered only in this state."""


@dataclass(frozen=True, slots=True)
class Methods:
    """Collection and resource methods; both empty = hidden from that kind of account."""

    collection: tuple[str, ...] = ()
    resource: tuple[str, ...] = ()

    @property
    def hidden(self) -> bool:
        return not self.collection and not self.resource


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A type of thing. `parent`: shares the parent's streams, ids and processes; its rows carry kind = this name.

    `owner`: the reference field that names the resource whose root this one shares (a volume's instanceId): they are
    loaded, decided and appended together. No owner: a root of its own.
    """

    name: str
    plural: str
    prefix: str
    fields: Mapping[str, Field]
    links: Mapping[str, Link] = field(default_factory=dict)
    actions: Mapping[str, Action] = field(default_factory=dict)
    admin: Methods = Methods()
    user: Methods = Methods()
    parent: str | None = None
    children: tuple[str, ...] = ()
    owner: str | None = None
    unique: tuple[tuple[str, ...], ...] = ()
    """Fields whose values together only one row has, from its creation until it is purged (beside the uuid, which every type with one has
    for itself). Rows with a null among them are not compared."""
    single: tuple[tuple[str, ...], ...] = ()
    """The same, but from creation until removal: of a map, what it ties together. A restored row must be the only one again.
    For types with an owner (whose root's turns alone decide) and those that the fleet holds."""
    stored: bool = True
    """False: only in requests (instanceStop), or computed (schema)."""


# --- processes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decide:
    """A pure function of the turn and the resource. It changes the turn's working copy (through Turn's methods) and
    raises commands.turns.turn.Failure to fail the process. It runs again in every turn of its process, so it first looks
    whether its work is done."""

    decide: Callable[[Turn, Resource], None]


@dataclass(frozen=True, slots=True)
class Child:
    """A process on each live resource of type `type` whose `via` is our id, together; waits for all. They share our root.

    `via` may also be a function that finds them, where they are ours by more than one step (a nic's addresses).
    """

    type: str
    via: str | Callable[[World, Resource], list[Resource]]
    process: str
    when: Callable[[Resource], bool] | None = None
    removed: bool = False
    """Removed children too (restore, purge)."""
    ignore_invalid: bool = False
    """A child in a state the process doesn't accept is passed over instead of failing us."""
    mends: bool = False
    """Only where something was lost or forced, or is moved: no part of the usual way."""


@dataclass(frozen=True, slots=True)
class Own:
    """Another process of the same resource, on another state field (allocation inside start)."""

    process: str
    when: Callable[[Turn, Resource], bool] | None = None
    mends: bool = False
    """As a Child's."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a Join joins: the stream, and if nobody has it yet, what to create it with."""

    type: str
    id: int | None
    create: Mapping[str, Any] | None = None
    claim: tuple[str, str] | None = None
    """The exclusive (scope, item) that makes it the only one of its kind."""


@dataclass(frozen=True, slots=True)
class Join:
    """A process on resources shared with others: start it as its own root, or wait for the one under way."""

    targets: Callable[[Turn, Resource], list[Target]]
    process: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A command to an agent. The first answer that is not an error ends it; its data is merged into the resource.

    `agent` gives the agent's id, or None: nothing manages it, the step is done. `seconds`: how long silence is waited
    out before the process is parked (it goes on by itself when the answer comes). `tries`: error answers until the
    process fails; 0 = never (torn down until it is gone): it is asked again, at most 15 s apart.
    """

    command: str
    agent: Callable[[World, Resource], int | None]
    payload: Callable[[World, Resource], dict[str, Any]]
    seconds: float = 60.0
    tries: int | Callable[[World, Resource], int] = 1
    undo: str | None = None
    undo_gone: str | None = None
    """What undoes it instead once its resource and the root of it are gone for good: it takes away what is left."""
    no_undo: str = ""
    """Why nothing has to be undone, where there is no `undo` and an error is not borne for ever."""
    misread: Callable[[dict[str, Any]], str | None] | None = None
    """What is wrong with an answer that is more than changes of rows, if anything is: it counts as an error answer then."""
    aside: bool = False
    """It holds nothing up: the process goes on at once. The command is sent again until it is answered, in whatever way, or `seconds` of
    silence are over. For what is good to have done, and harmless if it is not."""
    mends: bool = False
    """As a Child's."""

    @property
    def undoes(self) -> tuple[str, ...]:
        return tuple(each for each in (self.undo, self.undo_gone) if each)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """From here on the process says that it is at `name`; what it does until the next one is `weight` percent of the whole."""

    name: str
    weight: int


@dataclass(frozen=True, slots=True)
class Await:
    """Waits for what happens in another root, without a part in it. `until` says whether that has happened; it names what is to
    wake the process (Turn.wait_for), and raises commands.turns.turn.Failure when it has waited long enough."""

    until: Callable[[Turn, Resource], bool]


Step = Decide | Child | Own | Join | Ask | Await | Checkpoint

Phase = Literal["pre", "handlers", "post"]

PHASES: tuple[Phase, ...] = get_args(Phase)

PRIORITIES = {"pre": 500, "specific": 1000, "default_override": 1500, "default": 2000}
"""Cattle's names for places in a phase: it runs in the order of priority, then of name."""

USUAL = {"pre": PRIORITIES["specific"], "handlers": PRIORITIES["default"], "post": PRIORITIES["specific"]}
"""Where a phase's steps stand that say nothing else."""

LAST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Logic:
    """Steps under one name, with their place among the external handlers of their phase. Steps that are written into a phase
    without it are one Logic, named for the process (InstanceStart) and at the phase's usual priority.

    In the handlers phase an external handler's result replaces what comes after it, and what is built in replaces the external
    handlers after it, unless it `continues`. `always`: runs whatever was replaced (what it does is Corral's own, as giving claims back).
    """

    name: str
    steps: tuple[Step, ...]
    priority: int = PRIORITIES["specific"]
    continues: bool = False
    always: bool = False


@dataclass(frozen=True, slots=True)
class Process:
    """A state machine's one arrow: start states -> via -> done, with its logic in three phases.

    `via` and `done` may depend on the state it started from (update: active -> updating-active -> active).
    `delegate`: the process that takes over when a step asked for it (Turn.delegate) and which then carries the same bracket.
    `compensate`: chosen by a pure function when a step failed; None: the state goes back to where it came from, or to
    `failed` where that is no state to rest in.
    """

    name: str
    type: str
    start: tuple[str, ...]
    via: str | Mapping[str, str]
    done: str | Mapping[str, str]
    field: str = "state"
    delegate: str | None = None
    failed: str = "inactive"
    compensate: Callable[[Turn, Resource], str | None] | None = None
    pre: tuple[Step | Logic, ...] = ()
    handlers: tuple[Step | Logic, ...] = ()
    post: tuple[Step | Logic, ...] = ()
    chain: Callable[[Turn, Resource], tuple[str, dict[str, Any]] | None] | None = None
    """The process that follows at the end, straight from our via state, and its input (stop with remove=true ->
    instance.remove)."""
    at_rest: Callable[[Turn, Resource], None] | None = None
    """Looks, in every turn, at a resource that rests in our done state: what that says may not be so any more."""
    logic: Mapping[Phase, tuple[Logic, ...]] = dataclasses.field(init=False, repr=False, compare=False)
    """The built-in logic by phase, as it runs."""
    steps: tuple[Step, ...] = dataclasses.field(init=False, repr=False, compare=False)
    """All of its steps, in order."""

    def __post_init__(self) -> None:
        phases: dict[Phase, tuple[Step | Logic, ...]] = {"pre": self.pre, "handlers": self.handlers, "post": self.post}
        name = self.type[:1].upper() + self.type[1:] + self.verb.capitalize()
        logic = {phase: _grouped(written, name, USUAL[phase]) for phase, written in phases.items()}
        object.__setattr__(self, "logic", logic)
        object.__setattr__(self, "steps", tuple(step for phase in PHASES for each in logic[phase] for step in each.steps))

    @property
    def verb(self) -> str:
        return self.name.split(".", 1)[1]

    @property
    def creates(self) -> bool:
        """It makes what the resource consists of: nothing else may run before it has."""
        return "requested" in self.start and self.verb == "create"

    def via_of(self, state: str) -> str:
        return self.via if isinstance(self.via, str) else self.via[state]

    def done_of(self, via: str) -> str:
        return self.done if isinstance(self.done, str) else self.done[via]

    @property
    def vias(self) -> frozenset[str]:
        return frozenset((self.via,) if isinstance(self.via, str) else self.via.values())

    @property
    def dones(self) -> frozenset[str]:
        return frozenset((self.done,) if isinstance(self.done, str) else self.done.values())


def _grouped(written: tuple[Step | Logic, ...], name: str, priority: int) -> tuple[Logic, ...]:
    """A phase's logic, with the steps that are written without one in the usual one."""
    if not isinstance(written, tuple | list):
        raise CatalogueError(f"{name}: {written!r} is not a tuple of steps; (step,) is one of one step")
    found: list[Logic] = []
    for each in written:
        if isinstance(each, Logic):
            found.append(each)
        elif found and found[-1].name == name:
            found[-1] = replace(found[-1], steps=(*found[-1].steps, each))
        else:
            found.append(Logic(name, (each,), priority))
    return tuple(found)


class CatalogueError(Exception):
    """The catalogue contradicts itself: says where. `about`: the type or process that is wrong, where that is known."""

    about = ""

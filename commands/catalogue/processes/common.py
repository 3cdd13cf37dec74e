"""What the processes of most types share: the seven of a lifecycle, and how a removal is noted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from commands.catalogue.fields import date_text
from commands.catalogue.model import LAST, PRIORITIES, Decide, Logic, Process, Step
from commands.errors import Gone
from commands.resource import Json, Resource
from commands.turns import uniqueness
from commands.turns.fleet import is_dead
from commands.turns.purges import FORCED
from commands.turns.turn import Failure, Turn
from commands.turns.world import World
from eventstore import Release

REMOVE_TIME_DELAY = "object.remove.time.delay.seconds"

UPDATING = ("updating-active", "updating-inactive")


def set_removed(turn: Turn, resource: Resource) -> None:
    """Every remove ends with the time of removal, and the time from which the row may be purged: at once where that asks what is left."""
    if not resource.removed:
        specific = f"object.{resource.type.lower()}.remove.time.delay.seconds"
        delay = turn.settings.get(specific, turn.settings[REMOVE_TIME_DELAY]) if not resource.data.get(FORCED) else 0
        kind = turn.catalogue.type(resource.type)
        times = {"removed": date_text(turn.now), "removeTime": date_text(turn.after(float(delay)))}
        turn.change(resource, times, releases=uniqueness.releases(kind, uniqueness.single_keys(kind), resource.row))


def clear_removed(turn: Turn, resource: Resource) -> None:
    """A restored map must be the only one that ties its ends together, as it was."""
    if not resource.removed:
        return
    kind = turn.catalogue.type(resource.type)
    others = {**{each.stream: each for each in turn.fleet.all(resource.type)}, **turn.resources}
    if other := uniqueness.same(kind, resource, others.values()):
        raise Failure(f"{resource.stream} can't be restored: {other.stream} has taken its place. Remove that one first")
    again = uniqueness.claims(kind, uniqueness.single_keys(kind), resource.row)
    back: Json = {"removed": None, "removeTime": None}
    if FORCED in resource.data:
        back["+data"] = {FORCED: None}
    turn.merge(resource.stream, back, again)


def free_all(turn: Turn, resource: Resource) -> None:
    """Every purge ends with the row's uuid, and whatever else it alone had, free for another (a removal by force left all of it)."""
    turn.merge(resource.stream, {}, releases=tuple(Release(*each) for each in resource.held))


def leave_place(turn: Turn, resource: Resource) -> None:
    """For the removal of what is found or made where it is needed: another may be made there. Its names stay its own until its purge."""
    if places := tuple(Release(*each) for each in resource.held if "/" in each[0]):
        turn.merge(resource.stream, {}, releases=places)


def delegate(turn: Turn, resource: Resource) -> None:
    turn.delegate()


def managing(world: World, place: Resource | None, *, dead_too: bool = False) -> int | None:
    """The agent of a host or pool; None: nothing manages it. Raises Gone where it is removed, which says that nothing is left there; and
    where it is a host that was declared dead, from which nobody waits for anything (`dead_too`: but is to do this if it comes back)."""
    number: int | None = place.row.get("agentId") if place is not None else None
    agent = world.get("agent", number)
    for each in (place, agent):
        if each is not None and each.removed:
            raise Gone(f"{each.stream.replace('-', ' ')} was removed")
    if place is not None and is_dead(place) and not dead_too:
        raise Gone(f"{place.stream.replace('-', ' ')} was declared dead")
    return number if agent is not None else None


REMOVED = Logic("SetRemovedFields", (Decide(set_removed),), PRIORITIES["default"])
RESTORED = Logic("ClearRemovedFields", (Decide(clear_removed),), PRIORITIES["default"])
PURGED = Logic("FreeNames", (Decide(free_all),), LAST)
ACTIVATE_BY_DEFAULT = Logic("ActivateByDefault", (Decide(delegate),), PRIORITIES["default"])


@dataclass(frozen=True, slots=True)
class Phases:
    """A process' logic where it is not in the handlers alone: what stands before and after them, no external handler replaces."""

    pre: tuple[Step | Logic, ...] = ()
    handlers: tuple[Step | Logic, ...] = ()
    post: tuple[Step | Logic, ...] = ()


Steps = tuple[Step | Logic, ...] | Phases
"""A tuple: of the handlers phase."""


def lifecycle(
    name: str,
    *,
    by_default: bool = True,
    create: Steps = (),
    activate: Steps = (),
    deactivate: Steps = (),
    remove: Steps = (),
    purge: Steps = (),
    update: Steps = (),
    restore: Steps = (),
    deactivates: tuple[str, ...] = (),
) -> list[Process]:
    """The seven processes that most types have. `by_default`: create goes on to activate; `deactivates`: further start states."""
    low = name.lower()

    def process(
        verb: str, start: tuple[str, ...], via: Any, done: Any, steps: Steps, *last: Logic, delegate: str | None = None
    ) -> Process:
        own = steps if isinstance(steps, Phases) else Phases(handlers=steps)
        return Process(
            f"{low}.{verb}", name, start, via, done, delegate=delegate, pre=own.pre, handlers=own.handlers, post=(*own.post, *last)
        )

    return [
        process(
            "create", ("requested",), "registering", "inactive", create, *((ACTIVATE_BY_DEFAULT,) if by_default else ()),
            delegate=f"{low}.activate",
        ),
        process("activate", ("inactive", "registering"), "activating", "active", activate),
        process(
            "deactivate", ("active", "activating", *deactivates, *UPDATING), "deactivating", "inactive", deactivate,
            delegate=f"{low}.remove",
        ),
        process(
            "remove", ("requested", "inactive", "activating", "deactivating", "registering", *UPDATING), "removing", "removed", remove,
            REMOVED,
        ),
        process("purge", ("removed",), "purging", "purged", purge, PURGED),
        process(
            "update", ("inactive", "active"), {"inactive": "updating-inactive", "active": "updating-active"},
            {"updating-inactive": "inactive", "updating-active": "active"}, update,
        ),
        process("restore", ("removed",), "restoring", "inactive", restore, RESTORED),
    ]

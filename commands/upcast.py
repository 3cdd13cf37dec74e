"""An event as it was written -> here -> in the newest form of its type: on reading, before anything sees it. Pure.

The form of an event is a number in its metadata, absent while it is 1. What an event says in an old form stays in the log for ever; its
upcasters, one from each form to the next, make the newest of it, so that folding, deciding and showing know that one alone. Whoever changes
what an event's data means gives its type one more upcaster: docs/adding.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from commands import events
from eventstore import Event, NewerEvent, Recorded

Json = dict[str, Any]

Upcaster = Callable[[Json], Json]
"""An event's data -> the same in the type's next form. It may be given what it gave: it must not change its argument."""

Upcasters = Mapping[str, tuple[Upcaster, ...]]

UPCASTERS: Upcasters = {}
"""Event type -> what makes form 2 of form 1, form 3 of form 2, and so on. None so far: every event is of form 1."""

FORM = "form"


def newest_form(kind: str, upcasters: Upcasters = UPCASTERS) -> int:
    return len(upcasters.get(kind, ())) + 1


def reader(upcasters: Upcasters = UPCASTERS) -> Callable[[Recorded], Recorded] | None:
    """What a store is to do with every event that it reads; None while no type has an old form, so that it costs nothing."""
    if not upcasters:
        return None
    unknown = upcasters.keys() - set(events.ALL)
    if unknown:
        raise ValueError(f"there are upcasters for {sorted(unknown)}, which are no types of events")
    return lambda event: upcast(event, upcasters)


def upcast(event: Recorded, upcasters: Upcasters = UPCASTERS) -> Recorded:
    """The event in its type's newest form, which its metadata then say; the very same where it is in it. Raises NewerEvent."""
    form, newest = event.metadata.get(FORM, 1), newest_form(event.type, upcasters)
    if form == newest:
        return event
    if not isinstance(form, int) or not 1 <= form < newest:
        known = f"this Corral knows forms up to {newest}: start the newer one that wrote it"
        raise NewerEvent(f"event {event.id} ({event.type}) is of form {form}, and {known}")
    data = event.data
    for each in upcasters[event.type][form - 1 :]:
        data = each(data)
    return replace(event, data=data, metadata={**event.metadata, FORM: newest})


def stamped(event: Event, upcasters: Upcasters = UPCASTERS) -> Event:
    """An event as it is appended: its metadata say its form, unless that is 1."""
    newest = newest_form(event.type, upcasters)
    return event if newest == 1 else replace(event, metadata={**event.metadata, FORM: newest})

"""Why something is as it is: from its state back through what caused that, to the command or the observation that began it. Pure.

An event's cause is, in this order: the request that an answer answers; the failure behind an end in failure, an undoing, or another
try; the removal behind a purge that nobody asked for; the event that its metadata names; the beginning of its own process; its parent
process; the process it happened in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from commands import events
from commands.resource import Resource, empty, evolve
from eventstore import Recorded

LONGEST = 500
"""Causes in a chain at most: a net under a log that contradicts itself."""

Load = Callable[[str], Sequence[Recorded]]
"""A stream's whole root, by position; empty for what there is not."""


def deciding(heard: Iterable[Recorded]) -> Recorded | None:
    """The event of a stream's to which its present state is owed: the last that changed the state, told an error, or parked it."""
    found: Recorded | None = None
    resource: Resource | None = None
    for event in heard:
        before = resource or empty(event.stream)
        resource = evolve(before, event)
        told_error = event.type == events.PROCESS_FAILED and event.data.get("field", "state") == "state"
        if resource.state != before.state or told_error or event.type == events.PROCESS_PARKED:
            found = event
    return found


async def chain_of(event: Recorded, load: Callable[[str], Awaitable[Sequence[Recorded]]]) -> list[Recorded]:
    """chain(), where a root has to be waited for. Each is loaded once."""
    loaded: dict[str, Sequence[Recorded]] = {}

    def known(stream: str) -> Sequence[Recorded]:
        if stream not in loaded:
            raise _NotLoaded(stream)
        return loaded[stream]

    while True:
        try:
            return chain(event, known)
        except _NotLoaded as missing:
            loaded[missing.stream] = await load(missing.stream)


class _NotLoaded(Exception):
    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.stream = stream


def chain(event: Recorded, load: Load) -> list[Recorded]:
    """The event, its cause, that one's cause, ... to the first."""
    known = _Known(load)
    found = [event]
    while len(found) < LONGEST:
        cause = known.cause(found[-1])
        if cause is None or cause.position >= found[-1].position:  # a cause comes before: anything else would never end
            break
        found.append(cause)
    return found


class _Known:
    """The roots that were looked at so far."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._roots: dict[str, list[Recorded]] = {}
        self._root_of: dict[str, str] = {}

    def cause(self, event: Recorded) -> Recorded | None:
        match event.type:
            case events.STEP_SUCCEEDED | events.STEP_FAILED:
                if found := self._last(event, lambda e: e.type == events.STEP_REQUESTED and e.data["id"] == event.data["id"]):
                    return found
            case events.PROCESS_FAILED:
                if found := self._last(event, lambda e: _fails(e, event.data["pid"])):
                    return found
            case events.PROCESS_STARTED | events.TRANSITIONED if _purges_by_itself(event):
                if found := self._decided(event):
                    return found
            case events.PROCESS_STARTED | events.TRANSITIONED if event.data.get("compensation"):
                if found := self._last(event, lambda e: e.stream == event.stream and e.type == events.PROCESS_FAILED):
                    return found
            case events.PROCESS_SUCCEEDED:
                started = self._last(event, partial(_begins, event.data["pid"]))
                if started is not None and started.data.get("compensation"):
                    return started  # what it undid tells more than how it was undone
            case events.STEP_REQUESTED if event.data.get("try", 1) > 1:
                if found := self._last(event, lambda e: e.type == events.STEP_FAILED and e.data["pid"] == event.data["pid"]):
                    return found
            case events.PROCESS_STARTED:
                if found := self._last(event, lambda e: e.stream == event.stream and e.version == event.version - 1 and _chains(e, event)):
                    return found
        return self._named(event) or self._bracket(event)

    def _named(self, event: Recorded) -> Recorded | None:
        """The event that the metadata gives as the cause."""
        stream, _, version = str(event.metadata.get("causation") or "").rpartition("@")
        if not stream or not version.isdigit():
            return None
        return next((e for e in self._events(stream) if e.stream == stream and e.version == int(version)), None)

    def _bracket(self, event: Recorded) -> Recorded | None:
        """The beginning of the process that the event belongs to, or of the one that waits for it."""
        for pid in filter(None, (event.data.get("pid"), event.data.get("parent"), event.metadata.get("pid"))):
            if found := self._last(event, partial(_begins, pid)):
                return found
        return self._last(event, lambda e: e.type == events.CREATED and e.stream == event.stream and _together(e, event))

    def _decided(self, event: Recorded) -> Recorded | None:
        """What its resource's state was owed to before it."""
        return deciding(e for e in self._events(event.stream) if e.stream == event.stream and e.position < event.position)

    def _last(self, event: Recorded, fits: Callable[[Recorded], bool]) -> Recorded | None:
        before = (e for e in reversed(self._events(event.stream)) if e.position < event.position)
        return next((e for e in before if fits(e)), None)

    def _events(self, stream: str) -> list[Recorded]:
        root = self._root_of.get(stream)
        if root is None:
            loaded = list(self._load(stream))
            root = loaded[0].root if loaded else stream
            self._roots[root] = loaded
            self._root_of.update({event.stream: root for event in loaded} | {stream: root})
        return self._roots[root]


def _purges_by_itself(event: Recorded) -> bool:
    """A purge that nobody asked for: it follows from the removal, and not from what else happened last (a deallocation)."""
    if not str(event.data.get("process")).endswith(".purge"):
        return False
    return event.metadata.get("correlation") in (None, f"corral:purge-{event.stream}")


def _begins(pid: str, event: Recorded) -> bool:
    return event.type == events.PROCESS_STARTED and bool(event.data["pid"] == pid)


def _fails(event: Recorded, pid: str) -> bool:
    """What made the process `pid` fail: an agent's error, or a child process that failed."""
    if event.type == events.STEP_FAILED:
        return bool(event.data["pid"] == pid)
    return event.type == events.PROCESS_FAILED and event.data.get("parent") == pid


def _chains(before: Recorded, started: Recorded) -> bool:
    """Whether the process began because the one before it ended and handed on (a stop that removes, a delegation)."""
    if before.type == events.PROCESS_SUCCEEDED:
        return not before.data.get("to")
    return before.type == events.PROCESS_STARTED and bool(before.data["pid"] == started.data["pid"])


def _together(one: Recorded, other: Recorded) -> bool:
    """Whether one directly follows the other, by the same request: what is created, and its create process."""
    same = one.metadata.get("correlation") == other.metadata.get("correlation")
    return same and one.version + 1 == other.version and one.position + 1 == other.position

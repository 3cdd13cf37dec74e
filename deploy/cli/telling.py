"""Events -> words. Everything that shows events (events, logs, replay, why, trace, run --timeline) speaks through this.

`gist` says what an event says by itself; a `Teller` has heard the events before and so can say which host, which command, how long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from commands import events
from commands.resource import Resource, empty, evolve
from deploy.cli.catalogue import catalogue
from eventstore import Recorded

Json = dict[str, Any]

TOLD_VALUES = ("name", "imageUuid", "hostId", "instanceId", "storagePoolId", "imageId", "uri")
"""What is worth saying of a new resource, besides its kind."""


UNSEEN: dict[str, Json] = {
    events.TRANSITIONED: {"from": "***", "via": ["***"], "to": "***"},
    events.PROCESS_STARTED: {"from": "***", "via": "***"},
    events.HANDLERS_JOINED: {"handlers": []},
}
"""What stands for what the caller is not shown of an event: values of a field, and handlers, that are not for users."""


def recorded(document: Json) -> Recorded:
    """An event as the server shows it, as the log's own type, so that commands.resource.evolve folds it."""
    at = datetime.fromisoformat(document["at"])
    data = UNSEEN.get(document["type"], {}) | document["data"]
    return Recorded(document["position"], document["stream"], document["version"], document["type"], data, document["metadata"], at)


def document(event: Recorded) -> Json:
    """The other way round, for programs."""
    return {
        "position": event.position, "id": event.id, "stream": event.stream, "version": event.version, "type": event.type,
        "data": event.data, "metadata": event.metadata, "at": event.at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
    }  # fmt: skip


def gist(event: Recorded) -> str:
    """In a few words, from the event alone."""
    data = event.data
    match event.type:
        case events.CREATED:
            return _created(event)
        case events.UPDATED:
            return "changed: " + ", ".join(sorted(changed_names(data.get("changes") or {})))
        case events.TRANSITIONED:
            steps = " -> ".join((str(data["from"]), *map(str, data["via"]), str(data["to"])))
            return f"{data['process']}: {_field(data)}{steps}"
        case events.PROCESS_STARTED:
            extra = " (to undo what failed)" if data.get("compensation") else ""
            return f"{data['process']}: {_field(data)}{data['from']} -> {data['via']}{extra}{_with_handlers(data)}"
        case events.STEP_REQUESTED:
            again = f", try {data['try']}" if data.get("try", 1) > 1 else ""
            return f"{_whom(data)} is asked for {data['command']}{again}"
        case events.HANDLERS_JOINED:
            return f"goes on{_with_handlers(data)}"
        case events.STEP_SUCCEEDED if data.get("skipped"):
            return f"passed over: {data['skipped']}"
        case events.STEP_SUCCEEDED:
            return "done" + (" (late)" if data.get("late") else "")
        case events.STEP_FAILED:
            return f"error: {data['error']}" + (" (late)" if data.get("late") else "")
        case events.PROCESS_SUCCEEDED:
            return f"{data['process']}: {_field(data)}-> {data['to']}" if data.get("to") else f"{data['process']} is done; more follows"
        case events.PROCESS_FAILED:
            back = f" (back to {data['to']})" if data.get("to") else ""
            return f"{data['process']} failed{back}: {data['error']}"
        case events.PROCESS_PARKED:
            return str(data["reason"])
        case events.PROCESS_RESUMED:
            return "goes on"
        case events.PROCESS_RETRIED:
            return f"{data['process']} is to be tried again: {data['reason']}"
        case events.CANCEL_REQUESTED:
            return f"{data['process']} is to be cancelled: {data['reason']}"
        case events.PROGRESSED:
            percent = f"{data['percent']}%" if data.get("percent") is not None else ""
            return " ".join(filter(None, ("is at", percent, data.get("message"))))
        case events.PROCESS_CANCELLED:
            return f"{data['process']} is given up: {data['reason']}"
    return ", ".join(sorted(data))


def changed_names(changes: Mapping[str, Any]) -> list[str]:
    """The columns and fields that changes in merge syntax touch."""
    names: list[str] = []
    for key, value in changes.items():
        if key in ("+data", "data", "+fields", "fields") and isinstance(value, dict):
            names += changed_names(value)
        else:
            names.append(key.removeprefix("+"))
    return names


class Teller:
    """Hears the events of one or several streams in the order of the log, and tells each in a sentence."""

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        """`names`: what people call streams that are not heard themselves, e.g. {"host-1": "rack-3"}."""
        self._names = dict(names or {})
        self._resources: dict[str, Resource] = {}
        self._asked: dict[str, Recorded] = {}

    def hear(self, event: Recorded) -> Resource:
        """The event's resource after it."""
        present = self._resources.get(event.stream) or empty(event.stream)
        self._resources[event.stream] = after = evolve(present, event)
        if after.row.get("name"):
            self._names[event.stream] = after.row["name"]
        if event.type == events.STEP_REQUESTED:
            self._asked[event.data["id"]] = event
        return after

    def hear_all(self, heard: Iterable[Recorded]) -> None:
        for event in heard:
            self.hear(event)

    def heard(self, event: Recorded) -> str:
        """Hears the event, and tells it."""
        self.hear(event)
        return self.tell(event)

    def resource(self, stream: str) -> Resource:
        """As it is after all that was heard."""
        return self._resources.get(stream) or empty(stream)

    def sharing(self, root: str) -> list[Resource]:
        """All that was heard of a root: the resource itself first."""
        return sorted((each for each in self._resources.values() if each.root == root), key=lambda each: (each.stream != root, each.stream))

    def all(self) -> list[Resource]:
        """Everything that was heard of, by stream."""
        return [self._resources[stream] for stream in sorted(self._resources)]

    def named(self, stream: str) -> str:
        """host-1 (rack-3), or just host-1."""
        name = self._names.get(stream)
        return f"{stream} ({name})" if name else stream

    def asked(self, agent: int, handler: int) -> str:
        """Who is asked: an agent, or an external handler."""
        return self.named(_stream("externalHandler", handler) if handler else _stream("agent", agent))

    def tell(self, event: Recorded) -> str:
        """A sentence without its subject's name in front. Hear the event first."""
        data = event.data
        resource = self._resources.get(event.stream) or empty(event.stream)
        match event.type:
            case events.CREATED if resource.type == "instanceHostMap":
                return f"gets its place on {self.named(_stream('host', data['changes'].get('hostId')))}"
            case events.CREATED if resource.type == "volumeStoragePoolMap":
                return f"gets its place in {self.named(_stream('storagePool', data['changes'].get('storagePoolId')))}"
            case events.CREATED if (actor := event.metadata.get("actor")) is not None and not event.metadata.get("causation"):
                return f"{gist(event)}, for {self.named(_stream('account', actor))}"
            case events.STEP_REQUESTED:
                asked = self.asked(data.get("agent", 0), data.get("handler", 0))
                return gist(event).replace(_whom(data), asked, 1) + self._where(resource)
            case events.STEP_SUCCEEDED if not data.get("skipped"):
                return self._answer(event, "has done", "")
            case events.STEP_FAILED:
                return self._answer(event, "failed at", f": {data['error']}")
            case events.PROCESS_STARTED:
                handlers = _with_handlers(data)
                undoing = " to undo what failed" if data.get("compensation") else ""
                return f"{data['process']} begins{undoing}: {_field(data)}{data['via']}{handlers}"
            case events.PROCESS_SUCCEEDED if data.get("to"):
                return f"{data['process']} is done: {_field(data)}{data['to']}"
            case events.TRANSITIONED if data.get("forced"):
                return f"is removed by force: {data['forced']}"
            case events.TRANSITIONED:
                return f"{data['process']} is done at once: {_field(data)}{data['to']}"
        return gist(event)

    def _answer(self, event: Recorded, verb: str, rest: str) -> str:
        request = self._asked.get(event.data["id"])
        if request is None:
            return gist(event)
        late = ", after it was given up" if event.data.get("late") and "aside" not in request.data else ""
        agent = self.asked(request.data.get("agent", 0), request.data.get("handler", 0))
        return f"{agent} {verb} {request.data['command']}, after {span(event, request)}{late}{rest}"

    def _where(self, resource: Resource) -> str:
        host = resource.row.get("hostId")
        return f" on {self.named(_stream('host', host))}" if host is not None else ""


def span(later: Recorded, earlier: Recorded) -> str:
    return duration((later.at - earlier.at).total_seconds())


def duration(seconds: float) -> str:
    """0.0384 -> 38 ms; 3700 -> 61 min."""
    if seconds < 1:
        return f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"
    if seconds < 120:
        return f"{seconds:.{1 if seconds < 10 else 0}f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def clock(at: datetime, today: datetime) -> str:
    """Local time of day; with the date in front where it was not today."""
    local = at.astimezone()
    text = local.strftime("%H:%M:%S.") + f"{local.microsecond // 1000:03d}"
    return text if local.date() == today.astimezone().date() else f"{local:%Y-%m-%d} {text}"


def timeline(told: Iterable[Recorded], names: Mapping[str, str] | None = None) -> list[tuple[float, Recorded, str]]:
    """(milliseconds since the first event, event, sentence) of each, by position."""
    teller = Teller(names)
    lines: list[tuple[float, Recorded, str]] = []
    first: Recorded | None = None
    for event in told:
        first = first or event
        lines.append(((event.at - first.at).total_seconds() * 1000, event, teller.heard(event)))
    return lines


def _created(event: Recorded) -> str:
    changes = event.data.get("changes") or {}
    values = {**changes, **((changes.get("+data") or {}).get("+fields") or {})}
    root = event.stream.rpartition("-")[0]
    kind = str(values.get("kind") or root)
    name = values.get("name")
    what = kind if kind in catalogue().types else f"{root} of kind {kind}"
    text = f"{what} {name!r} is created" if name else f"{what} is created"
    if values.get("imageUuid"):
        text += f" from {values['imageUuid']}"
    told = [_stream(key[:-2], values[key]) for key in TOLD_VALUES if key.endswith("Id") and values.get(key) is not None]
    if event.stream.startswith(("instance-", "image-", "agent-")):
        told = []
    return f"{text} ({', '.join(told)})" if told else text


def _field(data: Json) -> str:
    return "" if data.get("field", "state") == "state" else f"{data['field']} "


def _with_handlers(data: Json) -> str:
    """Who takes part in a process, where external handlers do."""
    told = ", ".join(f"{each['name']} ({each['phase']}, {each['priority']})" for each in data.get("handlers", ()))
    return f", with external handlers: {told}" if told else ""


def _whom(data: Json) -> str:
    return f"agent {data['agent']}" if data.get("agent") else f"external handler {data['handler']}"


def _stream(kind: str, number: Any) -> str:
    return f"{kind}-{number}"

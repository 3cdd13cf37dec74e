"""The draft of an append: events as a decision makes them, folded at once into a working copy, so that the next step sees them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from commands import events
from commands.catalogue.catalogue import Catalogue
from commands.catalogue.fields import changes_for, date_text
from commands.catalogue.model import Process
from commands.merge import composed, merged
from commands.resource import Json, Open, Resource, empty, evolve, held_after, shares_after
from commands.trace import Ties, Trace
from commands.turns import uniqueness
from commands.turns.claimed import followed
from commands.turns.fleet import Fleet
from commands.turns.world import World
from commands.upcast import stamped
from eventstore import Claim, Event, Recorded, Release, Write


class Draft(World):
    """What one decision writes, to streams of its root and to shared ones."""

    def __init__(
        self,
        catalogue: Catalogue,
        resources: Mapping[str, Resource],
        fleet: Fleet,
        *,
        root: str,
        now: datetime,
        new_id: Callable[[], str],
        ids: Callable[[str], int],
        secret: Callable[[int], bytes],
        settings: Mapping[str, Any],
        actor: int | None = None,
        correlation: str | None = None,
        trace: Trace | None = None,
        cause: str = "",
    ) -> None:
        """Clock, ids and chance come from outside. `cause`: the id of the event that led here."""
        super().__init__(catalogue, resources, fleet)
        self.root = root
        self.now = now
        self.new_id = new_id
        self.ids = ids
        self.secret = secret
        self.settings = settings
        self._base: dict[str, int] = {}
        self._drafts: dict[str, list[Event]] = {}
        self._roots: dict[str, str] = {}
        self._actor, self._ties, self._cause = actor, Ties(correlation, trace), cause
        self._pid: str | None = None

    @property
    def pid(self) -> str | None:
        """Of the process whose step decides just now."""
        return self._pid

    # --- the append ---

    def writes(self) -> list[Write]:
        return [
            Write(stream, self._base[stream], tuple(map(stamped, self._closed(stream, drafts))), self.root_of(stream))
            for stream, drafts in self._drafts.items()
            if drafts
        ]

    def _closed(self, stream: str, drafts: list[Event]) -> tuple[Event, ...]:
        """What is purged has ended: its last event says so, and its stream may leave for the archive."""
        resource = self.resources[stream]
        if resource.state != "purged" or resource.open or resource.asides:
            return tuple(drafts)
        return (*drafts[:-1], replace(drafts[-1], metadata={**drafts[-1].metadata, "closed": True}))

    def claims(self) -> list[Claim]:
        """The claims drafted that the fleet follows, for it to note."""
        return [
            claim
            for drafts in self._drafts.values()
            for event in drafts
            for claim in event.claims
            if followed(claim.scope)
        ]

    # --- what decisions call ---

    def change(self, resource: Resource, values: Json, claims: tuple[Claim, ...] = (), releases: tuple[Release, ...] = ()) -> None:
        """Sets columns and fields of a resource."""
        type_name = resource.kind if resource.kind in self.catalogue.types else resource.type
        self.merge(resource.stream, changes_for(self.catalogue.type(type_name), values), claims, releases)

    def merge(self, stream: str, changes: Json, claims: tuple[Claim, ...] = (), releases: tuple[Release, ...] = ()) -> None:
        """Changes in merge syntax, put on the stream's last draft where there is one, else an event of their own."""
        drafts = self._drafts.get(stream)
        if not drafts:
            self.emit(stream, events.UPDATED, {"changes": changes}, claims, releases)
            return
        last = drafts[-1]
        data = {**last.data, "changes": composed(last.data.get("changes") or {}, changes)}
        given_back = {(each.scope, each.item) for each in releases}
        # An event's releases come before its claims: what it claimed before would be claimed again.
        kept = tuple(each for each in last.claims if (each.scope, each.item) not in given_back)
        drafts[-1] = replace(last, data=data, claims=kept + claims, releases=last.releases + releases)
        present = self.resources[stream]
        self.resources[stream] = replace(
            present, row=merged(present.row, changes), held=held_after(present.held, releases, claims),
            shares=shares_after(present.shares, releases, claims),
        )  # fmt: skip

    def delete(self, resource: Resource) -> None:
        """The end of a row that has no process for it: at once, with all it alone had."""
        moment = date_text(self.now)
        changes = {"state": "purged", "removed": moment, "removeTime": moment}
        self.merge(resource.stream, changes, releases=tuple(Release(*each) for each in resource.held))

    def pick(
        self, scope: str, size: int, item_of: Callable[[int], str], wanted: str | None = None, but: Collection[str] = ()
    ) -> str | None:
        """An item of a range that is free to be claimed: the wanted one if it is, else the next one from a random start on, with
        wrap-around. None: all are taken. `but`: what this decision is about to claim already."""
        mine = {claim.item for claim in self.claims() if claim.scope == scope} | set(but)
        if wanted is not None and wanted not in mine and self.fleet.holder(scope, wanted) is None:
            return wanted
        start = int.from_bytes(self.secret(8)) % max(1, size)
        return self.fleet.pick(scope, size, item_of, start, mine)

    def holder(self, scope: str, item: str) -> str | None:
        """Who has an exclusive item that the fleet follows, this draft included."""
        for stream, drafts in self._drafts.items():
            if any(claim.scope == scope and claim.item == item for event in drafts for claim in event.claims):
                return stream
        return self.fleet.holder(scope, item)

    def after(self, seconds: float) -> datetime:
        return self.now + timedelta(seconds=seconds)

    def input(self, resource: Resource, state_field: str = "state") -> Json:
        """What the process under way was started with."""
        bracket = resource.open.get(state_field)
        return bracket.input if bracket else {}

    def new_row(
        self, type_name: str, row: Json, kind: str | None, claims: tuple[Claim, ...], input: Json | None = None,
        in_our_root: bool = False,
    ) -> tuple[str, str | None]:
        """A new resource with its create process begun. -> its stream, and that process's pid (None: its type has none).

        It shares our root if its type is owned (volume, maps of an instance) or if it is told to (a nic's address), else it is a
        root of its own.
        """
        root_type = self.catalogue.root_type(type_name)
        number = self.ids(root_type.name)
        stream = f"{root_type.name}-{number}"
        owned = in_our_root or root_type.owner is not None
        columns = {
            "uuid": row.get("uuid") or self.new_id(),
            "kind": kind or type_name,
            "created": date_text(self.now),
            "state": "requested",
            "allocationState": "inactive",
        }
        columns = {name: value for name, value in columns.items() if name in root_type.fields}
        given = {key: value for key, value in row.items() if value is not None}
        changes = {**columns, **changes_for(self.catalogue.type(type_name), given)}
        keys = uniqueness.unique_keys(root_type) + uniqueness.single_keys(root_type)
        self._roots[stream] = self.root if owned else stream
        self.emit(stream, events.CREATED, {"changes": changes}, (*uniqueness.claims(root_type, keys, changes), *claims))
        process = self.catalogue.process_of(type_name, "create")
        return stream, self.begin(stream, process, input=input, parent=self._pid if owned else None) if process else None

    def emit(
        self, stream: str, kind: str, data: Json, claims: tuple[Claim, ...] = (), releases: tuple[Release, ...] = ()
    ) -> Resource:
        """Drafts an event and folds it into the working copy."""
        present = self.resources.get(stream) or self.fleet.resources.get(stream) or empty(stream)
        self._base.setdefault(stream, present.version)
        metadata = {
            key: value
            for key, value in (
                ("causation", self._cause),
                *self._ties.metadata().items(),
                ("pid", data.get("pid") or self._pid),
                ("actor", self._actor),
            )
            if value
        }
        self._drafts.setdefault(stream, []).append(Event(kind, data, metadata, claims, releases))
        root = self._roots.get(stream) or present.root or stream
        recorded = Recorded(0, stream, present.version + 1, kind, data, {**metadata, "root": root}, self.now)
        evolved = evolve(present, recorded)
        self.resources[stream] = evolved = replace(
            evolved, held=held_after(present.held, releases, claims), shares=shares_after(present.shares, releases, claims)
        )
        return evolved

    def begin(
        self, stream: str, process: Process, *, input: Json | None = None, parent: str | None = None, compensation: bool = False,
        reason: str | None = None,
    ) -> str:
        """Starts a process on a resource whose state allows it; one under way on the same field is superseded. -> its pid."""
        resource = self.resources.get(stream) or self.fleet.resources[stream]
        state = resource.row.get(process.field) or ""
        present = resource.open.get(process.field)
        if present is not None:
            self.cancel(stream, present, process.field, f"superseded by {process.name}")
        pid = self.new_id()
        via = state if state in process.vias else process.via_of(state)
        data: Json = {"pid": pid, "process": process.name, "field": process.field, "from": state, "via": via}
        seen = self.fleet.followed if parent is None else 0
        more = (("input", input), ("parent", parent), ("compensation", compensation), ("reason", reason), ("seen", seen))
        for key, value in more:
            if value:
                data[key] = value
        self.emit(stream, events.PROCESS_STARTED, data)
        return pid

    def create_first(self, stream: str, pid: str, creation: Process) -> None:
        """A process that was begun in the middle of the creation which leads to it: that goes on in its name, and then hands over to it."""
        state = self.resources[stream].row[creation.field]
        data = {"pid": pid, "process": creation.name, "field": creation.field, "from": state, "via": creation.via_of("requested")}
        self.emit(stream, events.PROCESS_STARTED, data)

    def join_handlers(self, stream: str, pid: str, handlers: list[Json]) -> None:
        """Records the external handlers that take part in a process: with its beginning, where that is the stream's last draft."""
        drafts = self._drafts.get(stream)
        if not drafts or drafts[-1].type != events.PROCESS_STARTED or drafts[-1].data["pid"] != pid:
            self.emit(stream, events.HANDLERS_JOINED, {"pid": pid, "handlers": handlers})
            return
        drafts[-1] = replace(drafts[-1], data={**drafts[-1].data, "handlers": handlers})
        present = self.resources[stream]
        brackets = {
            key: replace(each, handlers=handlers) if each.pid == pid else each for key, each in present.open.items()
        }
        self.resources[stream] = replace(present, open=brackets)

    def accepts(self, resource: Resource, process: Process) -> bool:
        """Whether the process may start (or start again) in the resource's state."""
        state = resource.row.get(process.field) or ""
        return state in process.start or state in process.vias

    def cancel_children(self, pid: str, back: bool = False) -> None:
        """Ends what runs inside a process that ended. `back`: nothing follows that would take their states further."""
        for stream in list(self.resources):
            for state_field, bracket in list(self.resources[stream].open.items()):
                if bracket.parent == pid:
                    self.cancel(stream, bracket, state_field, "its parent process ended", back)

    def cancel(self, stream: str, bracket: Open, state_field: str, reason: str, back: bool = False) -> None:
        """Ends a bracket, and those inside it, without success. The state stays where it is for what supersedes it, or goes `back`;
        where it came from the middle of another process, what its agent did is uncertain (Intake.put_to_rest sees to that)."""
        data: Json = {"pid": bracket.pid, "process": bracket.process, "field": state_field, "reason": reason}
        process = self.catalogue.process(bracket.process)
        if back and not self.catalogue.transitional(process.type, bracket.came_from, state_field):
            data["to"] = self.rest_after(process, bracket)
        self.emit(stream, events.PROCESS_CANCELLED, data)
        self.cancel_children(bracket.pid, back)

    def rest_after(self, process: Process, bracket: Open) -> str:
        """The resting state for a process that ended without success and without a compensation: where it came from, if that is one."""
        came_from = bracket.came_from
        if came_from != "requested" and not self.catalogue.transitional(process.type, came_from, process.field):
            return came_from
        return process.failed

    def close(self, stream: str, pid: str, process: Process) -> None:
        """The done state. A bracket that this very turn opened becomes a single transitioned."""
        resource = self.resources[stream]
        bracket = self.bracket(stream, pid)
        to = process.done_of(resource.row[process.field])
        drafts = self._drafts.get(stream, [])
        own = [i for i, each in enumerate(drafts) if each.data.get("pid") == pid and each.type == events.PROCESS_STARTED]
        others = [each for each in drafts if each.data.get("pid") == pid and each.type != events.PROCESS_STARTED]
        first_is_ours = bool(own) and bracket.cause == f"{stream}@{self._base[stream] + own[0] + 1}"
        if not first_is_ours or others:
            data: Json = {"pid": pid, "process": process.name, "field": process.field, "to": to}
            claims: tuple[Claim, ...] = ()
            releases: tuple[Release, ...] = ()
            if drafts and drafts[-1].type == events.UPDATED:  # what the last step changed is part of the end, not an event of its own
                last = drafts.pop()
                claims, releases, data["changes"] = last.claims, last.releases, last.data["changes"]
                self.resources[stream] = replace(resource, version=resource.version - 1)
            self.emit(stream, events.PROCESS_SUCCEEDED, data, claims, releases)
            return
        # Only the first draft stays, at its place: later ones carry changes of this stream alone, which compose.
        changes: Json = {}
        for index in own:
            changes = composed(changes, drafts[index].data.get("changes") or {})
        data = {
            "process": bracket.origin, "field": process.field, "from": bracket.came_from,
            "via": [drafts[index].data["via"] for index in own], "to": to,
        }
        if drafts[own[0]].data.get("compensation"):
            data["compensation"] = True
        if changes:
            data["changes"] = changes
        claims = tuple(claim for index in own for claim in drafts[index].claims)
        releases = tuple(release for index in own for release in drafts[index].releases)
        drafts[own[0]] = Event(events.TRANSITIONED, data, drafts[own[0]].metadata, claims, releases)
        for index in reversed(own[1:]):
            del drafts[index]
        row = {**resource.row, process.field: to}
        brackets = {key: value for key, value in resource.open.items() if key != process.field}
        self.resources[stream] = replace(resource, row=row, open=brackets, version=resource.version - len(own) + 1)

    # --- lookups ---

    @property
    def drafted(self) -> set[str]:
        """The streams that this writes to."""
        return {stream for stream, drafts in self._drafts.items() if drafts}

    def ours(self) -> list[Resource]:
        """What the root holds, as it is just now: what is looked at of others is beside it."""
        return [each for each in self.resources.values() if each.root == self.root]

    def root_of(self, stream: str) -> str:
        return self._roots.get(stream) or self.resources[stream].root or stream

    def bracket(self, stream: str, pid: str) -> Open:
        found = self.find(stream, pid)
        if found is None:
            raise AssertionError(f"{stream} has no process {pid} under way")
        return found

    def find(self, stream: str, pid: str) -> Open | None:
        return next((each for each in self.resources[stream].open.values() if each.pid == pid), None)

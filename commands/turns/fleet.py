"""The fleet: hosts, pools, networks, agents, images and accounts, folded from the log and kept live by it. Every root shares it.

It is what placement looks at. A decision under way notes what it claims at once, so that the next one, a moment later,
already sees it; what counts is the claim that the append takes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from commands.catalogue.tasks import TASK_INSTANCE
from commands.resource import Resource, empty, evolve, split_stream
from commands.settings.setting_rows import SETTING
from commands.snapshots import thawed
from commands.turns import handlers
from commands.turns.claimed import Claimed, followed
from commands.turns.handlers import Handler
from eventstore import Loaded, Recorded

CATEGORIES = (
    "host", "storagePool", "storagePoolHostMap", "physicalHost", "agent", "image", "imageStoragePoolMap", "account",
    "credential",
    "network", "subnet", "vnet", "subnetVnetMap", "hostVnetMap", "hostIpAddressMap", "ipPool", "ipAssociation",
    "networkService", "networkServiceProvider", "networkServiceProviderInstanceMap", "configItemStatus",
    *handlers.ROWS,
)
"""What the fleet holds. All small in number beside instances, and shared by them."""

LOADED = (*CATEGORIES, SETTING, TASK_INSTANCE)
"""All that is loaded whole by its category."""

INDEXES = {
    "storagePoolHostMap": ("hostId", "storagePoolId"),
    "imageStoragePoolMap": ("imageId",),
    "host": ("physicalHostId", "agentId"),
    "subnet": ("networkId", "ipPoolId"),
    "vnet": ("networkId",),
    "subnetVnetMap": ("subnetId", "vnetId"),
    "hostVnetMap": ("hostId", "vnetId"),
    "hostIpAddressMap": ("hostId",),
    "ipAssociation": ("childIpAddressId", "ipAddressId"),
    "networkService": ("networkId", "networkServiceProviderId"),
    "networkServiceProvider": ("networkId",),
    "networkServiceProviderInstanceMap": ("networkServiceProviderId", "instanceId"),
    "credential": ("accountId", "kind"),
    "configItemStatus": ("agentId",),
}
"""Type -> the fields by whose value its rows are asked for."""


DEAD = "dead"
"""In a host's data: why it was declared dead (commands.turns.dead)."""


def is_dead(host: Resource) -> bool:
    return bool(host.data.get(DEAD))


class Fleet(Claimed):
    """The shared resources by stream, and what is claimed of them."""

    def __init__(self) -> None:
        super().__init__()
        self.position = 0
        """The log was taken in up to here, in order."""
        self._ahead: set[int] = set()
        """Positions after it that were taken in already: what this engine itself appended, before it is followed."""
        self.resources: dict[str, Resource] = {}
        self._by_type: dict[str, dict[int, Resource]] = {}
        self._by_uuid: dict[tuple[str, str], set[int]] = {}
        """Purged ones, too: of those that are not, a uuid has one at most."""
        self._by_field: dict[tuple[str, str, Any], set[int]] = {}
        self._image_maps: dict[tuple[int, int], set[int]] = {}
        self.followed = 0
        """The position up to which it has seen all of the log; 0: nobody follows for it. (Of its engine's own appends it may know more.)"""
        self._handlers: dict[str, tuple[Handler, ...]] | None = {}
        self.changes = Counter[str]()
        """Type -> how often one of it changed: who works something out from them sees whether to do it anew."""

    @classmethod
    def load(cls, loaded: Loaded) -> Fleet:
        fleet = cls()
        for snapshot in sorted(loaded.snapshots, key=lambda each: each.position):
            fleet._take(thawed(snapshot))
        for event in loaded.events:
            fleet._evolve(event)
        for held in loaded.claims:
            if followed(held.claim.scope):
                fleet.claim(held)
        fleet.position = fleet.followed = loaded.position
        return fleet

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Fleet:
        """Of these, as they are now: for who looks once, and decides nothing by it."""
        fleet = cls()
        for each in resources:
            fleet._take(each)
        return fleet

    def follow(self, batch: list[Recorded]) -> None:
        """The log's next events, all of them."""
        self.apply(batch)
        self.followed = batch[-1].position

    def apply(self, recorded: Iterable[Recorded], *, ahead: bool = False) -> None:
        """Events of the log, in order; those it has seen change nothing. `ahead`: known before those that precede them."""
        for event in recorded:
            self._evolve(event)
            if event.position > self.position and event.position not in self._ahead:
                self.take_claims(event)
                if ahead:
                    self._ahead.add(event.position)
            if not ahead:
                self._ahead.discard(event.position)
                self.position = max(self.position, event.position)

    def knows(self, stream: str) -> bool:
        """True for a stream of a category that the fleet holds."""
        return split_stream(stream)[0] in CATEGORIES

    def all(self, type_name: str) -> Iterator[Resource]:
        """Every resource of a type that is not removed."""
        return (each for each in self._by_type.get(type_name, {}).values() if not each.removed)

    def having(self, type_name: str, field: str, value: Any) -> list[Resource]:
        """Those of a type that have this value in an indexed field and are not removed, oldest first."""
        numbers = self._by_field.get((type_name, field, value), ())
        found = (self._by_type[type_name][number] for number in sorted(numbers))
        return [each for each in found if not each.removed]

    def lost_hosts(self) -> list[Resource]:
        """Hosts that are removed, or were declared dead, while instances still have their place there."""
        gone = (each for each in self._by_type.get("host", {}).values() if each.removed or is_dead(each))
        return [each for each in gone if self.holders(f"{each.stream}/compute")]

    def by_uuid(self, type_name: str, uuid: str) -> Resource | None:
        """A removed one too (agent-protocol: lookup is by uuid only). Not one that is purged: its uuid is nobody's, or another's."""
        found = (self._by_type[type_name][number] for number in self._by_uuid.get((type_name, uuid), ()))
        return next((each for each in found if each.state != "purged"), None)

    def get(self, type_name: str, number: int | None) -> Resource | None:
        return None if number is None else self._by_type.get(type_name, {}).get(number)

    def pools_of(self, host: int) -> list[Resource]:
        """The host's pools, whatever their state."""
        maps = self.having("storagePoolHostMap", "hostId", host)
        found = (self.get("storagePool", each.row.get("storagePoolId")) for each in maps)
        return sorted((each for each in found if each is not None and not each.removed), key=lambda each: each.id)

    def hosts_of(self, pool: int) -> set[int]:
        return {each.row["hostId"] for each in self.having("storagePoolHostMap", "storagePoolId", pool)}

    def image_in_pool(self, image: int, pool: int) -> Resource | None:
        return self.get("imageStoragePoolMap", max(self._image_maps.get((image, pool), ()), default=None))

    @property
    def handlers(self) -> dict[str, tuple[Handler, ...]]:
        """Process -> the external handlers in force for it; empty, mostly."""
        if self._handlers is None:
            self._handlers = handlers.in_force(self)
        return self._handlers

    def _evolve(self, event: Recorded) -> None:
        kind, _ = split_stream(event.stream)
        if kind not in CATEGORIES:
            return
        present = self.resources.get(event.stream) or empty(event.stream)
        if event.version == present.version + 1:
            self._take(evolve(present, event))

    def _take(self, resource: Resource) -> None:
        kind, number = resource.type, resource.id
        before = self.resources.get(resource.stream) or empty(resource.stream)
        self.resources[resource.stream] = resource
        self.changes[kind] += 1
        self._by_type.setdefault(kind, {})[number] = resource
        self._index(before, resource)
        self._index_uuid(before, resource)
        if kind in handlers.ROWS:
            self._handlers = None  # which are in force is looked up anew
        if kind == "imageStoragePoolMap":
            there = self._image_maps.setdefault((resource.row.get("imageId", 0), resource.row.get("storagePoolId", 0)), set())
            (there.discard if resource.removed else there.add)(number)

    def _index_uuid(self, before: Resource, after: Resource) -> None:
        old, new = before.row.get("uuid"), after.row.get("uuid")
        if old and old != new:
            self._by_uuid.get((after.type, old), set()).discard(after.id)
        if new and old != new:
            self._by_uuid.setdefault((after.type, new), set()).add(after.id)

    def _index(self, before: Resource, after: Resource) -> None:
        for field in INDEXES.get(after.type, ()):
            old, new = before.row.get(field), after.row.get(field)
            if before.exists and old != new:
                self._by_field.get((after.type, field, old), set()).discard(after.id)
            if new is not None and (old != new or not before.exists):
                self._by_field.setdefault((after.type, field, new), set()).add(after.id)

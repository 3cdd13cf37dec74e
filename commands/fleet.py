"""The fleet: hosts, pools, agents, images and accounts, folded from the log and kept live by it. Every root shares it.

It is what placement looks at. A decision under way notes what it claims at once, so that the next one, a moment later,
already sees it; what counts is the claim that the append takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from commands import handlers
from commands.handlers import Handler
from commands.resource import Resource, empty, evolve, split_stream
from commands.snapshots import thawed
from eventstore import Claim, Loaded, Recorded

CATEGORIES = (
    "host", "storagePool", "storagePoolHostMap", "physicalHost", "agent", "image", "imageStoragePoolMap", "account", "credential",
    *handlers.ROWS,
)  # fmt: skip
"""What the fleet holds. All small in number beside instances, and shared by them."""

CLAIMS = "host-"
"""The counted claims it follows: each host's capacity."""


class Fleet:
    """The shared resources by stream, and what is claimed of their capacity."""

    def __init__(self) -> None:
        self.position = 0
        self.resources: dict[str, Resource] = {}
        self._claims: dict[str, dict[str, int]] = {}
        self._totals: dict[str, int] = {}
        self._noted: dict[str, dict[str, int]] = {}
        self._full: dict[str, int] = {}
        self._by_type: dict[str, dict[int, Resource]] = {}
        self._by_uuid: dict[tuple[str, str], Resource] = {}
        self._image_maps: dict[tuple[int, int], int] = {}
        self.followed = 0
        """The position up to which it has seen all of the log; 0: nobody follows for it. (Of its engine's own appends it may know more.)"""
        self._active_since: dict[str, int] = {}
        self._handlers: dict[str, tuple[Handler, ...]] | None = {}

    @classmethod
    def load(cls, loaded: Loaded) -> Fleet:
        fleet = cls()
        for snapshot in sorted(loaded.snapshots, key=lambda each: each.position):
            fleet._take(thawed(snapshot))
        for event in loaded.events:
            fleet._evolve(event)
        for claim in loaded.claims:
            fleet.claim(claim)
        fleet.position = fleet.followed = loaded.position
        return fleet

    def follow(self, batch: list[Recorded]) -> None:
        """The log's next events, all of them."""
        self.apply(batch)
        self.followed = batch[-1].position

    def apply(self, recorded: Iterable[Recorded]) -> None:
        """Events of the log, in order; those it has seen change nothing."""
        for event in recorded:
            self._evolve(event)
            for claim in event.claims:
                if claim.limit is not None and claim.scope.startswith(CLAIMS):
                    self.claim(claim)
            for release in event.releases:
                self._drop(release.scope, release.item)
            self.position = max(self.position, event.position)

    def knows(self, stream: str) -> bool:
        """True for a stream of a category that the fleet holds."""
        return split_stream(stream)[0] in CATEGORIES

    def all(self, type_name: str) -> Iterator[Resource]:
        """Every resource of a type that is not removed."""
        return (each for each in self._by_type.get(type_name, {}).values() if not each.removed)

    def by_uuid(self, type_name: str, uuid: str) -> Resource | None:
        """Whatever its state: a removed one too (agent-protocol: lookup is by uuid only)."""
        found = self._by_uuid.get((type_name, uuid))
        return None if found is None else self.resources[found.stream]

    def get(self, type_name: str, number: int | None) -> Resource | None:
        return None if number is None else self._by_type.get(type_name, {}).get(number)

    def pools_of(self, host: int) -> list[Resource]:
        """The host's pools, whatever their state."""
        maps = (each for each in self.all("storagePoolHostMap") if each.row.get("hostId") == host)
        found = (self.get("storagePool", each.row.get("storagePoolId")) for each in maps)
        return sorted((each for each in found if each is not None and not each.removed), key=lambda each: each.id)

    def hosts_of(self, pool: int) -> set[int]:
        return {each.row["hostId"] for each in self.all("storagePoolHostMap") if each.row.get("storagePoolId") == pool}

    def image_in_pool(self, image: int, pool: int) -> Resource | None:
        return self.get("imageStoragePoolMap", self._image_maps.get((image, pool)))

    def holders(self, scope: str) -> list[str]:
        """The items (streams) that have a share of a counted scope."""
        return list(self._claims.get(scope, ()))

    @property
    def handlers(self) -> dict[str, tuple[Handler, ...]]:
        """Process -> the external handlers in force for it; empty, mostly."""
        if self._handlers is None:
            self._handlers = handlers.in_force(self)
        return self._handlers

    def active_since(self, stream: str) -> int:
        """The position at which a handler's row became active."""
        return self._active_since.get(stream, 0)

    def used(self, scope: str) -> int:
        shares = self._claims.get(scope, {})
        noted = sum(amount for item, amount in self._noted.get(scope, {}).items() if item not in shares)
        return max(self._totals.get(scope, 0) + noted, self._full.get(scope, 0))

    def claim(self, claim: Claim) -> None:
        """A claim that is in the log."""
        self._full.pop(claim.scope, None)
        shares = self._claims.setdefault(claim.scope, {})
        self._totals[claim.scope] = self._totals.get(claim.scope, 0) + claim.amount - shares.get(claim.item, 0)
        shares[claim.item] = claim.amount

    def note(self, claim: Claim) -> None:
        """A claim that is being appended: it counts until `unclaim`, and then if the log has it."""
        self._noted.setdefault(claim.scope, {})[claim.item] = claim.amount

    def unclaim(self, claim: Claim) -> None:
        """The append of a noted claim is over."""
        noted = self._noted.get(claim.scope, {})
        noted.pop(claim.item, None)
        if not noted:
            self._noted.pop(claim.scope, None)

    def full(self, scope: str, used: int) -> None:
        """The log says that more is in use than this fleet has seen so far. Holds until it sees more of the scope, or is told to forget."""
        self._full[scope] = used

    def forget_full(self, scope: str) -> None:
        self._full.pop(scope, None)

    def _drop(self, scope: str, item: str) -> None:
        self._full.pop(scope, None)
        amount = self._claims.get(scope, {}).pop(item, None)
        if amount is not None:
            self._totals[scope] -= amount

    def _evolve(self, event: Recorded) -> None:
        kind, _ = split_stream(event.stream)
        if kind not in CATEGORIES:
            return
        present = self.resources.get(event.stream) or empty(event.stream)
        if event.version == present.version + 1:
            self._take(evolve(present, event))

    def _take(self, resource: Resource) -> None:
        kind, number = resource.type, resource.id
        self.resources[resource.stream] = resource
        self._by_type.setdefault(kind, {})[number] = resource
        self._by_uuid[kind, resource.row.get("uuid", "")] = resource
        if kind in handlers.ROWS:
            self._mind_handlers(resource)
        if kind == "imageStoragePoolMap":
            pair = (resource.row.get("imageId", 0), resource.row.get("storagePoolId", 0))
            if not resource.removed:
                self._image_maps[pair] = number
            elif self._image_maps.get(pair) == number:  # not that of a newer one, when this is purged after it
                del self._image_maps[pair]

    def _mind_handlers(self, row: Resource) -> None:
        """A row of an external handler changed: which are in force is looked up anew."""
        self._handlers = None
        if row.state not in handlers.ACTIVE:
            self._active_since.pop(row.stream, None)
        else:
            self._active_since.setdefault(row.stream, row.position)
